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

export function brokerKeyKeeper(broker: MessagePort | null, timers: Timers): KeyKeeper {
  if (broker === null) return { ask: () => Promise.resolve(null), keep: () => {} };
  const send = (message: ToBroker): void => broker.postMessage(message);
  return {
    ask: () =>
      new Promise((resolve) => {
        const answered = ({ data }: MessageEvent<BrokerToLeader>): void => {
          if (data.type === "key") finish(data.key);
        };
        const cancel = timers.after(answerLimitMs, () => finish(null));
        const finish = (key: Uint8Array | null): void => {
          cancel();
          broker.removeEventListener("message", answered);
          resolve(key);
        };
        broker.addEventListener("message", answered);
        send({ type: "key-wanted" });
      }),
    keep: (key) => send({ type: "keep-key", key }),
  };
}
