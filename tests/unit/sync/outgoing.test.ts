import * as Automerge from "@automerge/automerge/slim";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { actorOf, isHeadGenuine, signOrigin } from "#client/crypto/authorship.ts";
import { openEntry } from "#client/crypto/entry-seal.ts";
import { parsePayload, type Payload } from "#client/crypto/payload.ts";
import { judgeEntry } from "#client/sync/intake.ts";
import { sealWaiting } from "#client/sync/outgoing.ts";
import { Space } from "#client/sync/space.ts";
import { keyCommitOf } from "#client/crypto/derive.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { parseChanges } from "#crdt-store/chunks.ts";
import { concat, toHex } from "#relay/protocol/bytes.ts";
import { parseEntry, type Entry } from "#relay/protocol/entry.ts";
import { documentIdOf } from "#relay/protocol/genesis.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";
import { parsedChanges, WrittenSpace, type Text } from "./written-space.ts";

const written = new WrittenSpace("outgoing");
const entryBytes = 8_192;

let engine: SqliteEngine;
let store: Store;
let space: Space;
let docId: Uint8Array;
let drawn = 0;
const random = (length: number): Uint8Array => bytesNamed(`drawn ${(drawn += 1)}`, length);
const docNonce = bytesNamed("outgoing doc nonce", 16);

beforeAll(async () => {
  await loadAutomerge();
  engine = await loadNodeEngine();
});

beforeEach(() => {
  const { founded, admin, ed } = written;
  const clock = { now: () => 0 };
  store = openStore({ engine, files: new MemoryFiles(), key: null, clock, random });
  for (const { record, bytes, hash } of founded.records) {
    store.spaces.addControl(founded.spaceId, record.ctrlSeq, bytes, null, hash);
  }
  store.spaces.putKey(
    founded.spaceId,
    keyCommitOf(founded.spaceId, 1, founded.epochKey),
    1,
    founded.epochKey,
  );
  const identity = {
    secret: bytesNamed("device secret", 32),
    incarnation: bytesNamed("inc", 16),
    former: [],
  };
  space = new Space({ store, ed, identity }, founded.spaceId, founded.genesis, admin);
  space.certifyDevice();
  docId = documentIdOf(space.id, space.device.publicKey, docNonce);
});

function actor(name: string): string {
  const nonce = bytesNamed(`nonce of ${name}`, 16);
  const bytes = actorOf(docId, space.device.publicKey, nonce);
  if (store.documents.actor(docId, bytes) === null) {
    store.documents.addActor(docId, { actor: bytes, nonce, session: name });
  }
  return toHex(bytes);
}

/** A note with so many changes of so many characters each. */
function write(changes: number, characters: number): Automerge.Doc<Text> {
  let doc = Automerge.change(
    Automerge.init<Text>({ actor: actor("one") }),
    { time: 0 },
    (draft) => {
      draft.body = "";
    },
  );
  for (let made = 1; made < changes; made += 1) {
    // Text that does not compress, so that sizes are what they seem.
    const text = toHex(bytesNamed(`text ${made}`, characters / 2));
    doc = Automerge.change(doc, { time: 0 }, (draft) => {
      Automerge.splice(draft, ["body"], 0, 0, text);
    });
  }
  return doc;
}

function queue(doc: Automerge.Doc<Text>, order: "in order" | "backwards" = "in order"): void {
  const made = parsedChanges(Automerge.getAllChanges(doc));
  const [root] = made;
  const changes = order === "backwards" ? made.toReversed() : made;
  if (root === undefined) throw new Error("a document has changes");
  store.documents.add({
    doc: docId,
    space: space.id,
    kind: "note",
    origin: signOrigin(written.ed, space.device, docId, docNonce, [root.hash]),
  });
  const added = store.changes.insert(
    changes.map((change) => ({
      doc: docId,
      hash: change.hash,
      actor: change.actor,
      seq: change.seq,
      deps: change.deps,
      bytes: change.bytes,
      opCount: 0,
      space: space.id,
      pos: null,
      signer: space.device.publicKey,
      local: true,
      at: 0,
    })),
  );
  store.outbox.add(space.id, docId, added);
}

function sealed(): readonly { readonly entry: Entry; readonly payload: Payload }[] {
  return store.outbox.sealed(space.id).map(({ bytes }) => {
    const entry = parseEntry(bytes, 1 << 20);
    if (!entry.ok) throw new Error(entry.error);
    const plaintext = openEntry(entry.value, written.founded.epochKey);
    if (plaintext === null) throw new Error("it opens with the key of its epoch");
    const payload = parsePayload(plaintext);
    if (!payload.ok) throw new Error(payload.error);
    return { entry: entry.value, payload: payload.value };
  });
}

describe("what waits", () => {
  it("goes into few entries of many changes, each under the relay's limit, in order", () => {
    queue(write(60, 600));
    sealWaiting(store, space, random, entryBytes, 256);
    const entries = sealed();
    expect(entries.length).toBeGreaterThan(3);
    expect(entries.length).toBeLessThan(12);
    for (const { bytes } of store.outbox.sealed(space.id)) {
      expect(bytes.length).toBeLessThanOrEqual(entryBytes);
    }
    const sent = parseChanges(concat(...entries.map(({ payload }) => payload.data)));
    if (sent.type === "failed") throw new Error(sent.failure.type);
    expect(sent.changes.map(({ seq }) => seq)).toEqual(
      Array.from({ length: 60 }, (_, ix) => ix + 1),
    );
    expect(entries.map(({ entry }) => entry.ctr)).toEqual(entries.map((_, ix) => ix + 1));
  });

  it("is believed by whoever receives it", () => {
    queue(write(12, 600));
    sealWaiting(store, space, random, entryBytes, 256);
    for (const [ix, { entry, payload }] of sealed().entries()) {
      expect(judgeEntry(entry, ix + 3, space)).toMatchObject({ type: "good" });
      // The origin travels with the root, and only with it.
      expect(payload.origin !== null).toBe(ix === 0);
    }
  });

  it("goes with what it follows first, in whatever order the journal has it", () => {
    queue(write(12, 600), "backwards");
    sealWaiting(store, space, random, entryBytes, 256);
    for (const [ix, { entry }] of sealed().entries()) {
      expect(judgeEntry(entry, ix + 3, space)).toMatchObject({ type: "good" });
    }
  });

  it("leaves no hole in an author's changes, where the relay has one of them and has lost those around it", () => {
    const doc = write(5, 40);
    queue(doc);
    const third = parsedChanges(Automerge.getAllChanges(doc))[2];
    if (third === undefined) throw new Error("there are five");
    store.outbox.drop(docId, third.hash);
    sealWaiting(store, space, random, entryBytes, 256);
    const made = sealed();
    expect(made.map(({ payload }) => payload.heads.map(({ seq }) => seq))).toEqual([[2], [5]]);
    for (const [ix, { entry }] of made.entries()) {
      expect(judgeEntry(entry, ix + 3, space)).toMatchObject({ type: "good" });
    }
  });

  it("ends in one signed head per actor, at that actor's last change in the entry", () => {
    const one = write(3, 40);
    const two = Automerge.change(
      Automerge.clone(one, { actor: actor("two") }),
      { time: 0 },
      (draft) => Automerge.splice(draft, ["body"], 0, 0, "two"),
    );
    queue(two);
    sealWaiting(store, space, random, entryBytes, 256);
    const [only, ...others] = sealed();
    expect(others).toEqual([]);
    const heads = only?.payload.heads ?? [];
    expect(heads.map(({ seq }) => seq).toSorted((a, b) => a - b)).toEqual([1, 3]);
    expect(heads.every((head) => isHeadGenuine(written.ed, docId, head))).toBe(true);
  });

  it("is sealed no further than asked; the rest goes with the next call", () => {
    queue(write(60, 600));
    sealWaiting(store, space, random, entryBytes, 2);
    expect(sealed()).toHaveLength(2);
    sealWaiting(store, space, random, entryBytes, 256);
    const entries = sealed();
    expect(entries.length).toBeGreaterThan(3);
    expect(store.outbox.pending(space.id)).toEqual([]);
    sealWaiting(store, space, random, entryBytes, 256);
    expect(sealed()).toHaveLength(entries.length);
  });

  it("is sealed under a nonce and a counter of its own each time, however often (attack 65)", () => {
    queue(write(40, 300));
    const nonces = new Set<string>();
    const counters = new Set<number>();
    let sealed = 0;
    for (let rounds = 0; rounds < 30; rounds += 1) {
      sealWaiting(store, space, random, 2_048, 256);
      for (const { bytes, entryId } of store.outbox.sealed(space.id)) {
        const parsed = parseEntry(bytes, bytes.length);
        if (!parsed.ok) throw new Error(parsed.error);
        nonces.add(toHex(parsed.value.nonce));
        counters.add(parsed.value.ctr);
        sealed += 1;
        store.outbox.unseal(space.id, entryId);
      }
    }
    expect(sealed).toBeGreaterThan(200);
    expect(nonces.size).toBe(sealed);
    expect(counters.size).toBe(sealed);
  });

  it("takes a new counter when it is sealed again, never an old one", () => {
    queue(write(2, 40));
    sealWaiting(store, space, random, entryBytes, 256);
    const [first] = sealed();
    if (first === undefined) throw new Error("something was sealed");
    store.outbox.unseal(space.id, first.entry.entryId);
    sealWaiting(store, space, random, entryBytes, 256);
    const [again] = sealed();
    expect(again?.entry.ctr).toBe(first.entry.ctr + 1);
    expect(again?.entry.nonce).not.toEqual(first.entry.nonce);
  });

  it("stays where it is while there is no key to write with", () => {
    queue(write(2, 40));
    const { founded, admin, ed } = written;
    const identity = {
      secret: bytesNamed("device secret", 32),
      incarnation: bytesNamed("i", 16),
      former: [],
    };
    const empty = openStore({
      engine,
      files: new MemoryFiles(),
      key: null,
      clock: { now: () => 0 },
      random,
    });
    const keyless = new Space(
      { store: empty, ed, identity },
      founded.spaceId,
      founded.genesis,
      admin,
    );
    expect(keyless.currentKey).toBeNull();
    sealWaiting(store, keyless, random, entryBytes, 256);
    expect(sealed()).toEqual([]);
    expect(store.outbox.depth(space.id)).toBe(2);
    empty.close();
  });
});
