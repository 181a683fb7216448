/** The worker that runs the default store's SQL: one call in, one answer out, in order. */
import { parentPort, workerData } from "node:worker_threads";
import { SqliteDatabase } from "#relay/store/sqlite-database.ts";
import { answerCall, type Call } from "#relay/store/sqlite-calls.ts";
import { openToServe } from "#relay/store/sqlite-opening.ts";

if (parentPort === null) throw new Error("sqlite-worker runs as a worker");
const port = parentPort;
const dir: unknown = workerData;
if (typeof dir !== "string") throw new Error("the worker is given the data directory");

let database: SqliteDatabase | null = null;
port.on("message", (call: Call) => {
  port.postMessage(answerCall(call, () => (database ??= new SqliteDatabase(openToServe(dir)))));
  if (call.operation === "close") port.close();
});
