import { bytesToHex } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { meetingOf } from "#crdt-store/merges.ts";
import { bytesFor, doc, journalled, setupStore, space, typedChanges } from "./store-fixtures.ts";

/** A change with only its place in the history. */
function placed(name: string, ...deps: readonly string[]) {
  return { doc, hash: bytesFor(name), deps: deps.map((dep) => bytesFor(dep)) };
}

const hashes = (...names: readonly string[]): readonly Uint8Array[] =>
  names.map((name) => bytesFor(name));

describe("what came to a document", () => {
  it("meets nothing if it knew all that was there", () => {
    expect(meetingOf([], [placed("a")])).toBeNull();
    expect(meetingOf(hashes("a"), [placed("b", "a"), placed("c", "b")])).toBeNull();
    expect(meetingOf(hashes("a", "b"), [placed("c", "a", "b")])).toBeNull();
    expect(meetingOf(hashes("a"), [])).toBeNull();
  });

  it("meets what it did not know, also if it came to know it later in the same step", () => {
    const meeting = meetingOf(hashes("mine"), [
      placed("b1", "base"),
      placed("b2", "b1"),
      placed("merged", "b2", "mine"),
    ]);
    expect(meeting?.stood).toEqual(hashes("mine"));
    expect(meeting?.came).toEqual(hashes("b2"));
  });

  it("meets exactly where something concurrent was there, in any history", () => {
    // A change depends on any earlier ones; the first of them are there, the others come.
    const history = fc
      .array(fc.uniqueArray(fc.nat({ max: 9 }), { minLength: 1, maxLength: 3 }), { maxLength: 9 })
      .map((steps) => [
        [] as number[],
        ...steps.map((deps, ix) => [...new Set(deps.map((dep) => dep % (ix + 1)))]),
      ]);
    fc.assert(
      fc.property(history, fc.nat(), (steps, at) => {
        const ancestors = steps.map(() => new Set<number>());
        for (const [ix, deps] of steps.entries()) {
          for (const dep of deps) {
            ancestors[ix]?.add(dep);
            for (const older of ancestors[dep] ?? []) ancestors[ix]?.add(older);
          }
        }
        const there = 1 + (at % steps.length);
        const heads = [...steps.keys()]
          .slice(0, there)
          .filter((ix) => !steps.slice(0, there).some((deps) => deps.includes(ix)));
        const coming = [...steps.keys()].slice(there);
        const name = (ix: number): string => `change ${ix}`;
        const meeting = meetingOf(
          hashes(...heads.map(name)),
          coming.map((ix) => placed(name(ix), ...(steps[ix] ?? []).map(name))),
        );
        const isConcurrent = coming.some((ix) =>
          [...steps.keys()].slice(0, there).some((old) => ancestors[ix]?.has(old) === false),
        );
        expect(meeting !== null).toBe(isConcurrent);
      }),
    );
  });
});

describe("the journal", () => {
  async function setupNote(isOwn: boolean) {
    const { store } = await setupStore();
    store.documents.add({ doc, space, kind: "note", origin: null });
    if (isOwn)
      store.documents.addActor(doc, { actor: bytesFor("a", 16), nonce: doc, session: "s" });
    const [base, mine] = await typedChanges(["one", "two"], "aa".repeat(16));
    if (base === undefined || mine === undefined) throw new Error("two changes");
    store.changes.insert([journalled(base)]);
    store.changes.insert([journalled(mine)]);
    return { store, base, mine };
  }

  it("notes a merge in a note of this device, and the branch that goes on as the same one", async () => {
    const { store, base, mine } = await setupNote(true);
    expect(store.merges.of(doc)).toEqual([]);
    const foreign = { ...mine, actor: bytesFor("b", 16), bytes: mine.bytes };
    const came = { ...foreign, hash: bytesFor("their first"), deps: [base.hash] };
    store.changes.insert([journalled(came)]);
    expect(store.merges.of(doc)).toEqual([{ stood: [mine.hash], came: [came.hash] }]);
    const next = { ...foreign, seq: 3, hash: bytesFor("their second"), deps: [came.hash] };
    store.changes.insert([journalled(next)]);
    const [merge, ...others] = store.merges.of(doc);
    expect(others).toEqual([]);
    expect(merge?.came.map((hash) => bytesToHex(hash))).toEqual([bytesToHex(next.hash)]);
    expect(store.merges.documents(5)).toEqual([doc]);
    store.merges.remove(doc);
    expect(store.merges.documents(5)).toEqual([]);
  });

  it("notes none in what others wrote among themselves", async () => {
    const { store, base, mine } = await setupNote(false);
    const came = { ...mine, actor: bytesFor("b", 16), hash: bytesFor("x"), deps: [base.hash] };
    store.changes.insert([journalled(came)]);
    expect(store.merges.of(doc)).toEqual([]);
  });

  it("keeps few merges of a document, however many there are", async () => {
    const { store, base } = await setupNote(true);
    for (let ix = 0; ix < 50; ix += 1) {
      const actor = bytesFor(`actor ${ix}`, 16);
      store.changes.insert([
        journalled({ ...base, actor, hash: bytesFor(`branch ${ix}`), deps: [base.hash] }),
      ]);
    }
    expect(store.merges.of(doc).length).toBeLessThanOrEqual(8);
    expect(store.merges.of(doc).at(-1)?.came.map(bytesToHex)).toContain(
      bytesToHex(bytesFor("branch 49")),
    );
  });
});
