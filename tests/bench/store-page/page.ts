/** The page that a bench drives: one worker, as handles on OPFS exist in dedicated workers only. */
import type { BenchAnswer, BenchCall } from "./calls.ts";

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });

function callStore(call: BenchCall): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.addEventListener(
      "message",
      ({ data }: MessageEvent<BenchAnswer>) => {
        if ("error" in data) reject(new Error(data.error));
        else resolve(data.result);
      },
      { once: true },
    );
    worker.postMessage(call);
  });
}

Object.assign(globalThis, { callStore });
