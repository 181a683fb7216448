/**
 * Cards: what a list shows of a note that is not here yet. The device that wrote last makes one when nothing else is to
 * be sent, at most one per document and half a minute; they stand outside the log (docs/protocol.md, CARD).
 */
import type { Described } from "#crdt-store/cards.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { entryKinds, nonceBytes, parseEntry } from "#relay/protocol/entry.ts";
import { refusalClass } from "#relay/protocol/errors.ts";
import { maxCardBytes } from "#relay/protocol/limits.ts";
import type { Message } from "#relay/protocol/messages.ts";
import { encodeCardExt, parseCardExt } from "#relay/protocol/snapshot.ts";
import { encodeCard, parseCard, type Card } from "#client/crypto/card.ts";
import { openEntry, sealEntry } from "#client/crypto/entry-seal.ts";
import type { Clock, Random, Timers } from "./ports.ts";
import type { Space } from "./space.ts";

/**
 * What a card says, and from which position; null for what is none of this document. Only its seal is looked at: a
 * member who may not write could, together with the relay, mislead a row of a list until the note is here.
 */
export function openCard(
  space: Space,
  docId: Uint8Array,
  bytes: Uint8Array,
): { readonly card: Card; readonly pos: number } | null {
  const entry = parseEntry(bytes, maxCardBytes);
  if (!entry.ok) return null;
  const { kind, spaceId, epoch, ext } = entry.value;
  const isItsOwn =
    kind === entryKinds.card && equal(spaceId, space.id) && equal(entry.value.docId, docId);
  const key = isItsOwn ? space.keyOf(epoch) : null;
  const plain = key === null ? null : openEntry(entry.value, key);
  const card = plain === null ? null : parseCard(plain);
  const pos = parseCardExt(ext);
  return card?.ok === true && pos.ok ? { card: card.value, pos: pos.value } : null;
}

export interface CardMakerPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** Spaces whose log is being read here, all that is to be sent in them sent; by their hex. */
  readonly quiet: (spaceHex: string) => Space | null;
  readonly ask: (message: Message, reply: (message: Message | null) => void) => void;
  /** Nothing is due any more that somebody waited for. */
  readonly sent: () => void;
}

/** Cards are made this long after the last thing happened. */
const quietMs = 3_000;
const perDocumentMs = 30_000;
/** In one push, and between two: a card must not take the place of an edit. */
const mostInPush = 64;
const betweenMs = 2_000;

export class CardMaker {
  readonly #ports: CardMakerPorts;
  readonly #store: Store;
  /** Documents whose card is behind, by their hex. */
  readonly #due = new Map<string, Described>();
  readonly #madeAt = new Map<string, number>();
  #lookedUpTo = 0;
  #cancel: (() => void) | null = null;
  #asking = false;
  /** Somebody waits until all that is due is sent. */
  #hurries = false;

  constructor(ports: CardMakerPorts) {
    this.#ports = ports;
    this.#store = ports.store;
    ports.store.onRollback(() => this.#forget());
  }

  /** Something was sent or acknowledged. */
  moved(): void {
    if (this.#asking) return;
    this.#cancel?.();
    this.#cancel = this.#ports.timers.after(quietMs, () => {
      this.#cancel = null;
      this.#makeSome();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#asking = false;
    this.#hurries = false;
  }

  /** Sends what is due without waiting for a pause; whether there was nothing. */
  sendAll(): boolean {
    this.#hurries = true;
    if (this.#asking) return false;
    this.#cancel?.();
    this.#cancel = null;
    this.#makeSome();
    this.#hurries = this.#asking;
    return !this.#asking;
  }

  #makeSome(): void {
    if (this.#asking) return;
    this.#look();
    const now = this.#ports.clock.now();
    const batch = this.#next(now);
    if (batch.length === 0) {
      this.#rest(now);
      return;
    }
    this.#asking = true;
    const entries = batch.map(({ entry }) => entry);
    this.#ports.ask({ type: "push", entries }, (reply) => {
      this.#asking = false;
      if (reply === null) return;
      const results = reply.type === "pushAck" ? reply.results : [];
      const statuses = batch.map(
        (_, ix) => results[ix]?.status ?? (reply.type === "error" ? reply.code : 0),
      );
      this.#store.transaction(() => {
        for (const [ix, { described }] of batch.entries()) {
          this.#answered(described, statuses[ix] ?? 0);
        }
      });
      // A relay that asks to slow down is not hurried.
      if (this.#hurries && !statuses.some(isForNow)) {
        this.#goOn();
        return;
      }
      this.#cancel ??= this.#ports.timers.after(betweenMs, () => {
        this.#cancel = null;
        this.#makeSome();
      });
    });
  }

  #goOn(): void {
    this.#makeSome();
    if (this.#asking) return;
    this.#hurries = false;
    this.#ports.sent();
  }

  #answered(described: Described, status: number): void {
    const key = toHex(described.doc);
    if (status === 0) this.#store.cards.keeps(described.doc, described.pos);
    else if (isForNow(status)) return;
    // What is refused for another reason is made again after the next change.
    this.#madeAt.set(key, this.#ports.clock.now());
    this.#due.delete(key);
  }

  #forget(): void {
    this.#due.clear();
    this.#lookedUpTo = 0;
  }

  #look(): void {
    for (;;) {
      const { documents, last } = this.#store.cards.behind(this.#lookedUpTo, 1_000);
      for (const described of documents) this.#due.set(toHex(described.doc), described);
      if (last === this.#lookedUpTo) return;
      this.#lookedUpTo = last;
    }
  }

  #next(now: number): { readonly described: Described; readonly entry: Uint8Array }[] {
    const batch: { described: Described; entry: Uint8Array }[] = [];
    const positions = this.#store.changes.lastPositions();
    for (const [key, described] of this.#due) {
      if (batch.length >= mostInPush) break;
      const space = this.#ports.quiet(toHex(described.space));
      if (space === null) continue;
      const row = this.#store.notes.get(described.doc);
      // The index and the vault have none, and of what somebody else changed since, they make it.
      const isOurs = positions.get(key)?.pos === described.pos;
      if (row === null || !isOurs || !space.mayWrite) {
        this.#due.delete(key);
        continue;
      }
      if (row.stale || now - (this.#madeAt.get(key) ?? -Infinity) < perDocumentMs) continue;
      const entry = this.#seal(space, described, row);
      if (entry !== null) batch.push({ described, entry });
    }
    return batch;
  }

  #rest(now: number): void {
    if (this.#due.size === 0) return;
    const soonest = [...this.#due.keys()].reduce(
      (soon, key) => Math.min(soon, (this.#madeAt.get(key) ?? now) + perDocumentMs),
      now + perDocumentMs,
    );
    this.#cancel ??= this.#ports.timers.after(Math.max(betweenMs, soonest - now), () => {
      this.#cancel = null;
      this.#makeSome();
    });
  }

  #seal(space: Space, { doc, pos }: Described, card: Card): Uint8Array | null {
    const key = space.currentKey;
    if (key === null) return null;
    const header = {
      kind: entryKinds.card,
      flags: 0,
      spaceId: space.id,
      docId: doc,
      epoch: key.epoch,
      devPub: space.device.publicKey,
      ctr: 0,
      nonce: this.#ports.random(nonceBytes),
    };
    const ext = encodeCardExt(pos);
    return sealEntry(space.ed, space.device, header, ext, key.key, encodeCard(card)).bytes;
  }
}

function isForNow(status: number): boolean {
  return status !== 0 && refusalClass(status) === "retry";
}
