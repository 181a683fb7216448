/**
 * Telling the others of one space that this device is here, and hearing them. Best effort: nothing
 * waits for it and nothing breaks without it.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import { maxPresenceBytes } from "#relay/protocol/limits.ts";
import { aeadNonceBytes } from "#client/crypto/aead.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import {
  openPresence,
  parseSealedPresence,
  sealPresence,
  type PresenceContent,
} from "#client/crypto/presence-seal.ts";
import type { Clock, Random, Timers } from "./ports.ts";
import { beatEveryMs, beatGapMs, PresenceRoom, type Peer } from "./presence.ts";
import type { Space } from "./space.ts";

/** Unknown devices cause at most one look at the control log in this time. */
const strangerGapMs = 2_000;

export type BeatContent = Extract<PresenceContent, { type: "beat" }>;
export type CursorContent = Extract<PresenceContent, { type: "cursor" }>;

export interface ExchangePorts {
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** The presence session of the device itself; carets have those of their tabs. */
  readonly session: Uint8Array;
  readonly displayName: () => string;
  /** What beats say beside the name and how far this device has read. @param docs those with a caret of this device */
  readonly say: (docs: readonly Uint8Array[]) => Pick<BeatContent, "digests" | "wanted">;
}

export interface ExchangeListener {
  send(sealed: Uint8Array): void;
  /** Somebody came, went or moved. */
  changed(): void;
  /** Somebody said how far they have read, in these signed bytes. */
  beat(devPub: Uint8Array, beat: BeatContent, bytes: Uint8Array): void;
  /** A device speaks whose certificate or epoch is not known here. */
  stranger(): void;
}

export class PresenceExchange {
  readonly #space: Space;
  readonly #ports: ExchangePorts;
  readonly #listener: ExchangeListener;
  readonly #room = new PresenceRoom();
  /** Where carets of this device stand, by presence session in hex: told anew with every beat. */
  readonly #cursors = new Map<string, { session: Uint8Array; content: CursorContent }>();
  #lastBeatAt = 0;
  #strangerAt = 0;
  #seq = 0;
  #cancelBeat: (() => void) | null = null;
  #isOpen = false;

  constructor(space: Space, ports: ExchangePorts, listener: ExchangeListener) {
    this.#space = space;
    this.#ports = ports;
    this.#listener = listener;
  }

  peers(): readonly Peer[] {
    return this.#room.peers();
  }

  nameOf(devPub: Uint8Array): string | null {
    return this.#room.nameOf(devPub);
  }

  /** The subscription stands: say so, and ask who is here. */
  open(): void {
    this.#isOpen = true;
    this.#beat(true);
  }

  /** The connection is gone: everybody is. */
  close(): void {
    this.#isOpen = false;
    this.#cancelBeat?.();
    this.#cancelBeat = null;
    this.#room.clear();
    this.#listener.changed();
  }

  leave(): void {
    this.#send({ type: "leave" });
  }

  /** This device has read further. */
  frontierMoved(): void {
    if (this.#room.anybody) this.#beat(false);
  }

  /** Tells where a caret stands, now and to whoever arrives later. */
  tellCursor(session: Uint8Array, content: CursorContent): void {
    const key = toHex(session);
    if (content.cursor === null && !this.#cursors.delete(key)) return;
    if (content.cursor !== null) this.#cursors.set(key, { session, content });
    if (this.#room.anybody) this.#send(content, session);
  }

  receive(bytes: Uint8Array): void {
    const { clock, ed } = this.#ports;
    const parsed = parseSealedPresence(bytes);
    if (!parsed.ok) return;
    const { devPub, epoch } = parsed.value;
    const key = this.#space.keyOf(epoch);
    if (key === null || this.#space.capabilitiesOf(devPub).length === 0) {
      this.#meetStranger();
      return;
    }
    const content = openPresence(ed, this.#space.id, key, parsed.value);
    if (content === null) return;
    const changed = this.#room.receive(parsed.value, content, clock.now());
    if (content.type === "beat") {
      this.#listener.beat(devPub, content, bytes);
      if (content.arriving) this.#beat(false);
      else this.#keepBeating();
    }
    if (changed) this.#listener.changed();
  }

  #meetStranger(): void {
    const now = this.#ports.clock.now();
    if (now - this.#strangerAt < strangerGapMs) return;
    this.#strangerAt = now;
    this.#listener.stranger();
  }

  /** Says "I am here, and have read to here", at most once per {@link beatGapMs}. */
  #beat(arriving: boolean): void {
    const { clock, timers, displayName, say } = this.#ports;
    this.#cancelBeat?.();
    this.#cancelBeat = null;
    const wait = arriving ? 0 : this.#lastBeatAt + beatGapMs - clock.now();
    if (wait > 0) {
      this.#cancelBeat = timers.after(wait, () => this.#beat(false));
      return;
    }
    this.#lastBeatAt = clock.now();
    const { frontier } = this.#space;
    const docs = [...this.#cursors.values()].flatMap(({ content }) => content.cursor?.docId ?? []);
    this.#send({ type: "beat", name: displayName(), frontier, arriving, ...say(docs) });
    for (const { session, content } of this.#cursors.values()) this.#send(content, session);
    this.#keepBeating();
  }

  #keepBeating(): void {
    if (this.#cancelBeat !== null) return;
    const { clock, timers } = this.#ports;
    this.#cancelBeat = timers.after(beatEveryMs, () => {
      this.#cancelBeat = null;
      if (this.#room.expire(clock.now())) this.#listener.changed();
      if (this.#room.anybody) this.#beat(false);
    });
  }

  #send(content: PresenceContent, session = this.#ports.session): void {
    const { ed, random } = this.#ports;
    const { device, id, currentKey, capability } = this.#space;
    if (!this.#isOpen || currentKey === null || capability === null) return;
    this.#seq += 1;
    const header = { epoch: currentKey.epoch, devPub: device.publicKey, session, seq: this.#seq };
    const nonce = random(aeadNonceBytes);
    const sealed = sealPresence(ed, device, id, currentKey.key, header, nonce, content);
    if (sealed.length <= maxPresenceBytes) this.#listener.send(sealed);
  }
}
