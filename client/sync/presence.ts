/**
 * Who is here in one space: beats tell names and how far each device has read, cursors where carets
 * stand. Nothing of it is stored or trusted beyond that. Pure state; the session sends and receives.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import type {
  PresenceContent,
  PresenceCursor,
  SealedPresence,
} from "#client/crypto/presence-seal.ts";

export interface Peer {
  /** Device key and presence session, hex: one per tab. */
  readonly id: string;
  readonly devPub: Uint8Array;
  readonly name: string;
  readonly cursor: PresenceCursor | null;
}

interface Seen {
  readonly devPub: Uint8Array;
  readonly seq: number;
  readonly heardAt: number;
  readonly cursor: PresenceCursor | null;
}

/** A device that has been silent this long is gone. */
export const presenceTtlMs = 25_000;
/** While somebody else is here, a sign of life this often; new frontiers sooner. */
export const beatEveryMs = 10_000;
/** Shortest time between two beats: answers and frontiers of a moment travel together. */
export const beatGapMs = 500;

/** So many sessions are remembered that are over. */
const mostSessions = 1_000;

export class PresenceRoom {
  #beats = new Map<string, { readonly name: string; readonly heardAt: number }>();
  #sessions = new Map<string, Seen>();
  /** The last signed message of each session that was heard here: what a relay kept and plays again is of the past. */
  readonly #lastSeq = new Map<string, number>();

  /**
   * Takes in what a verified message says.
   * @returns whether anything visible changed
   */
  receive(from: SealedPresence, content: PresenceContent, now: number): boolean {
    const device = toHex(from.devPub);
    const id = `${device}/${toHex(from.session)}`;
    const known = this.#sessions.get(id);
    if (from.seq <= Math.max(this.#lastSeq.get(id) ?? 0, known?.seq ?? 0)) return false;
    // Not what anybody can fake: a session could be silenced with it for good.
    if (from.signed) this.#remember(id, from.seq);
    switch (content.type) {
      case "beat": {
        const before = this.#beats.get(device);
        this.#beats.set(device, { name: content.name, heardAt: now });
        this.#sessions.set(id, {
          devPub: from.devPub,
          seq: from.seq,
          heardAt: now,
          cursor: known?.cursor ?? null,
        });
        return before?.name !== content.name;
      }
      case "cursor":
        // Unsigned: only a device that has introduced itself can show a caret.
        if (!this.#beats.has(device)) return false;
        this.#sessions.set(id, {
          devPub: from.devPub,
          seq: from.seq,
          heardAt: now,
          cursor: content.cursor,
        });
        return true;
      case "leave":
        this.#forgetDevice(device);
        return true;
    }
  }

  #remember(id: string, seq: number): void {
    this.#lastSeq.delete(id);
    this.#lastSeq.set(id, seq);
    const [oldest] = this.#lastSeq.keys();
    if (this.#lastSeq.size > mostSessions && oldest !== undefined) this.#lastSeq.delete(oldest);
  }

  /** Forgets whoever has been silent for too long; true if somebody was. */
  expire(now: number): boolean {
    let gone = false;
    for (const [device, beat] of this.#beats) {
      if (now - beat.heardAt < presenceTtlMs) continue;
      this.#forgetDevice(device);
      gone = true;
    }
    return gone;
  }

  #forgetDevice(device: string): void {
    this.#beats.delete(device);
    for (const id of this.#sessions.keys())
      if (id.startsWith(`${device}/`)) this.#sessions.delete(id);
  }

  clear(): void {
    this.#beats.clear();
    this.#sessions.clear();
  }

  get anybody(): boolean {
    return this.#beats.size > 0;
  }

  peers(): readonly Peer[] {
    return [...this.#sessions].map(([id, seen]) => ({
      id,
      devPub: seen.devPub,
      name: this.#beats.get(toHex(seen.devPub))?.name ?? "",
      cursor: seen.cursor,
    }));
  }

  nameOf(devPub: Uint8Array): string | null {
    return this.#beats.get(toHex(devPub))?.name ?? null;
  }
}
