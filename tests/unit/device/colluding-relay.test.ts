/** A relay that helps somebody against the others: what it slips in is believed by nobody, what it keeps back is noticed. */
import { beforeAll, describe, expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { sealWaiting } from "#client/sync/outgoing.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { defaultLimits, maxMessageBytes } from "#relay/protocol/limits.ts";
import { encodeMessage, parseMessage, type Message } from "#relay/protocol/messages.ts";
import type { Meddler } from "#tests/support/sim-network.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { setupThree, type Person } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

/** Sits between one device and the relay. */
class Colluder implements Meddler {
  /** Keeps every new control record, and that there are any, from the device. */
  isWithholding = false;
  /** Entries the device has pushed. */
  readonly pushed: Uint8Array[] = [];
  /** What the relay answered to entries that were put into the device's mouth. */
  readonly statuses: number[] = [];
  readonly #spaceId: Uint8Array;
  readonly #asked = new Map<number, readonly Uint8Array[]>();
  #handle = 0;
  #toDevice: Message[] = [];
  #toRelay: Uint8Array[] = [];

  constructor(spaceId: Uint8Array) {
    this.#spaceId = spaceId;
  }

  /** Tells the device that this entry stands at the next position of the log. */
  slipIn(person: Person, bytes: Uint8Array): void {
    const pos = (person.store.inbox.cursor(this.#spaceId)?.pos ?? 0) + 1;
    const items = [{ kind: "entry" as const, pos, bytes }];
    this.#toDevice.push({ type: "data", handle: this.#handle, items });
  }

  /** Pushes this entry as if the device had. */
  push(bytes: Uint8Array): void {
    this.#toRelay.push(bytes);
  }

  toRelay(frame: Uint8Array, answer: (frame: Uint8Array) => void): readonly Uint8Array[] {
    const { reqId, message } = parsed(frame);
    if (message.type === "subscribe") {
      this.#asked.set(
        reqId,
        message.spaces.map(({ spaceId }) => spaceId),
      );
    }
    if (message.type === "push") this.pushed.push(...message.entries);
    for (const told of this.#toDevice.splice(0)) answer(encodeMessage(0, told));
    const entries = this.#toRelay.splice(0);
    return entries.length === 0
      ? [frame]
      : [frame, encodeMessage(forgedRequest, { type: "push", entries })];
  }

  toDevice(frame: Uint8Array): readonly Uint8Array[] {
    const { reqId, message } = parsed(frame);
    switch (message.type) {
      case "pushAck":
        if (reqId !== forgedRequest) return [frame];
        this.statuses.push(...message.results.map(({ status }) => status));
        return [];
      case "subscribed": {
        const at = (this.#asked.get(reqId) ?? []).findIndex((id) => equal(id, this.#spaceId));
        this.#handle = message.results[at]?.handle ?? this.#handle;
        return [frame];
      }
      case "rekey":
        return this.isWithholding ? [] : [frame];
      case "controlData":
        return this.isWithholding ? [encodeMessage(reqId, { ...message, records: [] })] : [frame];
      default:
        return [frame];
    }
  }
}

const forgedRequest = 0xf0f0f0f0;

function parsed(frame: Uint8Array): { readonly reqId: number; readonly message: Message } {
  const read = parseMessage(frame);
  if (!read.ok) throw new Error(read.error);
  return read.value;
}

/** What a changed program would send of what waits on this device, under the newest key it has. */
function sealedBy(person: Person, notebook: string): readonly Uint8Array[] {
  const space = person.space(notebook);
  sealWaiting(person.store, space, nodeRandom, defaultLimits.entryBytes, 1_000);
  return person.store.outbox.sealed(space.id).map(({ bytes }) => bytes);
}

/** As many changes as there are words, as a tab hands them over. */
async function writeEach(
  { device }: Person,
  note: string,
  words: readonly string[],
): Promise<void> {
  const { automerge } = engines;
  const { chunks, actor } = await device.openNote(note, "tab");
  const opened = chunks.reduce(
    (doc, chunk) => automerge.loadIncremental(doc, chunk),
    automerge.init<NoteDocument>({ actor }),
  );
  const before = automerge.getHeads(opened);
  let doc = opened;
  for (const word of words) {
    doc = automerge.change(doc, { time: 0 }, (draft) => {
      automerge.splice(draft, ["body"], draft.body.length, 0, word);
    });
  }
  const changes = automerge.getChangesSince(doc, before);
  await device.commit(note, { session: "tab", changes, title: "Tent", preview: "" });
}

function reasons({ store }: Person): readonly string[] {
  return store.inbox.quarantined().map(({ reason }) => reason);
}

function epochOf(bytes: Uint8Array): number {
  const entry = parseEntry(bytes, maxMessageBytes);
  if (!entry.ok) throw new Error(entry.error);
  return entry.value.epoch;
}

describe("a relay that helps one against the others", { timeout: 60_000 }, () => {
  it("slips in what a removed member writes under the old key, and nobody believes it (attack 56)", async () => {
    await using three = await setupThree("old epoch", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    const spaceId = ana.space(notebook).id;
    const colluder = new Colluder(spaceId);
    world.world.network.meddle("Ben", colluder);
    await ben.reopen();
    await world.settle();
    cem.goOffline();
    await world.settle();
    await cem.write(note, " from Cem");
    const [forged] = sealedBy(cem, notebook);
    if (forged === undefined) throw new Error("Cem has written");
    expect(epochOf(forged)).toBe(1);
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    colluder.slipIn(ben, forged);
    await world.pass(60_000);
    expect(reasons(ben)).toEqual(["its author may not write here"]);
    expect(await ben.reads(note)).toBe("one");
  });

  it("slips in what a reader writes, which the relay itself would refuse, and nobody believes it (attack 57)", async () => {
    await using three = await setupThree("forging reader", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    const spaceId = ana.space(notebook).id;
    const atAna = new Colluder(spaceId);
    const atCem = new Colluder(spaceId);
    world.world.network.meddle("Ana", atAna);
    world.world.network.meddle("Cem", atCem);
    await ana.reopen();
    await cem.reopen();
    ben.goOffline();
    await world.settle();
    await ben.write(note, " forged");
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "read");
    await world.settle();
    ben.goOnline();
    await world.pass(120_000);
    expect(ben.store.outbox.depth()).toBe(1);
    const [forged] = sealedBy(ben, notebook);
    if (forged === undefined) throw new Error("Ben has written");
    expect(epochOf(forged)).toBe(2);

    const atBen = new Colluder(spaceId);
    world.world.network.meddle("Ben", atBen);
    atBen.push(forged);
    await world.pass(60_000);
    expect(atBen.statuses).toEqual([refusals.NOT_A_WRITER.code]);
    atAna.slipIn(ana, forged);
    atCem.slipIn(cem, forged);
    await world.pass(60_000);
    for (const person of [ana, cem]) {
      expect(reasons(person)).toEqual(["its author may not write here"]);
      expect(await person.reads(note)).toBe("one");
    }
    expect(await ben.reads(note)).toBe("one forged");
  });

  it("keeps a removal back, which a member's later entry tells, and nothing leaves under the old key (attack 45)", async () => {
    await using three = await setupThree("withheld", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    const spaceId = ana.space(notebook).id;
    const atAna = new Colluder(spaceId);
    const atBen = new Colluder(spaceId);
    world.world.network.meddle("Ana", atAna);
    world.world.network.meddle("Ben", atBen);
    await ben.reopen();
    await world.settle();
    atBen.isWithholding = true;
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    await ana.write(note, " two");
    await world.settle();
    const later = atAna.pushed.findLast((bytes) => epochOf(bytes) === 2);
    if (later === undefined) throw new Error("Ana has written under the new key");
    expect(ben.space(notebook).authority.epoch).toBe(1);

    atBen.slipIn(ben, later);
    await world.settle();
    const before = atBen.pushed.length;
    await ben.write(note, " secret");
    await world.pass(300_000);
    await ben.reopen();
    await world.pass(300_000);
    expect(atBen.pushed).toHaveLength(before);
    expect(ben.space(notebook).authority.epoch).toBe(1);
    const log = await ben.device.syncLog();
    expect(log.filter(({ text }) => text.includes("keeps back who has access"))).toHaveLength(1);

    atBen.isWithholding = false;
    await world.pass(600_000);
    expect(atBen.pushed.slice(before).map(epochOf)).not.toContain(1);
    expect(await ana.reads(note)).toContain("secret");
    expect(await ben.reads(note)).toBe(await ana.reads(note));
    expect(await cem.reads(note)).toBe("one");
  });
});

describe("what was sealed before a rotation", { timeout: 60_000 }, () => {
  it("is sealed anew, 500 edits of it, and all arrive once, in their order (attack 58)", async () => {
    await using three = await setupThree("stale", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    ben.goOffline();
    await world.settle();
    const words = Array.from({ length: 500 }, (_, ix) => ` w${ix}`);
    for (let at = 0; at < words.length; at += 50) {
      await writeEach(ben, note, words.slice(at, at + 50));
      // As if they had been about to be sent.
      sealedBy(ben, notebook);
    }
    const sealed = sealedBy(ben, notebook);
    expect(sealed.map(epochOf)).toEqual(Array.from({ length: 10 }, () => 1));
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    ben.goOnline();
    await world.pass(300_000);
    expect(await ana.reads(note)).toBe(`one${words.join("")}`);
    expect(ben.store.outbox.depth()).toBe(0);
    const author = (await ana.device.noteAuthors(note)).find(({ name }) => name === "Ben");
    expect(author?.changes).toBe(500);
  });
});
