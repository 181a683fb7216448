/** Somebody who may only read sends an edit with a program of their own: the relay refuses it, and where it helps them, the others do. */
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { describe, expect, it } from "vitest";
import { nodeAutomerge, nodeEd25519, nodeRandom } from "#client/cli/node-ports.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import { DeviceDocuments } from "#client/device/documents.ts";
import { loadIdentity } from "#client/device/identity.ts";
import { sealWaiting } from "#client/sync/outgoing.ts";
import { Space } from "#client/sync/space.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { Colluder } from "#tests/support/colluder.ts";
import { startMeddlingProxy } from "#tests/support/meddling-proxy.ts";
import {
  bodyText,
  joinByLink,
  networkTrouble,
  openApp,
  parts,
  shareNote,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";
import { expectUpToDate } from "./up-to-date.ts";
import { setupDevice, type DeviceFixture } from "#tests/unit/device/setup-device.ts";

const trouble = { expectedErrors: networkTrouble };

/** What stands in the note so far, with words added that the device itself would refuse to add: sealed and signed. */
async function forge({ device, store }: DeviceFixture, id: string, insert: string) {
  const doc = parseDocumentId(id);
  const row = doc === undefined ? null : store.notes.get(doc);
  const held = row === null ? null : store.spaces.get(row.space);
  const identity = loadIdentity(store);
  if (doc === undefined || held?.capSecret == null || identity === null) {
    throw new Error("the note is in a notebook that was joined");
  }
  const ed = nodeEd25519();
  const capability = capabilityFrom(ed, held.capSecret);
  const space = new Space({ store, ed, identity }, held.id, held.genesis, capability);
  const ports = { store, random: nodeRandom, clock: Date, damaged: () => {}, culprits: null };
  const documents = new DeviceDocuments(ports, await nodeAutomerge());
  const { heads, body } = await device.readNote(id);
  const edits = [{ field: "body" as const, at: body.length, remove: 0, insert }];
  documents.spliceAt(space, doc, heads, edits);
  sealWaiting(store, space, nodeRandom, defaultLimits.entryBytes, 1_000);
  const [forged] = store.outbox.sealed(space.id);
  if (forged === undefined) throw new Error("it has been written");
  return { bytes: forged.bytes, pos: (store.inbox.cursor(space.id)?.pos ?? 0) + 1 };
}

describe("a reader with a changed program", () => {
  it("is refused by the relay, and by the others where the relay helps them", async () => {
    await using product = await startProduct();
    const { port, url } = product.relay();
    // It helps nobody before there is a notebook.
    let atAna: Colluder | null = null;
    await using anasWay = await startMeddlingProxy(port, {
      toRelay: (frame, answer) => atAna?.toRelay(frame, answer) ?? [frame],
      toDevice: (frame) => atAna?.toDevice(frame) ?? [frame],
    });
    const { page: ana } = await product.person(product.profile("ana"), trouble);
    await openApp(ana, anasWay.address);
    await parts(ana).title.fill("Garden plan");
    await parts(ana).body.click();
    await ana.keyboard.type("Order seeds.");
    const terms = { for: "several people" } as const;
    const toRead = await shareNote(ana, "Ana", { role: "can read", ...terms });
    const toEdit = await shareNote(ana, "Ana", { role: "can edit", ...terms });
    await expectUpToDate(ana);
    const [, fragment = ""] = toRead.split("#");
    const spaceId = parseHex(
      Buffer.from(fragment.split(".")[2] ?? "", "base64url").toString("hex"),
    );
    if (spaceId === null) throw new Error("a link names a space");
    const [atBen, atClara] = [new Colluder(spaceId), new Colluder(spaceId)];
    atAna = new Colluder(spaceId);
    await ana.reload();
    await parts(ana).list.getByText("Garden plan").click();
    await expectUpToDate(ana);
    await using bensWay = await startMeddlingProxy(port, atBen);
    await using clarasWay = await startMeddlingProxy(port, atClara);

    const { page: clara } = await product.person(product.profile("clara"), trouble);
    await joinByLink(clara, `${clarasWay.address}#${toEdit.split("#")[1]}`, "Clara", "Garden plan");
    await expect.poll(() => bodyText(clara)).toBe("Order seeds.");

    const { pathname } = new URL(url);
    const relayUrl = `${bensWay.address.replace("http", "ws").replace(/\/$/, "")}${pathname}`;
    await using ben = await setupDevice({ relayUrl });
    await ben.device.setDisplayName("Ben");
    await ben.device.join(`${bensWay.address}#${fragment}`);
    expect(await ben.device.settled(20_000)).toBe(true);
    const note = (await ben.device.notes()).find(({ title }) => title === "Garden plan");
    const { bytes, pos } = await forge(ben, note?.id ?? "", " Forged by Ben.");

    // Raw, past everything that his own device would say.
    atBen.push(bytes);
    await ben.device.createNote({ title: "Something to send" });
    await expect.poll(() => atBen.statuses).toEqual([refusals.NOT_A_WRITER.code]);
    expect(await bodyText(ana)).toBe("Order seeds.");

    // The relay helps him: the others are told that it stands in the log.
    atClara.slipIn(pos, bytes);
    await typeAfter(clara, "Order seeds.", " Clara digs.");
    await clara.getByText("Something is kept aside in this note").first().waitFor();
    expect(await bodyText(clara)).toBe("Order seeds. Clara digs.");
    await expect.poll(() => bodyText(ana), { timeout: 30_000 }).toBe("Order seeds. Clara digs.");
    atAna.slipIn(pos + 1, bytes);
    await typeAfter(ana, "Clara digs.", " Ana waters.");
    await ana.getByText("Something is kept aside in this note").first().waitFor();
    for (const page of [ana, clara]) {
      await expect
        .poll(() => bodyText(page), { timeout: 30_000 })
        .toBe("Order seeds. Clara digs. Ana waters.");
    }
  }, 120_000);
});
