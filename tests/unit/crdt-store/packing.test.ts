import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { NewChange } from "#crdt-store/changes.ts";
import type { Change } from "#crdt-store/chunks.ts";
import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import type { MemoryFiles } from "#crdt-store/files/memory.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import type { Store } from "#crdt-store/store.ts";
import { syntheticChange } from "#tests/support/synthetic-change.ts";
import {
  parsed,
  bytesFor,
  doc,
  reopen,
  seededNumbers,
  setupStore,
  space,
} from "./store-fixtures.ts";

const nothingGiven: ReadonlySet<string> = new Set();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** What one editing session of a history does next. */
interface Edit {
  readonly actor: number;
  /** Which of the others' newest changes it has seen. */
  readonly sees: readonly boolean[];
  readonly local: boolean;
  readonly placed: boolean;
  readonly queued: boolean;
  readonly arrives: number;
}

type Edited = NewChange & Change & { readonly edit: Edit };

const actors = 3;
const mostly = (value: boolean): fc.Arbitrary<boolean> =>
  fc.integer({ min: 1, max: 20 }).map((number) => (number === 1 ? !value : value));
const edits = fc.array(
  fc.record({
    actor: fc.nat(actors - 1),
    sees: fc.array(fc.boolean(), { minLength: actors, maxLength: actors }),
    local: fc.boolean(),
    placed: mostly(true),
    queued: mostly(false),
    arrives: fc.nat(1_000),
  }),
  { minLength: 1, maxLength: 24, size: "max" },
);

/** A history of several actors, each edit on top of its actor's last and of what it has seen of the others. */
function historyOf(plan: readonly Edit[]): Edited[] {
  const last = new Map<number, { readonly hash: Uint8Array; readonly seq: number }>();
  return plan.map((edit, number) => {
    const own = last.get(edit.actor);
    const others = [...last].filter(([actor]) => actor !== edit.actor && edit.sees[actor] === true);
    const made = syntheticChange({
      actor: bytesFor(`actor ${edit.actor}`, 16),
      seq: (own?.seq ?? 0) + 1,
      deps: [...(own === undefined ? [] : [own.hash]), ...others.map(([, { hash }]) => hash)],
      filling: bytesFor(`filling ${number}`, 8),
    });
    last.set(edit.actor, made);
    return {
      ...parsed(made.bytes),
      doc,
      opCount: 0,
      space,
      pos: edit.placed ? number + 1 : null,
      signer: bytesFor(`signer ${edit.actor}`),
      local: edit.local,
      at: 1_000,
      edit,
    };
  });
}

function insert(store: Store, changes: readonly Edited[]): void {
  for (const change of changes) {
    store.changes.insert([change]);
    if (change.edit.queued) store.outbox.add(space, doc, [change.hash]);
  }
}

/** Lets go whatever may be let go, as after a snapshot of all that can be applied. */
function packAll(store: Store): ReadonlySet<string> {
  const { applied, left } = store.changes.applicable(doc, nothingGiven);
  const proved = new Set(applied.map(({ hash }) => hex(hash)));
  const lastApplied = Math.max(0, ...applied.map(({ row }) => row));
  const through = Math.min(lastApplied, ...left.map(({ row }) => row - 1));
  const held = new Set([...proved, ...store.changes.packedHashes(doc).map(hex)]);
  store.changes.pack(doc, { snapshot: "s", through, proved, given: nothingGiven });
  return held;
}

/** Whether the snapshot and the rows read beside it are everything. */
function isCovered(store: Store, held: ReadonlySet<string>): boolean {
  const beside = store.changes.ofDocument(doc, store.changes.packOf(doc)?.through);
  const read = new Set([...held, ...beside.map(({ hash }) => hex(hash))]);
  return store.changes.ofDocument(doc).every(({ hash }) => read.has(hex(hash)));
}

function answers(store: Store, history: readonly NewChange[]) {
  const { changes } = store;
  return {
    has: history.map(({ hash }) => changes.has(doc, hash)),
    hasUnknown: changes.has(doc, bytesFor("unknown")),
    missing: changes.missing(doc, [...history.map(({ hash }) => hash), bytesFor("unknown")]),
    heads: changes.heads(doc),
    awaited: changes.awaited(doc),
    lastSeqs: history.map(({ actor }) => changes.lastSeq(doc, actor)),
    bySeq: history.map(({ actor, seq }) => changes.byActorSeq(doc, actor, seq)),
    positions: [...changes.lastPositions()],
    documents: changes.documents(),
    pending: store.outbox.pending(space),
  };
}

describe("a packed document", { timeout: 30_000 }, () => {
  it("answers every question as before, whatever its history and order of arrival", async () => {
    let everPacked = 0;
    await fc.assert(
      fc.asyncProperty(edits, fc.nat(24), async (plan, late) => {
        const history = historyOf(plan);
        const arrival = history.toSorted((a, b) => a.edit.arrives - b.edit.arrives);
        const { store } = await setupStore({ key: null });
        const { store: plain } = await setupStore({ key: null });
        const early = arrival.slice(0, late);
        for (const each of [store, plain]) insert(each, early);
        const held = packAll(store);
        expect(answers(store, history)).toEqual(answers(plain, history));

        // What was let go comes again, and the rest.
        for (const each of [store, plain]) insert(each, arrival);
        expect(answers(store, history)).toEqual(answers(plain, history));
        expect(isCovered(store, held)).toBe(true);
        packAll(store);
        expect(answers(store, history)).toEqual(answers(plain, history));
        // As after a restart.
        store.changes.forget();
        expect(answers(store, history)).toEqual(answers(plain, history));

        everPacked += store.changes.packOf(doc)?.changes ?? 0;
        store.changes.unpack(doc, history, 1_000);
        expect(answers(store, history)).toEqual(answers(plain, history));
        expect(facts(store)).toEqual(facts(plain));
        for (const each of [store, plain]) each.close();
      }),
      { numRuns: 40 },
    );
    expect(everPacked).toBeGreaterThan(100);
  });

  it("keeps what the relay has not got or acknowledged, and what depends on it", async () => {
    const { store } = await setupStore({ key: null });
    const edit = { actor: 0, sees: [], local: true, placed: true, queued: false, arrives: 0 };
    const history = historyOf([
      edit,
      edit,
      { ...edit, queued: true },
      edit,
      { ...edit, actor: 1, placed: false },
    ]);
    insert(store, history);
    packAll(store);
    expect(store.changes.packedHashes(doc)).toEqual(history.slice(0, 2).map(({ hash }) => hash));
    expect(store.changes.ofDocument(doc).map(({ hash }) => hash)).toEqual(
      history.slice(2).map(({ hash }) => hash),
    );
    expect(store.changes.packOf(doc)).toMatchObject({ kept: 3, waiting: 1, changes: 2, pos: 2 });
  });

  it("takes room for little more than its hashes", async () => {
    const { store, files } = await setupStore({ key: null });
    const plan = Array.from({ length: 5_000 }, () => ({
      actor: 0,
      sees: [],
      local: true,
      placed: true,
      queued: false,
      arrives: 0,
    }));
    store.close();
    const empty = await bytesInUse(files);
    const filled = (await setupStore({ key: null, files })).store;
    filled.transaction(() => filled.changes.insert(historyOf(plan)));
    packAll(filled);
    expect(filled.changes.countOf(doc)).toBe(0);
    filled.close();
    expect((await bytesInUse(files)) - empty).toBeLessThan(5_000 * 32 * 1.25);
  });

  it("is packed or not after a power cut at any moment, and answers the same either way", async () => {
    const engine = await loadNodeEngine();
    const plan = Array.from({ length: 12 }, (_, number) => ({
      actor: number % actors,
      sees: [true, true, true],
      local: number % 2 === 0,
      placed: number < 10,
      queued: number >= 10,
      arrives: number,
    }));
    const history = historyOf(plan);
    const outcomes = new Set<boolean>();
    let isDone = false;
    for (let changes = 0; !isDone; changes += 1) {
      const files = new FaultyFiles(seededNumbers(changes));
      const store = reopen(engine, files, null);
      insert(store, history);
      const before = answers(store, history);
      files.failAfter(changes);
      try {
        packAll(store);
        isDone = true;
      } catch {
        // Whether for want of power is asked below.
      }
      expect(files.powerIsOff).toBe(!isDone);
      files.losePower();
      const after = reopen(engine, files, null);
      expect(answers(after, history)).toEqual(before);
      after.checkIntegrity();
      outcomes.add(after.changes.packOf(doc) !== null);
      after.close();
    }
    expect(outcomes).toEqual(new Set([false, true]));
  });
});

/** What rows say beside their position: packs keep one position for all. */
function facts(store: Store) {
  return store.changes
    .ofDocument(doc)
    .map(({ hash, bytes, actor, seq, local, signer }) => ({
      hash: hex(hash),
      bytes: hex(bytes),
      actor,
      seq,
      local,
      signer,
    }))
    .toSorted((a, b) => a.hash.localeCompare(b.hash));
}

/** Without the pages that deleting has left free for what comes next. */
async function bytesInUse(files: MemoryFiles): Promise<number> {
  const sqlite = Sqlite.open({ engine: await loadNodeEngine(), files, codec: null });
  const pages = sqlite.get<{ page_count: number }>("PRAGMA page_count")?.page_count ?? 0;
  const free = sqlite.get<{ freelist_count: number }>("PRAGMA freelist_count")?.freelist_count;
  sqlite.close();
  return (pages - (free ?? 0)) * 4_096;
}
