/**
 * What the relay said it stores and has not shown yet. PUSH_ACK comes before the entry's place in the log has been read, so
 * a relay that acknowledges and does not store is found out when the log gets there, or turns out to be too short.
 */
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";

export class Acknowledged {
  readonly #store: Store;
  /** Entry ids by position, by space in hex; null while nobody has asked. */
  #ahead: Map<string, Map<number, Uint8Array>> | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The relay says that it keeps this entry at `pos`. */
  add(space: Uint8Array, pos: number, entryId: Uint8Array): void {
    if ((this.#store.inbox.cursor(space)?.pos ?? 0) >= pos) return;
    put(this.#loaded(), space, pos, entryId);
  }

  /** The log was read up to `pos`, where this entry stands. False if the relay said another one was there. */
  agrees(space: Uint8Array, pos: number, entryId: Uint8Array): boolean {
    const ahead = this.#loaded().get(toHex(space));
    const told = ahead?.get(pos);
    ahead?.delete(pos);
    return told === undefined || equal(told, entryId);
  }

  /** Whether something was acknowledged behind what the relay now says is its end. */
  isBeyond(space: Uint8Array, head: number): boolean {
    return [...(this.#loaded().get(toHex(space))?.keys() ?? [])].some((pos) => pos > head);
  }

  /** The log is another: nothing that was said of it counts. */
  forget(space: Uint8Array): void {
    this.#loaded().delete(toHex(space));
  }

  #loaded(): Map<string, Map<number, Uint8Array>> {
    if (this.#ahead !== null) return this.#ahead;
    const ahead = new Map<string, Map<number, Uint8Array>>();
    for (const { space, pos, entryId } of this.#store.outbox.relayedBeyondCursors()) {
      put(ahead, space, pos, entryId);
    }
    this.#ahead = ahead;
    return ahead;
  }
}

function put(
  ahead: Map<string, Map<number, Uint8Array>>,
  space: Uint8Array,
  pos: number,
  entryId: Uint8Array,
): void {
  const hex = toHex(space);
  const positions = ahead.get(hex) ?? new Map<number, Uint8Array>();
  positions.set(pos, entryId);
  ahead.set(hex, positions);
}
