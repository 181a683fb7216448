/** Starts the opener's thread on Node. */
import { Worker } from "node:worker_threads";
import { mostOpenerMemory, type StartOpener } from "#client/device/opener.ts";
import { buffersOf, type OpenerAnswer } from "#client/device/opener-work.ts";

/** @param script opener-thread.ts, built */
export function nodeOpener(script: URL): StartOpener {
  return (events) => {
    const worker = new Worker(script, {
      name: "opener",
      resourceLimits: { maxOldGenerationSizeMb: mostOpenerMemory >> 20 },
    });
    let isKilled = false;
    const died = (): void => {
      if (!isKilled) events.died();
      isKilled = true;
    };
    worker.on("message", (answer: OpenerAnswer) => {
      if (!isKilled) events.answered(answer);
    });
    worker.on("error", died);
    worker.on("exit", died);
    return {
      ask: (question) => worker.postMessage(question, buffersOf(question)),
      kill: () => {
        isKilled = true;
        void worker.terminate();
      },
    };
  };
}
