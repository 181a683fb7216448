/**
 * The messages of a session. One binary WebSocket message = `type u8 | reqId u32 | body`, big-endian,
 * at most 1 MiB. An answer repeats the request's reqId; what the relay sends unasked has reqId 0.
 * The layouts stand once, here: `encodeMessage` writes what `parseMessage` reads.
 */
import { inviteTokenBytes } from "./access.ts";
import { parseAll, Writer, type Parsed, type Reader } from "./bytes.ts";
import { blobIdBytes, chunkBytes } from "./blob.ts";
import { chainTagBytes } from "./domain.ts";
import { docIdBytes, genesisBytes, spaceIdBytes } from "./genesis.ts";
import { certificateBytes } from "./control.ts";
import { keyBytes, signatureBytes } from "./keys.ts";
import {
  maxCardBytes,
  maxControlBytes,
  maxErrorDetailBytes,
  maxMessageBytes,
  maxPresenceBytes,
  maxPushEntries,
  maxSubscriptionsPerMessage,
  type Limits,
} from "./limits.ts";

export const readTokenBytes = 16;
export const sessionNonceBytes = 16;
export const storeIdBytes = 16;
export const messageHeaderBytes = 5;
const maxOriginBytes = 512;

export const messageTypes = {
  hello: 0x01,
  welcome: 0x02,
  auth: 0x03,
  authOk: 0x04,
  subscribe: 0x10,
  subscribed: 0x11,
  unsubscribe: 0x12,
  pull: 0x20,
  data: 0x21,
  caughtUp: 0x22,
  credit: 0x23,
  rekey: 0x24,
  pullDocument: 0x25,
  list: 0x26,
  listed: 0x27,
  push: 0x30,
  pushAck: 0x31,
  controlGet: 0x38,
  controlData: 0x39,
  controlPush: 0x3a,
  controlAck: 0x3b,
  certPut: 0x3c,
  certAck: 0x3d,
  presence: 0x40,
  blobInit: 0x50,
  blobHave: 0x51,
  blobPut: 0x52,
  blobAck: 0x53,
  blobGet: 0x54,
  blobData: 0x55,
  blobDrop: 0x56,
  ping: 0x70,
  pong: 0x71,
  goaway: 0x7e,
  error: 0x7f,
} as const;

/** First message of a client: `ver u16 | clientNonce 16 | originLen u16 | dialled origin`. */
export interface Hello {
  readonly type: "hello";
  readonly version: number;
  readonly nonce: Uint8Array;
  /** What the client dialled, as `ws://host:port/path` or `wss://…`: the relay signs it. */
  readonly origin: string;
}

/**
 * `ver u16 | relayPub 32 | storeId 16 | relayNonce 16 | access u8 (access.ts) | entryBytes u32
 * | spaceBytes u64 | documentBytes u64 | blobBytes u64 | entriesPerSecond u32 | entryBurst u32
 * | presencePerSecond u32 | connectionsPerAddress u32 | windowBytes u32 | handshakeMs u32 | sig 64`
 */
export interface Welcome {
  readonly type: "welcome";
  readonly version: number;
  readonly relayPub: Uint8Array;
  /** Belongs to the stored data: another one is another, perhaps empty, relay. */
  readonly storeId: Uint8Array;
  readonly nonce: Uint8Array;
  readonly access: number;
  readonly limits: Limits;
  /** Over the HELLO body and this body without the signature, in domain "welcome". */
  readonly signature: Uint8Array;
}

/**
 * `accessPub 32 | tokenLen u8 (0 or 16) | token | sig 64`; only where a relay is not open. Signed over
 * the bodies of HELLO and WELCOME, so origin, relay key and both nonces, and the token, in domain "auth".
 */
export interface Auth {
  readonly type: "auth";
  readonly accessPub: Uint8Array;
  /** Of an invitation not redeemed yet; else empty. */
  readonly token: Uint8Array;
  readonly signature: Uint8Array;
}

export interface AuthOk {
  readonly type: "authOk";
}

export type SubscriptionMode = "live" | "stubs";

/** `n u16 | (spaceId 32 | readToken 16 | cursor u64 | chainTag 16 | ctrlSeq u32 | mode u8)*` */
export interface Subscribe {
  readonly type: "subscribe";
  readonly spaces: readonly {
    readonly spaceId: Uint8Array;
    readonly readToken: Uint8Array;
    /** The chain is checked to here; what follows is wanted. */
    readonly cursor: number;
    readonly chainTag: Uint8Array;
    readonly ctrlSeq: number;
    readonly mode: SubscriptionMode;
  }[];
}

/** `n u16 | (status u16 (0 taken) | handle u32 | head u64 | chain 32 | ctrlSeq u32 | base u64)*` */
export interface Subscribed {
  readonly type: "subscribed";
  /** In the order of the request. */
  readonly results: readonly {
    readonly status: number;
    /** Names this subscription on this socket from now on. */
    readonly handle: number;
    readonly head: number;
    readonly chain: Uint8Array;
    readonly ctrlSeq: number;
    /** The oldest position whose stub is kept. */
    readonly base: number;
  }[];
}

/** `n u16 | handle u32*` */
export interface Unsubscribe {
  readonly type: "unsubscribe";
  readonly handles: readonly number[];
}

/** `handle u32 | after u64 | upTo u64`: the bodies of (after, upTo] once more. */
export interface Pull {
  readonly type: "pull";
  readonly handle: number;
  readonly after: number;
  readonly upTo: number;
}

export type LogItemKind = "entry" | "stub" | "control";

/** `handle u32 | n u16 | (pos u64 | kind u8 | len u32 | bytes)*`, in order of position. */
export interface Data {
  readonly type: "data";
  readonly handle: number;
  readonly items: readonly {
    readonly pos: number;
    readonly kind: LogItemKind;
    readonly bytes: Uint8Array;
  }[];
}

/** `handle u32 | head u64 | chain 32`: everything up to head has been sent (or was this socket's own). */
export interface CaughtUp {
  readonly type: "caughtUp";
  readonly handle: number;
  readonly head: number;
  readonly chain: Uint8Array;
}

/** `bytes u32`: that much DATA has been taken in; as much more may follow. */
export interface Credit {
  readonly type: "credit";
  readonly bytes: number;
}

/** `handle u32`: a rotation ended this subscription; fetch the control log, subscribe with the new token. */
export interface Rekey {
  readonly type: "rekey";
  readonly handle: number;
}

/**
 * `handle u32 | docId 16 | after u64 | bytes u32`: one document, its newest snapshot and what that does
 * not cover, from the position after `after`, until so many bytes have been sent (0: all of it).
 */
export interface PullDocument {
  readonly type: "pullDocument";
  readonly handle: number;
  readonly docId: Uint8Array;
  readonly after: number;
  readonly byteBudget: number;
}

/** `handle u32 | after docId 16`: the documents of the space, in order of id. */
export interface List {
  readonly type: "list";
  readonly handle: number;
  /** Zeros for the beginning. */
  readonly afterDocId: Uint8Array;
}

/**
 * `handle u32 | more u8 | n u16 | (docId 16 | lastPos u64 | dropPos u64 | snapshotPos u64
 * | snapshotSize u32 | tailEntries u32 | tailBytes u64 | cardLen u32 | card)*`
 */
export interface Listed {
  readonly type: "listed";
  readonly handle: number;
  readonly more: boolean;
  readonly documents: readonly {
    readonly docId: Uint8Array;
    readonly lastPos: number;
    /** Position of a DROP that nothing has cancelled; 0 for none. So with the next. */
    readonly dropPos: number;
    readonly snapshotPos: number;
    readonly snapshotSize: number;
    /** What the snapshot does not cover, itself not counted; stubs count with the size they had. */
    readonly tailEntries: number;
    readonly tailBytes: number;
    /** A whole entry; empty for none. */
    readonly card: Uint8Array;
  }[];
}

/** Of one document in LISTED, without its card. */
export const listedBytes = 60;

/** `statement` (protocol/blob.ts) to the end. */
export interface BlobInit {
  readonly type: "blobInit";
  readonly statement: Uint8Array;
}

/** `status u16 | n u16 | bitmap ⌈n / 8⌉`: which of the blob's n chunks are kept; none when refused. */
export interface BlobHave {
  readonly type: "blobHave";
  readonly status: number;
  readonly count: number;
  readonly bitmap: Uint8Array;
}

/** `spaceId 32 | blobId 16 | index u16 | sealed bytes ≤ 256 KiB` */
export interface BlobPut {
  readonly type: "blobPut";
  readonly spaceId: Uint8Array;
  readonly blobId: Uint8Array;
  readonly index: number;
  readonly chunk: Uint8Array;
}

/** `status u16`, of a BLOB_PUT or BLOB_DROP. */
export interface BlobAck {
  readonly type: "blobAck";
  readonly status: number;
}

/** `handle u32 | blobId 16 | from u16 | n u16`: so many chunks from this index on. */
export interface BlobGet {
  readonly type: "blobGet";
  readonly handle: number;
  readonly blobId: Uint8Array;
  readonly from: number;
  readonly count: number;
}

/** `handle u32 | index u16 | sealed bytes`: one chunk; the answer to a BLOB_GET is as many of them. */
export interface BlobData {
  readonly type: "blobData";
  readonly handle: number;
  readonly index: number;
  readonly chunk: Uint8Array;
}

/** `statement` (protocol/blob.ts) to the end. */
export interface BlobDrop {
  readonly type: "blobDrop";
  readonly statement: Uint8Array;
}

/** `n u16 | (len u32 | entry)*` */
export interface Push {
  readonly type: "push";
  readonly entries: readonly Uint8Array[];
}

/** `n u16 | (status u16 (0 stored) | pos u64 | chain 32 | lastCtr u64)*`, in the order of the PUSH. */
export interface PushAck {
  readonly type: "pushAck";
  readonly results: readonly {
    readonly status: number;
    /** 0 when refused. */
    readonly pos: number;
    readonly chain: Uint8Array;
    /** With CTR_REPLAY: the highest counter the relay has of this device, else 0. */
    readonly lastCtr: number;
  }[];
}

/** `spaceId 32 | fromSeq u32`: records from this sequence number on, and every certificate. */
export interface ControlGet {
  readonly type: "controlGet";
  readonly spaceId: Uint8Array;
  readonly fromSeq: number;
}

/**
 * `genesis 52 | more u8 | n u16 | (pos u64 | len u32 | record)* | m u16 | certificate 161*`;
 * with `more` the client asks again from the next sequence number.
 */
export interface ControlData {
  readonly type: "controlData";
  readonly genesis: Uint8Array;
  readonly more: boolean;
  readonly records: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
  readonly certificates: readonly Uint8Array[];
}

/** `genesis 52 | n u16 | (len u32 | record)*`: all or nothing; known records are not new ones. */
export interface ControlPush {
  readonly type: "controlPush";
  readonly genesis: Uint8Array;
  readonly records: readonly Uint8Array[];
}

/**
 * `status u16 | n u16 | (pos u64 | len u32 | record)*`: stored, with positions; or refused, and with
 * CTRL_CONFLICT the records that the sender lacks.
 */
export interface ControlAck {
  readonly type: "controlAck";
  readonly status: number;
  readonly records: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
}

/** `certificate 161` */
export interface CertPut {
  readonly type: "certPut";
  readonly certificate: Uint8Array;
}

/** `status u16` */
export interface CertAck {
  readonly type: "certAck";
  readonly status: number;
}

/** `handle u32 | sealed bytes ≤ 2 KiB`: never stored, dropped first under pressure. */
export interface Presence {
  readonly type: "presence";
  readonly handle: number;
  readonly sealed: Uint8Array;
}

/** `token 8`, given back as it came. */
export interface Ping {
  readonly type: "ping";
  readonly token: Uint8Array;
}

export interface Pong {
  readonly type: "pong";
  readonly token: Uint8Array;
}

/** `code u16 | retryAfterMs u32`: the relay is about to close. */
export interface Goaway {
  readonly type: "goaway";
  readonly code: number;
  readonly retryAfterMs: number;
}

/** `code u16 | retryAfterMs u32 | detailLen u16 | detail`: no ids, no secrets in the detail. */
export interface ErrorMessage {
  readonly type: "error";
  readonly code: number;
  readonly retryAfterMs: number;
  readonly detail: string;
}

export type Message =
  | Hello
  | Welcome
  | Auth
  | AuthOk
  | Subscribe
  | Subscribed
  | Unsubscribe
  | Pull
  | Data
  | CaughtUp
  | Credit
  | Rekey
  | PullDocument
  | List
  | Listed
  | Push
  | PushAck
  | ControlGet
  | ControlData
  | ControlPush
  | ControlAck
  | CertPut
  | CertAck
  | Presence
  | BlobInit
  | BlobHave
  | BlobPut
  | BlobAck
  | BlobGet
  | BlobData
  | BlobDrop
  | Ping
  | Pong
  | Goaway
  | ErrorMessage;

export interface Framed {
  readonly reqId: number;
  readonly message: Message;
}

const modeCodes: Record<SubscriptionMode, number> = { live: 0, stubs: 1 };
const itemCodes: Record<LogItemKind, number> = { entry: 0, stub: 1, control: 2 };

/** The HELLO body, part of what WELCOME signs. */
export function encodeHelloBody(hello: Hello): Uint8Array {
  return new Writer()
    .u16(hello.version)
    .fixed(hello.nonce, sessionNonceBytes)
    .text16(hello.origin)
    .finish();
}

/** The WELCOME body before its signature, part of what it signs. */
export function encodeWelcomeBody(welcome: Omit<Welcome, "type" | "signature">): Uint8Array {
  const { limits } = welcome;
  return new Writer()
    .u16(welcome.version)
    .fixed(welcome.relayPub, keyBytes)
    .fixed(welcome.storeId, storeIdBytes)
    .fixed(welcome.nonce, sessionNonceBytes)
    .u8(welcome.access)
    .u32(limits.entryBytes)
    .u64(limits.spaceBytes)
    .u64(limits.documentBytes)
    .u64(limits.blobBytes)
    .u32(limits.entriesPerSecond)
    .u32(limits.entryBurst)
    .u32(limits.presencePerSecond)
    .u32(limits.connectionsPerAddress)
    .u32(limits.windowBytes)
    .u32(limits.handshakeMs)
    .finish();
}

/** A message that breaks a limit of its layout is our own mistake and throws. */
export function encodeMessage(reqId: number, message: Message): Uint8Array {
  const writer = new Writer().u8(messageTypes[message.type]).u32(reqId);
  switch (message.type) {
    case "hello":
      writer.bytes(encodeHelloBody(message));
      break;
    case "welcome":
      writer.bytes(encodeWelcomeBody(message)).fixed(message.signature, signatureBytes);
      break;
    case "auth":
      writer
        .fixed(message.accessPub, keyBytes)
        .u8(message.token.length)
        .bytes(message.token)
        .fixed(message.signature, signatureBytes);
      break;
    case "authOk":
      break;
    case "subscribe":
      writer.u16(message.spaces.length);
      for (const space of message.spaces) {
        writer
          .fixed(space.spaceId, spaceIdBytes)
          .fixed(space.readToken, readTokenBytes)
          .u64(space.cursor)
          .fixed(space.chainTag, chainTagBytes)
          .u32(space.ctrlSeq)
          .u8(modeCodes[space.mode]);
      }
      break;
    case "subscribed":
      writer.u16(message.results.length);
      for (const result of message.results) {
        writer
          .u16(result.status)
          .u32(result.handle)
          .u64(result.head)
          .fixed(result.chain, 32)
          .u32(result.ctrlSeq)
          .u64(result.base);
      }
      break;
    case "unsubscribe":
      writer.u16(message.handles.length);
      for (const handle of message.handles) writer.u32(handle);
      break;
    case "pull":
      writer.u32(message.handle).u64(message.after).u64(message.upTo);
      break;
    case "data":
      writer.u32(message.handle).u16(message.items.length);
      for (const item of message.items)
        writer.u64(item.pos).u8(itemCodes[item.kind]).block32(item.bytes);
      break;
    case "caughtUp":
      writer.u32(message.handle).u64(message.head).fixed(message.chain, 32);
      break;
    case "credit":
      writer.u32(message.bytes);
      break;
    case "rekey":
      writer.u32(message.handle);
      break;
    case "pullDocument":
      writer
        .u32(message.handle)
        .fixed(message.docId, docIdBytes)
        .u64(message.after)
        .u32(message.byteBudget);
      break;
    case "list":
      writer.u32(message.handle).fixed(message.afterDocId, docIdBytes);
      break;
    case "listed":
      writer
        .u32(message.handle)
        .u8(message.more ? 1 : 0)
        .u16(message.documents.length);
      for (const document of message.documents) {
        writer
          .fixed(document.docId, docIdBytes)
          .u64(document.lastPos)
          .u64(document.dropPos)
          .u64(document.snapshotPos)
          .u32(document.snapshotSize)
          .u32(document.tailEntries)
          .u64(document.tailBytes)
          .block32(document.card);
      }
      break;
    case "push":
      writer.u16(message.entries.length);
      for (const entry of message.entries) writer.block32(entry);
      break;
    case "pushAck":
      writer.u16(message.results.length);
      for (const result of message.results) {
        writer.u16(result.status).u64(result.pos).fixed(result.chain, 32).u64(result.lastCtr);
      }
      break;
    case "controlGet":
      writer.fixed(message.spaceId, spaceIdBytes).u32(message.fromSeq);
      break;
    case "controlData":
      writer.fixed(message.genesis, genesisBytes).u8(message.more ? 1 : 0);
      writeRecords(writer, message.records);
      writer.u16(message.certificates.length);
      for (const certificate of message.certificates) writer.fixed(certificate, certificateBytes);
      break;
    case "controlPush":
      writer.fixed(message.genesis, genesisBytes).u16(message.records.length);
      for (const record of message.records) writer.block32(record);
      break;
    case "controlAck":
      writer.u16(message.status);
      writeRecords(writer, message.records);
      break;
    case "certPut":
      writer.fixed(message.certificate, certificateBytes);
      break;
    case "certAck":
      writer.u16(message.status);
      break;
    case "presence":
      writer.u32(message.handle).bytes(message.sealed);
      break;
    case "blobInit":
    case "blobDrop":
      writer.bytes(message.statement);
      break;
    case "blobHave":
      writer
        .u16(message.status)
        .u16(message.count)
        .fixed(message.bitmap, Math.ceil(message.count / 8));
      break;
    case "blobPut":
      writer
        .fixed(message.spaceId, spaceIdBytes)
        .fixed(message.blobId, blobIdBytes)
        .u16(message.index)
        .bytes(message.chunk);
      break;
    case "blobAck":
      writer.u16(message.status);
      break;
    case "blobGet":
      writer
        .u32(message.handle)
        .fixed(message.blobId, blobIdBytes)
        .u16(message.from)
        .u16(message.count);
      break;
    case "blobData":
      writer.u32(message.handle).u16(message.index).bytes(message.chunk);
      break;
    case "ping":
    case "pong":
      writer.fixed(message.token, 8);
      break;
    case "goaway":
      writer.u16(message.code).u32(message.retryAfterMs);
      break;
    case "error":
      writer.u16(message.code).u32(message.retryAfterMs).text16(message.detail);
      break;
  }
  return writer.finish();
}

function writeRecords(
  writer: Writer,
  records: readonly { readonly pos: number; readonly bytes: Uint8Array }[],
): void {
  writer.u16(records.length);
  for (const record of records) writer.u64(record.pos).block32(record.bytes);
}

const typeByCode = new Map<number, Message["type"]>(
  Object.entries(messageTypes).map(([type, code]) => [code, type as Message["type"]]), // keys of a literal
);

/** Whether the type byte is one of this version's: an unknown one is answered UNKNOWN_TYPE, not BAD_FRAME. */
export function isKnownType(code: number): boolean {
  return typeByCode.has(code);
}

/** Any bytes in, never an exception. The caller has refused messages above {@link maxMessageBytes}. */
export function parseMessage(bytes: Uint8Array): Parsed<Framed> {
  return parseAll(bytes, (reader) => {
    const type = typeByCode.get(reader.u8()) ?? reader.refuse("unknown message type");
    return { reqId: reader.u32(), message: readMessage(type, reader) };
  });
}

function readMessage(type: Message["type"], reader: Reader): Message {
  switch (type) {
    case "hello":
      return {
        type,
        version: reader.u16(),
        nonce: reader.bytes(sessionNonceBytes),
        origin: reader.text16(maxOriginBytes),
      };
    case "welcome":
      return {
        type,
        version: reader.u16(),
        relayPub: reader.bytes(keyBytes),
        storeId: reader.bytes(storeIdBytes),
        nonce: reader.bytes(sessionNonceBytes),
        access: reader.u8(),
        limits: {
          entryBytes: reader.u32(),
          spaceBytes: reader.u64(),
          documentBytes: reader.u64(),
          blobBytes: reader.u64(),
          entriesPerSecond: reader.u32(),
          entryBurst: reader.u32(),
          presencePerSecond: reader.u32(),
          connectionsPerAddress: reader.u32(),
          windowBytes: reader.u32(),
          handshakeMs: reader.u32(),
        },
        signature: reader.bytes(signatureBytes),
      };
    case "auth":
      return {
        type,
        accessPub: reader.bytes(keyBytes),
        token: readInviteToken(reader),
        signature: reader.bytes(signatureBytes),
      };
    case "authOk":
      return { type };
    case "subscribe": {
      const count = reader.u16();
      if (count > maxSubscriptionsPerMessage) reader.refuse("too many subscriptions");
      const spaces = reader.list(count, 77, () => ({
        spaceId: reader.bytes(spaceIdBytes),
        readToken: reader.bytes(readTokenBytes),
        cursor: reader.u64(),
        chainTag: reader.bytes(chainTagBytes),
        ctrlSeq: reader.u32(),
        mode: readMode(reader),
      }));
      return { type, spaces };
    }
    case "subscribed": {
      const results = reader.list(reader.u16(), 58, () => ({
        status: reader.u16(),
        handle: reader.u32(),
        head: reader.u64(),
        chain: reader.bytes(32),
        ctrlSeq: reader.u32(),
        base: reader.u64(),
      }));
      return { type, results };
    }
    case "unsubscribe":
      return { type, handles: reader.list(reader.u16(), 4, () => reader.u32()) };
    case "pull":
      return { type, handle: reader.u32(), after: reader.u64(), upTo: reader.u64() };
    case "data": {
      const handle = reader.u32();
      const items = reader.list(reader.u16(), 13, () => ({
        pos: reader.u64(),
        kind: readItemKind(reader),
        bytes: reader.block32(maxMessageBytes),
      }));
      return { type, handle, items };
    }
    case "caughtUp":
      return { type, handle: reader.u32(), head: reader.u64(), chain: reader.bytes(32) };
    case "credit":
      return { type, bytes: reader.u32() };
    case "rekey":
      return { type, handle: reader.u32() };
    case "pullDocument":
      return {
        type,
        handle: reader.u32(),
        docId: reader.bytes(docIdBytes),
        after: reader.u64(),
        byteBudget: reader.u32(),
      };
    case "list":
      return { type, handle: reader.u32(), afterDocId: reader.bytes(docIdBytes) };
    case "listed":
      return {
        type,
        handle: reader.u32(),
        more: readYesNo(reader),
        documents: reader.list(reader.u16(), listedBytes, () => ({
          docId: reader.bytes(docIdBytes),
          lastPos: reader.u64(),
          dropPos: reader.u64(),
          snapshotPos: reader.u64(),
          snapshotSize: reader.u32(),
          tailEntries: reader.u32(),
          tailBytes: reader.u64(),
          card: reader.block32(maxCardBytes),
        })),
      };
    case "push": {
      const count = reader.u16();
      if (count > maxPushEntries) reader.refuse("too many entries");
      return { type, entries: reader.list(count, 4, () => reader.block32(maxMessageBytes)) };
    }
    case "pushAck": {
      const results = reader.list(reader.u16(), 50, () => ({
        status: reader.u16(),
        pos: reader.u64(),
        chain: reader.bytes(32),
        lastCtr: reader.u64(),
      }));
      return { type, results };
    }
    case "controlGet":
      return { type, spaceId: reader.bytes(spaceIdBytes), fromSeq: reader.u32() };
    case "controlData": {
      const genesis = reader.bytes(genesisBytes);
      const more = readYesNo(reader);
      const records = readRecords(reader);
      const certificates = reader.list(reader.u16(), certificateBytes, () =>
        reader.bytes(certificateBytes),
      );
      return { type, genesis, more, records, certificates };
    }
    case "controlPush": {
      const genesis = reader.bytes(genesisBytes);
      const records = reader.list(reader.u16(), 4, () => reader.block32(maxControlBytes));
      return { type, genesis, records };
    }
    case "controlAck":
      return { type, status: reader.u16(), records: readRecords(reader) };
    case "certPut":
      return { type, certificate: reader.bytes(certificateBytes) };
    case "certAck":
      return { type, status: reader.u16() };
    case "presence": {
      const handle = reader.u32();
      if (reader.remaining > maxPresenceBytes) reader.refuse("presence too long");
      return { type, handle, sealed: reader.bytes(reader.remaining) };
    }
    case "blobInit":
    case "blobDrop":
      return { type, statement: reader.bytes(reader.remaining) };
    case "blobHave": {
      const status = reader.u16();
      const count = reader.u16();
      return { type, status, count, bitmap: reader.bytes(Math.ceil(count / 8)) };
    }
    case "blobPut":
      return {
        type,
        spaceId: reader.bytes(spaceIdBytes),
        blobId: reader.bytes(blobIdBytes),
        index: reader.u16(),
        chunk: readChunk(reader),
      };
    case "blobAck":
      return { type, status: reader.u16() };
    case "blobGet":
      return {
        type,
        handle: reader.u32(),
        blobId: reader.bytes(blobIdBytes),
        from: reader.u16(),
        count: reader.u16(),
      };
    case "blobData":
      return { type, handle: reader.u32(), index: reader.u16(), chunk: readChunk(reader) };
    case "ping":
    case "pong":
      return { type, token: reader.bytes(8) };
    case "goaway":
      return { type, code: reader.u16(), retryAfterMs: reader.u32() };
    case "error":
      return {
        type,
        code: reader.u16(),
        retryAfterMs: reader.u32(),
        detail: reader.text16(maxErrorDetailBytes),
      };
  }
}

function readInviteToken(reader: Reader): Uint8Array {
  const length = reader.u8();
  if (length !== 0 && length !== inviteTokenBytes) reader.refuse("no token has this length");
  return reader.bytes(length);
}

function readYesNo(reader: Reader): boolean {
  const code = reader.u8();
  return code <= 1 ? code === 1 : reader.refuse("not a yes or no");
}

function readChunk(reader: Reader): Uint8Array {
  if (reader.remaining > chunkBytes) reader.refuse("a chunk above 256 KiB");
  return reader.bytes(reader.remaining);
}

function readMode(reader: Reader): SubscriptionMode {
  const code = reader.u8();
  if (code === modeCodes.live) return "live";
  if (code === modeCodes.stubs) return "stubs";
  return reader.refuse("unknown mode");
}

function readItemKind(reader: Reader): LogItemKind {
  const code = reader.u8();
  if (code === itemCodes.entry) return "entry";
  if (code === itemCodes.stub) return "stub";
  if (code === itemCodes.control) return "control";
  return reader.refuse("unknown kind of log item");
}

function readRecords(reader: Reader): { pos: number; bytes: Uint8Array }[] {
  return reader.list(reader.u16(), 12, () => ({
    pos: reader.u64(),
    bytes: reader.block32(maxControlBytes),
  }));
}
