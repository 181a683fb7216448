/** What the sync core needs from the outside. Simulations own all of it. */

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

export interface Timers {
  /** Calls back once after `ms`; the returned function cancels. */
  after(ms: number, callback: () => void): () => void;
}

/** Fresh random bytes. */
export type Random = (length: number) => Uint8Array;

export interface Wire {
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface WireEvents {
  opened(): void;
  received(bytes: Uint8Array): void;
  /** Once, whoever closed; nothing follows. */
  closed(): void;
}

/** Opens a WebSocket to a relay. Failing to open is reported as `closed`. */
export type Dial = (url: string, events: WireEvents) => Wire;
