/** Changes that claim more work than anybody can do, and processes that end over one (PROTOCOL §6). */
import { describe, expect, it } from "vitest";
import { parseChange } from "#crdt-store/chunks.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { Store } from "#crdt-store/store.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { openerInProcess } from "#client/device/opener-in-process.ts";
import type { OpenerQuestion } from "#client/device/opener-work.ts";
import { defaultOpenerLimits, type StartOpener } from "#client/device/opener.ts";
import { unpackChunks } from "#client/device/packed-chunks.ts";
import { fewRows } from "#client/device/unusual.ts";
import { equal, parseHex } from "#relay/protocol/bytes.ts";
import { bombChange } from "#tests/support/bombs.ts";
import { loadEngines, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { append, bodyOf, deviceOf, logOf, storeOf, threeDevices } from "./three-devices.ts";

const engines = await loadEngines();
const keep = oneWorld();

function docOf(note: string): Uint8Array {
  return parseDocumentId(note) ?? new Uint8Array();
}

/** As a member with a changed program writes it: a change of theirs, signed, on top of what they have. */
async function plantBomb(sim: SimDevice, note: string): Promise<Uint8Array> {
  const { automerge } = engines;
  const { actor, chunks } = await deviceOf(sim).openNote(note, "villain");
  const loaded = automerge.applyChanges(automerge.init<NoteDocument>(), [...chunks])[0];
  const deps = automerge.getHeads(loaded).map((head) => parseHex(head) ?? new Uint8Array());
  const named = parseHex(actor) ?? new Uint8Array();
  const bomb = bombChange({ actor: named, seq: 1, startOp: 1_000, deps, rows: fewRows });
  await deviceOf(sim).commit(note, {
    session: "villain",
    changes: [bomb],
    title: "Milk",
    preview: "",
  });
  return bomb;
}

function tries(question: OpenerQuestion, change: Uint8Array | null): boolean {
  if (question.type !== "try" || change === null) return false;
  return unpackChunks(question.tried).some((bytes) => equal(bytes, change));
}

/** Threads that do what `over` does when they are to apply this change, and their work in anything else. */
class Threads {
  bomb: Uint8Array | null = null;
  /** How often one was asked to apply it. */
  met = 0;

  start(over: "hang" | "die"): StartOpener {
    const honest = openerInProcess(() => Promise.resolve(engines.automerge));
    return (events) => {
      const thread = honest(events);
      return {
        ...thread,
        ask: (question) => {
          if (!tries(question, this.bomb)) {
            thread.ask(question);
            return;
          }
          this.met += 1;
          events.answered({ type: "built" });
          if (over === "die") events.died();
        },
      };
    };
  }
}

function asideIn(store: Store) {
  return store.inbox.quarantined().map(({ reason, signer, doc }) => ({ reason, signer, doc }));
}

describe("a change that claims more work than anybody can do (attack 51)", () => {
  it.each(["hang", "die"] as const)(
    "lets a thread %s and is set aside with who made it; the note is read and written on, and nobody waits",
    async (over) => {
      const threads = new Threads();
      const cast = await threeDevices(`bomb ${over}`, engines, {
        startOpener: (device) =>
          device === "ada"
            ? openerInProcess(() => Promise.resolve(engines.automerge))
            : threads.start(over),
      });
      const { made, devices, note } = cast;
      keep(made);
      const [ada, bob, cyd] = devices;
      const { timeline } = made;
      threads.bomb = await plantBomb(ada, note);
      await timeline.advance(2_000);
      expect(threads.met).toBeGreaterThanOrEqual(2);
      // While it is tried, whatever comes of it, everybody goes on.
      await append(bob, note, " two");
      await append(cyd, note, " three");
      await timeline.advance(1_000);
      for (const sim of [bob, cyd]) {
        const body = await bodyOf(sim, note);
        expect(body).toContain(" two");
        expect(body).toContain(" three");
      }
      await timeline.advance(defaultOpenerLimits.tryMs + 5_000);
      const author = storeOf(bob)
        .inbox.quarantined()
        .map(({ signer }) => signer)[0];
      for (const sim of [bob, cyd]) {
        expect(asideIn(storeOf(sim))).toEqual([
          { reason: "too-much", signer: author, doc: docOf(note) },
        ]);
        expect(logOf(sim).filter((text) => text.includes("kept aside"))).toHaveLength(1);
        const row = (await deviceOf(sim).notes()).find(({ id }) => id === note);
        expect(row?.quarantined).toBe(1);
      }
      expect(author).not.toBeNull();
      // It is not tried again, whoever brings it and whatever happens.
      const { met } = threads;
      await bob.kill();
      bob.open();
      await append(cyd, note, " four");
      await timeline.advance(30_000);
      expect(threads.met).toBe(met);
      expect(await bodyOf(bob, note)).toBe(await bodyOf(cyd, note));
      expect(await bodyOf(bob, note)).toContain(" four");
      expect(storeOf(bob).inbox.quarantined()).toHaveLength(1);
    },
  );

  it("is let in when it turns out to be only unusual, and is in nobody's quarantine", async () => {
    const threads = new Threads();
    const cast = await threeDevices("harmless", engines, {
      startOpener: () => threads.start("hang"),
    });
    const { made, devices, note } = cast;
    keep(made);
    const [ada, bob, cyd] = devices;
    const unusual = await plantBomb(ada, note);
    const parsed = parseChange(unusual);
    if (parsed.type === "failed") throw new Error(parsed.failure.type);
    await append(bob, note, " two");
    await made.timeline.advance(30_000);
    for (const sim of [ada, bob, cyd]) {
      expect(storeOf(sim).changes.has(docOf(note), parsed.change.hash)).toBe(true);
      expect(storeOf(sim).inbox.quarantined()).toEqual([]);
      expect(await bodyOf(sim, note)).toBe("one two");
      expect((await deviceOf(sim).status()).word).toBe("up-to-date");
    }
  });

  it("is tried after a restart where the process ended before it was known what it does", async () => {
    const threads = new Threads();
    const cast = await threeDevices("restart", engines, {
      startOpener: (device) =>
        device === "ada"
          ? openerInProcess(() => Promise.resolve(engines.automerge))
          : threads.start("hang"),
    });
    const { made, devices, note } = cast;
    keep(made);
    const [ada, bob] = devices;
    threads.bomb = await plantBomb(ada, note);
    await made.timeline.advance(1_000);
    expect(asideIn(storeOf(bob))).toMatchObject([{ reason: "on-trial" }]);
    await bob.kill();
    bob.open();
    await made.timeline.advance(1_000);
    // It can be read at once, without what is on trial.
    expect(await bodyOf(bob, note)).toBe("one");
    await made.timeline.advance(defaultOpenerLimits.tryMs + 1_000);
    expect(asideIn(storeOf(bob))).toMatchObject([{ reason: "too-much" }]);
  });
});

describe("a trap of WebAssembly over a change in the device's own thread", () => {
  it("has the change found in another, and the note goes on without it", async () => {
    const { automerge } = engines;
    const threads = new Threads();
    let traps = 0;
    const trapping: typeof automerge = {
      ...automerge,
      applyChanges: (doc, changes) => {
        if (changes.some((bytes) => equal(bytes, threads.bomb ?? noChange))) {
          traps += 1;
          throw new WebAssembly.RuntimeError("unreachable");
        }
        return automerge.applyChanges(doc, changes);
      },
    };
    const cast = await threeDevices("trap", engines, {
      automergeOf: (device) => (device === "bob" ? trapping : automerge),
      startOpener: () => threads.start("die"),
    });
    const { made, devices, note } = cast;
    keep(made);
    const [ada, bob, cyd] = devices;
    made.network.part(bob.name, "refuse");
    await append(ada, note, " two");
    threads.bomb = storeOf(ada).changes.bytesOfDocument(docOf(note)).at(-1) ?? noChange;
    await append(cyd, note, " three");
    await made.timeline.advance(5_000);
    made.network.join(bob.name);
    await deviceOf(bob).setOnline(true);
    await made.timeline.advance(20_000);
    expect(traps).toBeGreaterThan(0);
    expect(asideIn(storeOf(bob))).toMatchObject([{ reason: "too-much", doc: docOf(note) }]);
    expect(await bodyOf(bob, note)).toBe("one three");
    await append(bob, note, " bob");
    await made.timeline.advance(5_000);
    expect(await bodyOf(cyd, note)).toContain(" bob");
    // Nobody else had any trouble with it.
    expect(storeOf(cyd).inbox.quarantined()).toEqual([]);
  });
});

const noChange = new Uint8Array();

describe("a process that ends while it applies a change (attack 52)", () => {
  /** Ada has written two words; Bob's process ends whenever it applies the first of them. */
  async function deadly(seed: string, isThreadDeadly: boolean) {
    const armed: { change: Uint8Array; deaths: number; isDead: boolean } = {
      change: noChange,
      deaths: 0,
      isDead: false,
    };
    const { automerge } = engines;
    const dying: typeof automerge = {
      ...automerge,
      applyChanges: (doc, changes) => {
        if (changes.some((bytes) => equal(bytes, armed.change))) {
          if (!armed.isDead) armed.deaths += 1;
          armed.isDead = true;
          // From here on nothing reaches the disk, the network, or anybody.
          bob.killAfterFlushes(0);
          throw new Error("the process is over");
        }
        return automerge.applyChanges(doc, changes);
      },
    };
    const cast = await threeDevices(seed, engines, {
      automergeOf: (device) => (device === "bob" ? dying : automerge),
      startOpener: (device) => {
        if (device !== "bob" || isThreadDeadly) {
          return openerInProcess(() => Promise.resolve(device === "bob" ? dying : automerge));
        }
        const threads = new Threads();
        return (events) => {
          threads.bomb = armed.change;
          return threads.start("die")(events);
        };
      },
    });
    keep(cast.made);
    const [ada, bob] = cast.devices;
    await bob.kill();
    await append(ada, cast.note, " two");
    armed.change = storeOf(ada).changes.bytesOfDocument(docOf(cast.note)).at(-1) ?? noChange;
    await append(cast.devices[2], cast.note, " three");
    await cast.made.timeline.advance(5_000);
    const begin = async (): Promise<void> => {
      await bob.kill();
      armed.isDead = false;
      bob.open();
      await cast.made.timeline.advance(10_000);
    };
    return { ...cast, bob, armed, begin };
  }

  it("is followed by one that has it tried elsewhere, sets it aside once, and applies the rest", async () => {
    const { made, devices, bob, note, armed, begin } = await deadly("deadly once", false);
    await begin();
    expect(armed.deaths).toBe(1);
    expect(bob.running).toBeNull();
    await begin();
    expect(armed.deaths).toBe(1);
    expect(await bodyOf(bob, note)).toBe("one three");
    expect(asideIn(storeOf(bob))).toMatchObject([{ reason: "too-much", doc: docOf(note) }]);
    // Once: the next process has nothing to fear.
    await begin();
    expect(await bodyOf(bob, note)).toBe("one three");
    expect(storeOf(bob).inbox.quarantined()).toHaveLength(1);
    expect(storeOf(bob).refused.interrupted()).toEqual([]);
    await append(bob, note, " bob");
    await made.timeline.advance(5_000);
    expect(await bodyOf(devices[2], note)).toContain(" bob");
  });

  it("and takes even that down with it, is followed by one that names what it tries, and then sets that aside", async () => {
    const { bob, note, armed, begin } = await deadly("deadly again", true);
    for (let starts = 1; starts <= 3; starts += 1) {
      await begin();
      expect(armed.deaths).toBe(starts);
      expect(bob.running).toBeNull();
    }
    await begin();
    expect(armed.deaths).toBe(3);
    expect(await bodyOf(bob, note)).toBe("one three");
    expect(asideIn(storeOf(bob))).toMatchObject([{ reason: "interrupted", doc: docOf(note) }]);
    expect(storeOf(bob).refused.interrupted()).toEqual([]);
  });
});
