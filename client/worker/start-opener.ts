/** Starts the opener's thread in a browser: a worker, also of a worker. */
import type { StartOpener } from "#client/device/opener.ts";
import { buffersOf, type OpenerAnswer } from "#client/device/opener-work.ts";
import threadUrl from "./opener-thread.ts?worker&url";
import { scriptUrl } from "./trusted-types.ts";

export const browserOpener: StartOpener = (events) => {
  const worker = new Worker(scriptUrl(threadUrl), { type: "module", name: "opener" });
  worker.addEventListener("message", ({ data }: MessageEvent<OpenerAnswer>) => {
    events.answered(data);
  });
  worker.addEventListener("error", (event) => {
    // It is told to whoever needs to know; the console is for faults of this program.
    event.preventDefault();
    events.died();
  });
  return {
    ask: (question) => worker.postMessage(question, buffersOf(question)),
    kill: () => worker.terminate(),
  };
};
