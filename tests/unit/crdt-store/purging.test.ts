/** Deleting a document for good. That shrinking survives power cuts is shown in tests/powerloss. */
import { describe, expect, it } from "vitest";

import type { Store } from "#crdt-store/store.ts";
import { bytesFor, seededBytes, setupStore, space } from "./store-fixtures.ts";

const going = bytesFor("going", 16);
const staying = bytesFor("staying", 16);

/** Two documents, each with a snapshot of so many bytes, a list row, a draft and something set aside. */
function fill(store: Store, bytes: number): void {
  const filling = seededBytes(3);
  for (const doc of [going, staying]) {
    store.snapshots.put(doc, { key: "one", heads: [], bytes: filling(bytes) });
    store.notes.upsert({
      doc,
      space,
      title: "A title",
      preview: "",
      tags: [],
      createdAt: 1,
      updatedAt: 1,
      trashedAt: 1,
      movedTo: null,
      listed: true,
      stale: false,
    });
    const draft = { doc, session: "tab", actor: bytesFor("actor", 16), heads: [], edits: "[]" };
    store.drafts.put({ ...draft, at: 1 });
    const item = { space, pos: null, doc, entryId: null, reason: "bad", signer: null };
    store.inbox.quarantine({ ...item, bytes: filling(100) });
  }
}

describe("purging", () => {
  it("takes all of one document, and nothing of another", async () => {
    const { store } = await setupStore();
    fill(store, 10_000);
    expect(store.isAcknowledged(going)).toBe(false);
    store.purge(going, space);
    expect(store.notes.get(going)).toBeNull();
    expect(store.snapshots.keys(going)).toEqual([]);
    expect(store.drafts.of(going)).toEqual([]);
    expect(store.inbox.quarantined().map(({ doc }) => doc)).toEqual([staying]);
    expect(store.trash.isPurged(going)).toBe(true);
    expect(store.snapshots.get(staying, "one")?.bytes).toHaveLength(10_000);
    expect(store.trash.isPurged(staying)).toBe(false);
    expect(store.trash.notes(7)).toEqual([{ doc: staying, space, since: 7 }]);
    expect(store.trash.notes(9)).toEqual([{ doc: staying, space, since: 7 }]);
  });
});

describe("shrinking", () => {
  it("waits while a copy is being made", async () => {
    const { store } = await setupStore();
    const copy = store.beginCopy();
    expect(store.shrink()).toBe(false);
    copy.close();
    expect(store.shrink()).toBe(true);
  });
});
