/** fast-check's idea of every value the protocol can write. */
import fc from "fast-check";
import type { ControlBody, ControlRecord } from "#relay/protocol/control.ts";
import type { EntryHeader } from "#relay/protocol/entry.ts";
import type { Genesis } from "#relay/protocol/genesis.ts";
import type { Message } from "#relay/protocol/messages.ts";

/** Bytes of exactly this length. */
export function bytesOf(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffff_ffff);
const u64 = fc.nat(Number.MAX_SAFE_INTEGER);
const short = { maxLength: 6 };

export const genesisArbitrary: fc.Arbitrary<Genesis> = fc.record({
  kind: fc.constantFrom("notebook" as const, "vault" as const),
  adminPub: bytesOf(32),
  nonce: bytesOf(16),
});

const roleArbitrary = fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const);
const meta = fc.uint8Array({ maxLength: 80 });

const controlBodyArbitrary: fc.Arbitrary<ControlBody> = fc.oneof(
  fc.record({
    type: fc.constant("grant" as const),
    signPub: bytesOf(32),
    boxPub: bytesOf(32),
    role: roleArbitrary,
    kind: fc.constantFrom(1 as const, 2 as const, 3 as const, 4 as const),
    notAfter: u64,
    maxJoins: u16,
    ephPub: bytesOf(32),
    sealedKey: fc.option(bytesOf(48)),
    meta,
  }),
  fc.record({
    type: fc.constant("join" as const),
    signPub: bytesOf(32),
    boxPub: bytesOf(32),
    ephPub: bytesOf(32),
    sealedKey: bytesOf(48),
    meta,
  }),
  fc.record({
    type: fc.constant("rotate" as const),
    changes: fc.array(fc.record({ capIx: u32, role: roleArbitrary }), short),
    keyCommit: bytesOf(32),
    readTokenHash: bytesOf(32),
    ephPub: bytesOf(32),
    keys: fc.array(fc.record({ capIx: u32, sealedKey: bytesOf(48) }), short),
    previousKey: fc.option(bytesOf(72)),
  }),
  fc.constant({ type: "delete" as const }),
  fc.constant({ type: "restore" as const }),
);

export const controlArbitrary: fc.Arbitrary<ControlRecord> = fc.record({
  spaceId: bytesOf(32),
  ctrlSeq: u32,
  prevCtrlHash: bytesOf(32),
  epochAfter: u32,
  timeMs: u64,
  seenPos: u64,
  seenChain: bytesOf(32),
  body: controlBodyArbitrary,
  signerPub: bytesOf(32),
});

export const entryArbitrary: fc.Arbitrary<{
  readonly header: EntryHeader;
  readonly ext: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly signature: Uint8Array;
}> = fc.record({
  header: fc.record({
    kind: u8,
    flags: u16,
    spaceId: bytesOf(32),
    docId: bytesOf(16),
    epoch: u32,
    devPub: bytesOf(32),
    ctr: u64,
    nonce: bytesOf(24),
  }),
  ext: fc.uint8Array({ maxLength: 50 }),
  ciphertext: fc.uint8Array({ minLength: 16, maxLength: 300 }),
  signature: bytesOf(64),
});

export const stubArbitrary = fc.record({
  docId: bytesOf(16),
  kind: u8,
  size: u32,
  entryId: bytesOf(32),
});

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const block = fc.uint8Array({ maxLength: 60 });
const records = fc.array(fc.record({ pos: u64, bytes: block }), short);

/** One arbitrary per message: a message added without one does not compile. */
const messageArbitraries: {
  readonly [Type in Message["type"]]: fc.Arbitrary<Extract<Message, { type: Type }>>;
} = {
  hello: fc.record({
    type: fc.constant("hello"),
    version: u16,
    nonce: bytesOf(16),
    origin: text,
  }),
  welcome: fc.record({
    type: fc.constant("welcome"),
    version: u16,
    relayPub: bytesOf(32),
    storeId: bytesOf(16),
    nonce: bytesOf(16),
    access: u8,
    limits: fc.record({
      entryBytes: u32,
      spaceBytes: u64,
      documentBytes: u64,
      blobBytes: u64,
      entriesPerSecond: u32,
      entryBurst: u32,
      presencePerSecond: u32,
      connectionsPerAddress: u32,
      windowBytes: u32,
      handshakeMs: u32,
    }),
    signature: bytesOf(64),
  }),
  auth: fc.record({
    type: fc.constant("auth"),
    accessPub: bytesOf(32),
    token: fc.oneof(fc.constant(new Uint8Array()), bytesOf(16)),
    signature: bytesOf(64),
  }),
  authOk: fc.constant({ type: "authOk" }),
  subscribe: fc.record({
    type: fc.constant("subscribe"),
    spaces: fc.array(
      fc.record({
        spaceId: bytesOf(32),
        readToken: bytesOf(16),
        cursor: u64,
        chainTag: bytesOf(16),
        ctrlSeq: u32,
        mode: fc.constantFrom("live" as const, "stubs" as const),
      }),
      short,
    ),
  }),
  subscribed: fc.record({
    type: fc.constant("subscribed"),
    results: fc.array(
      fc.record({
        status: u16,
        handle: u32,
        head: u64,
        chain: bytesOf(32),
        ctrlSeq: u32,
        base: u64,
      }),
      short,
    ),
  }),
  unsubscribe: fc.record({ type: fc.constant("unsubscribe"), handles: fc.array(u32, short) }),
  pull: fc.record({ type: fc.constant("pull"), handle: u32, after: u64, upTo: u64 }),
  data: fc.record({
    type: fc.constant("data"),
    handle: u32,
    items: fc.array(
      fc.record({
        pos: u64,
        kind: fc.constantFrom("entry" as const, "stub" as const, "control" as const),
        bytes: block,
      }),
      short,
    ),
  }),
  caughtUp: fc.record({
    type: fc.constant("caughtUp"),
    handle: u32,
    head: u64,
    chain: bytesOf(32),
  }),
  credit: fc.record({ type: fc.constant("credit"), bytes: u32 }),
  rekey: fc.record({ type: fc.constant("rekey"), handle: u32 }),
  pullDocument: fc.record({
    type: fc.constant("pullDocument"),
    handle: u32,
    docId: bytesOf(16),
    after: u64,
    byteBudget: u32,
  }),
  list: fc.record({ type: fc.constant("list"), handle: u32, afterDocId: bytesOf(16) }),
  listed: fc.record({
    type: fc.constant("listed"),
    handle: u32,
    more: fc.boolean(),
    documents: fc.array(
      fc.record({
        docId: bytesOf(16),
        lastPos: u64,
        dropPos: u64,
        snapshotPos: u64,
        snapshotSize: u32,
        tailEntries: u32,
        tailBytes: u64,
        card: block,
      }),
      short,
    ),
  }),
  blobInit: fc.record({ type: fc.constant("blobInit"), statement: block }),
  blobHave: fc.nat(60).chain((count) =>
    fc.record({
      type: fc.constant("blobHave" as const),
      status: u16,
      count: fc.constant(count),
      bitmap: bytesOf(Math.ceil(count / 8)),
    }),
  ),
  blobPut: fc.record({
    type: fc.constant("blobPut"),
    spaceId: bytesOf(32),
    blobId: bytesOf(16),
    index: u16,
    chunk: block,
  }),
  blobAck: fc.record({ type: fc.constant("blobAck"), status: u16 }),
  blobGet: fc.record({
    type: fc.constant("blobGet"),
    handle: u32,
    blobId: bytesOf(16),
    from: u16,
    count: u16,
  }),
  blobData: fc.record({ type: fc.constant("blobData"), handle: u32, index: u16, chunk: block }),
  blobDrop: fc.record({ type: fc.constant("blobDrop"), statement: block }),
  push: fc.record({ type: fc.constant("push"), entries: fc.array(block, short) }),
  pushAck: fc.record({
    type: fc.constant("pushAck"),
    results: fc.array(
      fc.record({ status: u16, pos: u64, chain: bytesOf(32), lastCtr: u64 }),
      short,
    ),
  }),
  controlGet: fc.record({ type: fc.constant("controlGet"), spaceId: bytesOf(32), fromSeq: u32 }),
  controlData: fc.record({
    type: fc.constant("controlData"),
    genesis: bytesOf(52),
    more: fc.boolean(),
    records,
    certificates: fc.array(bytesOf(161), { maxLength: 3 }),
  }),
  controlPush: fc.record({
    type: fc.constant("controlPush"),
    genesis: bytesOf(52),
    records: fc.array(block, short),
  }),
  controlAck: fc.record({ type: fc.constant("controlAck"), status: u16, records }),
  certPut: fc.record({ type: fc.constant("certPut"), certificate: bytesOf(161) }),
  certAck: fc.record({ type: fc.constant("certAck"), status: u16 }),
  presence: fc.record({ type: fc.constant("presence"), handle: u32, sealed: block }),
  ping: fc.record({ type: fc.constant("ping"), token: bytesOf(8) }),
  pong: fc.record({ type: fc.constant("pong"), token: bytesOf(8) }),
  goaway: fc.record({ type: fc.constant("goaway"), code: u16, retryAfterMs: u32 }),
  error: fc.record({ type: fc.constant("error"), code: u16, retryAfterMs: u32, detail: text }),
};

export const messageArbitrary: fc.Arbitrary<Message> = fc.oneof(
  ...Object.values<fc.Arbitrary<Message>>(messageArbitraries),
);

export const u32Arbitrary = u32;
