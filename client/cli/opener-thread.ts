/** The opener's thread on Node (start-opener.ts): a worker that may be ended at any moment. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parentPort } from "node:worker_threads";
import { withMemoryCeiling } from "#client/device/memory-ceiling.ts";
import { mostOpenerMemory } from "#client/device/opener.ts";
import {
  answerTo,
  buffersOf,
  type OpenerAnswer,
  type OpenerQuestion,
} from "#client/device/opener-work.ts";

const port = parentPort;
if (port === null) throw new Error("opener-thread runs as a worker");
const tell = (answer: OpenerAnswer): void => port.postMessage(answer, buffersOf(answer));

const automerge = await import("@automerge/automerge/slim");
const path = createRequire(import.meta.url).resolve("@automerge/automerge/automerge.wasm");
await automerge.initializeWasm(withMemoryCeiling(readFileSync(path), mostOpenerMemory));
port.on("message", (question: OpenerQuestion) => answerTo(automerge, question, tell));
tell({ type: "ready" });
