/** A link that is asked for as soon as the app is open. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dialNode } from "#client/cli/node-ports.ts";
import type { Dial } from "#client/sync/ports.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { deferred } from "#tests/support/deferred.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { onlyNotebook, setupDevice } from "./setup-device.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

describe("a link made while the device is still connecting", () => {
  it("is at the relay when it is handed out", async () => {
    const called = deferred<() => void>();
    // The call goes through only when the test lets it.
    const dial: Dial = (url, events) => {
      const wire = new Promise<ReturnType<Dial>>((resolve) => {
        called.resolve(() => resolve(dialNode(url, events)));
      });
      const then = (act: (open: ReturnType<Dial>) => void): void => void wire.then(act);
      return {
        send: (bytes) => then((open) => open.send(bytes)),
        close: () => then((open) => open.close()),
      };
    };
    await using ana = await setupDevice({ relayUrl: relay.url, dial });
    const { id: notebook } = await onlyNotebook(ana.device);
    const letThrough = await called.promise;
    const sharing = ana.device.share(notebook, "edit");
    letThrough();
    const { link } = await sharing;
    const records = ana.store.spaces.control(parseHex(notebook) ?? new Uint8Array());
    expect(records.length).toBeGreaterThan(1);
    expect(records.map(({ pos }) => pos)).not.toContain(null);
    await using ben = await setupDevice({ relayUrl: relay.url });
    await ben.device.join(link);
    expect((await ben.device.notebooks()).map(({ id }) => id)).toContain(notebook);
  });

  it("is handed out at once where nothing is under way to connect", async () => {
    const refused: Dial = (_url, events) => {
      queueMicrotask(() => events.closed());
      return { send: () => {}, close: () => {} };
    };
    await using ana = await setupDevice({ relayUrl: relay.url, dial: refused });
    const { id: notebook } = await onlyNotebook(ana.device);
    const { link } = await ana.device.share(notebook, "edit");
    expect(link).toContain("#");
  });
});
