/** The opener's thread in a browser (start-opener.ts): a worker that may be ended at any moment. */
import automergeWasm from "@automerge/automerge/automerge.wasm?url";
import { withMemoryCeiling } from "#client/device/memory-ceiling.ts";
import { mostOpenerMemory } from "#client/device/opener.ts";
import {
  answerTo,
  buffersOf,
  type OpenerAnswer,
  type OpenerQuestion,
} from "#client/device/opener-work.ts";

declare const self: DedicatedWorkerGlobalScope;

const tell = (answer: OpenerAnswer): void => self.postMessage(answer, buffersOf(answer));

async function start(): Promise<void> {
  const [automerge, answer] = await Promise.all([
    import("@automerge/automerge/slim"),
    fetch(automergeWasm),
  ]);
  const wasm = new Uint8Array(await answer.arrayBuffer());
  await automerge.initializeWasm(withMemoryCeiling(wasm, mostOpenerMemory));
  self.addEventListener("message", ({ data }: MessageEvent<OpenerQuestion>) => {
    answerTo(automerge, data, tell);
  });
  tell({ type: "ready" });
}

// Only an error reaches whoever started this, a rejection does not.
start().catch((error: unknown) => self.reportError(error));
