/** Certificates of others that a device gives back to a relay that has lost the notebook. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { dialNode } from "#client/cli/node-ports.ts";
import type { Dial } from "#client/sync/ports.ts";
import { equal, parseHex } from "#relay/protocol/bytes.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { parseCertificate } from "#relay/protocol/control.ts";
import { encodeMessage, parseMessage, type Message } from "#relay/protocol/messages.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, filesAfterCrash, onlyNotebook, setupDevice } from "./setup-device.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const patienceMs = 30_000;
const noSpace = { type: "certAck", status: refusals.NO_SPACE.code } as const;

function isFor(dev: Uint8Array, message: Message): boolean {
  const parsed = message.type === "certPut" ? parseCertificate(message.certificate) : null;
  return parsed?.ok === true && equal(parsed.value.devPub, dev);
}

it("one that the relay could not take before it had the notebook again is given to it later", async () => {
  await using ana = await setupDevice({ relayUrl: relay.url });
  expect(await ana.device.settled(patienceMs)).toBe(true);
  const { id: notebook } = await onlyNotebook(ana.device);
  const space = parseHex(notebook) ?? new Uint8Array();
  const [ofAna, ...others] = ana.store.spaces.certificates(space);
  if (ofAna === undefined || others.length > 0) throw new Error("Ana is alone in it");
  const { link } = await ana.device.share(notebook, "edit");
  await using ben = await setupDevice({ relayUrl: relay.url });
  await ben.device.join(link);
  expect(await ben.device.settled(patienceMs)).toBe(true);
  await ben.device.close();
  ben.store.spaces.unpushCertificatesOf(space, ofAna.dev);

  // How often it is given; the first answer is another than the relay's.
  let given = 0;
  let losing: number | null = null;
  const losingOnce: Dial = (url, events) => {
    const wire = dialNode(url, {
      ...events,
      received: (bytes) => {
        const parsed = parseMessage(bytes);
        const isLost = parsed.ok && parsed.value.reqId === losing;
        if (isLost) losing = null;
        events.received(isLost ? encodeMessage(parsed.value.reqId, noSpace) : bytes);
      },
    });
    return {
      close: () => wire.close(),
      send: (bytes) => {
        const parsed = parseMessage(bytes);
        if (parsed.ok && isFor(ofAna.dev, parsed.value.message)) {
          if (given === 0) losing = parsed.value.reqId;
          given += 1;
        }
        wire.send(bytes);
      },
    };
  };
  await using again = await setupDevice({
    files: filesAfterCrash(ben),
    relayUrl: relay.url,
    dial: losingOnce,
  });
  await eventually(again.device, () => Promise.resolve(given === 2));
  expect(await again.device.settled(patienceMs)).toBe(true);
  expect(again.store.spaces.certificates(space).every(({ pushed }) => pushed)).toBe(true);
});
