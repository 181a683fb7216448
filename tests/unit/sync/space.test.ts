import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Space } from "#client/sync/space.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";
import { WrittenSpace } from "./written-space.ts";

const written = new WrittenSpace("places");

let engine: SqliteEngine;
let store: Store;
let space: Space;

beforeAll(async () => {
  engine = await loadNodeEngine();
});

/** Both records of a new space, read where they stand: at 1 and 2. */
beforeEach(() => {
  const { founded, admin, ed } = written;
  const random = (length: number): Uint8Array => bytesNamed("drawn", length);
  store = openStore({
    engine,
    files: new MemoryFiles(),
    key: null,
    clock: { now: () => 0 },
    random,
  });
  const { spaceId, genesis } = founded;
  let chain = chainStart(spaceId);
  for (const { record, bytes, hash } of founded.records) {
    store.spaces.addControl(spaceId, record.ctrlSeq, bytes, record.ctrlSeq, hash);
    chain = chainNext(record.ctrlSeq, chain, noDocument, hash);
    store.inbox.advance(spaceId, record.ctrlSeq, chain);
  }
  const identity = {
    secret: bytesNamed("device secret", 32),
    incarnation: bytesNamed("inc", 16),
    former: [],
  };
  space = new Space({ store, ed, identity }, spaceId, genesis, admin);
});

function places(): readonly (number | null)[] {
  return store.spaces.control(space.id).map(({ pos }) => pos);
}

function elsewhere(): { readonly pos: number; readonly bytes: Uint8Array }[] {
  return written.founded.records.map(({ record, bytes }) => ({ pos: record.ctrlSeq + 6, bytes }));
}

describe("where a control record stands", () => {
  it("is not changed by an answer once it was read in the log: the relay may have another for the moment", () => {
    expect(space.absorb(elsewhere(), []).displaced).toEqual([]);
    expect(places()).toEqual([1, 2]);
  });

  it("is what the log says that is read now", () => {
    space.absorb(elsewhere(), [], "read");
    expect(places()).toEqual([7, 8]);
  });

  it("is what an answer says of what is still to be read", () => {
    store.inbox.rewind(space.id, 1, store.inbox.chainAt(space.id, 1) ?? new Uint8Array(32));
    space.absorb(elsewhere(), []);
    expect(places()).toEqual([1, 8]);
  });
});
