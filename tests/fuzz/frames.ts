/** Frames for a relay that must survive them: right ones, and what chance makes of them. */
import { chunkBytes } from "#relay/protocol/blob.ts";
import { concat } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import { chainStart, chainTag } from "#relay/protocol/domain.ts";
import { entryKinds } from "#relay/protocol/entry.ts";
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";
import type { Chance } from "#tests/support/sim-chance.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

/** Numbers at which fields break. */
const extremes = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0xffffn,
  0x7fff_ffffn,
  0xffff_ffffn,
  2n ** 53n,
  2n ** 64n - 1n,
];

export class FrameSource {
  readonly space: TestSpace;
  readonly #chance: Chance;
  readonly #pushes: readonly Message[];
  readonly #others: readonly Message[];
  #pushed = 0;

  constructor(chance: Chance) {
    this.#chance = chance;
    this.space = new TestSpace("fuzzed");
    const messages = messagesIn(this.space);
    this.#pushes = messages.filter(({ type }) => type === "push");
    this.#others = messages.filter(({ type }) => type !== "push");
  }

  /** HELLO, nearly always a right one. */
  hello(): Uint8Array {
    const nonce = this.#chance.bytes(16);
    const origin = "ws://relay.example/v1";
    const frame = encodeMessage(1, { type: "hello", version: 1, nonce, origin });
    return this.#chance.below(20) === 0 ? this.#mutilated(frame) : frame;
  }

  next(): Uint8Array {
    const chance = this.#chance;
    if (chance.happens(0.05)) return chance.bytes(chance.below(300));
    if (chance.happens(0.25)) return this.#mutilated(this.#right());
    const message = this.#message();
    const reqId = chance.below(1000);
    return encodeMessage(reqId, chance.happens(0.5) ? message : this.#mutilatedWithin(message));
  }

  #right(): Uint8Array {
    return encodeMessage(this.#chance.below(1000), this.#message());
  }

  /** Pushes mostly in order, since each device's counters rise. */
  #message(): Message {
    if (this.#chance.happens(0.1)) this.#pushed = this.#chance.below(1000);
    this.#pushed += 1;
    const push = this.#pushes[this.#pushed % this.#pushes.length];
    const message = this.#chance.happens(0.4) ? push : this.#chance.pick(this.#others);
    if (message === undefined) throw new Error("there are messages");
    return message;
  }

  /** A sound message around an unsound entry, record, statement or chunk. */
  #mutilatedWithin(message: Message): Message {
    switch (message.type) {
      case "push":
        return { ...message, entries: message.entries.map((entry) => this.#mutilated(entry)) };
      case "controlPush":
        return { ...message, records: message.records.map((record) => this.#mutilated(record)) };
      case "certPut": {
        const certificate = Uint8Array.from(message.certificate);
        certificate[this.#chance.below(certificate.length)] = this.#chance.below(256);
        return { ...message, certificate };
      }
      case "blobInit":
      case "blobDrop":
        return { ...message, statement: this.#mutilated(message.statement) };
      case "blobPut":
        return { ...message, chunk: this.#mutilated(message.chunk).slice(0, chunkBytes) };
      default:
        return message;
    }
  }

  #mutilated(frame: Uint8Array): Uint8Array {
    let mutated = Uint8Array.from(frame);
    for (let left = 1 + this.#chance.below(3); left > 0; left -= 1) mutated = this.#once(mutated);
    return mutated;
  }

  #once(frame: Uint8Array): Uint8Array<ArrayBuffer> {
    const chance = this.#chance;
    const copy = Uint8Array.from(frame);
    const at = chance.below(copy.length + 1);
    switch (chance.below(7)) {
      case 0:
        return copy.slice(0, at);
      case 1:
        return Uint8Array.from(concat(copy, chance.bytes(chance.below(40))));
      case 2: {
        const other = this.#right();
        return Uint8Array.from(concat(copy.slice(0, at), other.slice(chance.below(other.length))));
      }
      case 3:
        return Uint8Array.from(concat(copy.slice(0, at), copy.slice(chance.below(at + 1))));
      case 4:
        overwrite(copy, at, extremes[chance.below(extremes.length)] ?? 0n, 1 << chance.below(4));
        return copy;
      default:
        if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << chance.below(8));
        return copy;
    }
  }
}

function overwrite(frame: Uint8Array, at: number, value: bigint, width: number): void {
  for (let n = 0; n < width && at + n < frame.length; n += 1) {
    frame[at + n] = Number((value >> BigInt(8 * (width - 1 - n))) & 0xffn);
  }
}

/** Of each kind a client may send, and more than once where there is more than one way. */
function messagesIn(space: TestSpace): readonly Message[] {
  const reader = signerNamed("reader");
  const link = signerNamed("link");
  space.grant({ signPub: reader.pub, role: roles.read });
  space.grant({ signPub: link.pub, role: roles.edit, kind: capabilityKinds.link });
  const { genesis, recordBytes: records, spaceId, readToken } = space;
  const device = new TestDevice(space, "laptop");
  const ofReader = new TestDevice(space, "tablet", reader);
  const elsewhere = new TestDevice(new TestSpace("elsewhere"), "laptop");
  const docIds = ["a", "b", "c"].map((name) => bytesNamed(`document ${name}`, 16));
  const [docId = genesis] = docIds;
  const blobId = bytesNamed("blob", 16);
  const chunks = [bytesNamed("chunk 0", chunkBytes), bytesNamed("chunk 1", 900)];
  const chain = chainStart(spaceId);
  const entries = Array.from({ length: 120 }, (_, ix) => {
    const options = { docId: docIds[ix % 3] ?? docId, size: 20 + ((ix * 97) % 900) };
    if (ix % 9 === 4) return device.snapshot({ chain }, options);
    if (ix % 9 === 7)
      return device.entry({ ...options, kind: ix % 2 === 0 ? 77 : entryKinds.drop });
    return device.entry(options);
  });
  const subscriptions = (["live", "stubs"] as const).map((mode): Message => {
    const asked = { spaceId, readToken, cursor: 0, chainTag: chainTag(chain), ctrlSeq: 0, mode };
    return { type: "subscribe", spaces: [asked] };
  });
  const pushes = entries.map((entry, ix): Message => ({
    type: "push",
    entries: entries.slice(Math.max(0, ix - (ix % 4)), ix + 1).concat(ix % 10 === 0 ? [] : [entry]),
  }));
  return [
    ...pushes,
    ...subscriptions,
    ...subscriptions,
    { type: "controlPush", genesis, records },
    {
      type: "controlPush",
      genesis,
      records: [space.recordOn(null, { type: "delete" }, reader).bytes],
    },
    { type: "controlGet", spaceId, fromSeq: 1 },
    { type: "certPut", certificate: device.certificate },
    { type: "certPut", certificate: ofReader.certificate },
    { type: "certPut", certificate: elsewhere.certificate },
    { type: "push", entries: [device.card(3, { docId }), ofReader.entry(), elsewhere.entry()] },
    { type: "push", entries: [device.snapshot({ coversPos: 9, chain: genesis.slice(0, 32) })] },
    { type: "pull", handle: 1, after: 0, upTo: 99 },
    { type: "pullDocument", handle: 1, docId, after: 0, byteBudget: 5000 },
    { type: "list", handle: 1, afterDocId: new Uint8Array(16) },
    { type: "unsubscribe", handles: [2, 3] },
    { type: "credit", bytes: 100_000 },
    { type: "presence", handle: 1, sealed: bytesNamed("beat", 200) },
    { type: "blobInit", statement: device.blobStatement(blobId, chunks, { docId }) },
    { type: "blobInit", statement: ofReader.blobStatement(blobId, chunks, { docId }) },
    { type: "blobPut", spaceId, blobId, index: 1, chunk: chunks[1] ?? docId },
    { type: "blobPut", spaceId, blobId, index: 0, chunk: chunks[1] ?? docId },
    { type: "blobGet", handle: 1, blobId, from: 0, count: 2 },
    { type: "blobDrop", statement: device.blobStatement(blobId, null, { docId }) },
    { type: "ping", token: new Uint8Array(8) },
    { type: "rekey", handle: 1 },
  ];
}
