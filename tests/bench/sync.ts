/**
 * Sealeaf beside what people sync with today, on one machine in one run: automerge-repo with its WebSocket server
 * and files, y-websocket with and without its LevelDB, Hocuspocus with SQLite. Server and devices are processes of
 * their own, all in Node, on loopback. Only ours encrypts and signs, and only ours keeps on the device's disk what it
 * shows: the clients of the others live in memory, which favours them.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildRelay } from "#tests/support/built-relay.ts";
import type { Measurement } from "./measurement.ts";
import { benchColdNote } from "./sync/cold-note.ts";
import type { Bench, Contender } from "./sync/contender.ts";
import { benchArrival, benchReconnection } from "./sync/many-notes.ts";
import { benchTypingAcross } from "./sync/typing-across.ts";

/** Row by row, since it takes a while. */
export async function* benchSync(): AsyncIterable<Measurement> {
  const root = mkdtempSync(join(process.env["SEALEAF_BENCH_DIR"] ?? tmpdir(), "sealeaf-bench-"));
  const built = await buildRelay();
  let directories = 0;
  const bench: Bench = {
    contenders: contendersWith(built.workerUrl),
    directory: () => {
      directories += 1;
      const directory = join(root, String(directories));
      mkdirSync(directory);
      return directory;
    },
  };
  try {
    yield* await benchTypingAcross(bench);
    yield* await benchArrival(bench);
    yield* await benchReconnection(bench);
    yield* await benchColdNote(bench);
  } finally {
    built.remove();
    rmSync(root, { recursive: true });
  }
}

function contendersWith(relayWorker: URL): readonly Contender[] {
  return [
    {
      name: "Sealeaf",
      library: "sealeaf",
      environment: () => ({ SEALEAF_BENCH_RELAY_WORKER: relayWorker.href }),
    },
    { name: "automerge-repo, files", library: "automerge-repo", environment: () => ({}) },
    { name: "y-websocket, in memory", library: "y-websocket", environment: () => ({}) },
    {
      name: "y-websocket, LevelDB",
      library: "y-websocket",
      environment: (directory) => ({ YPERSISTENCE: join(directory, "level") }),
    },
    { name: "Hocuspocus, SQLite", library: "hocuspocus", environment: () => ({}) },
  ];
}
