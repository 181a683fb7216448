/**
 * The database's key on its way from one leader to the next. The broker has it in memory while the notes are
 * open and a tab lives; it is never written anywhere. Without a broker nobody does: the next leader asks the
 * person again.
 */
import type { BrokerToLeader, ToBroker } from "./broker.ts";
import type { Timers } from "./rpc.ts";

export interface KeyKeeper {
  /** What the leader before has left, if it had the notes open. */
  ask(): Promise<Uint8Array | null>;
  /** Copies the key; null: forgets it. */
  keep(key: Uint8Array | null): void;
}

/** A broker that does not answer for so long has died; asking for the passphrase is always safe. */
const answerLimitMs = 1_000;

export class BrokerKeyKeeper implements KeyKeeper {
  readonly #timers: Timers;
  readonly #connected: Promise<void>;
  #connect: () => void = () => {};
  #broker: MessagePort | null = null;
  /** What a broker that takes the place of another is to be told. */
  #kept: { readonly key: Uint8Array | null } | null = null;

  constructor(timers: Timers) {
    this.#timers = timers;
    this.#connected = new Promise((resolve) => {
      this.#connect = resolve;
    });
  }

  /** The broker that keeps from now on; null where there is none. */
  use(broker: MessagePort | null): void {
    this.#broker = broker;
    if (this.#kept !== null) this.keep(this.#kept.key);
    this.#connect();
  }

  ask(): Promise<Uint8Array | null> {
    const answered = new AbortController();
    return new Promise<Uint8Array | null>((resolve) => {
      const cancel = this.#timers.after(answerLimitMs, () => resolve(null));
      answered.signal.addEventListener("abort", cancel);
      void this.#connected.then(() => {
        if (this.#broker === null) return resolve(null);
        const { signal } = answered;
        const hear = ({ data }: MessageEvent<BrokerToLeader>): void => {
          if (data.type === "key") resolve(data.key);
        };
        this.#broker.addEventListener("message", hear, { signal });
        this.#send({ type: "key-wanted" });
      });
    }).finally(() => answered.abort());
  }

  keep(key: Uint8Array | null): void {
    this.#kept = { key };
    this.#send({ type: "keep-key", key });
  }

  #send(message: ToBroker): void {
    this.#broker?.postMessage(message);
  }
}
