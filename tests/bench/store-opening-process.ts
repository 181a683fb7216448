/** `store-opening-process.ts <directory> <key in hex>`: opens the store there once and prints an `Opening`. */
import { randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { openStore } from "#crdt-store/store.ts";
import { documentId } from "./store-load.ts";
import { changesPerNote, type Opening } from "./store-opening.ts";

const [source = "", keyText = ""] = process.argv.slice(2);
const directory = mkdtempSync(
  join(process.env["SEALEAF_BENCH_DIR"] ?? tmpdir(), "sealeaf-bench-opening-"),
);
try {
  // Opening changes the files: the next one must find them as this one did.
  cpSync(source, directory, { recursive: true });
  console.log(JSON.stringify(await open()));
} finally {
  rmSync(directory, { recursive: true });
}

async function open(): Promise<Opening> {
  const before = memoryMB();
  const started = performance.now();
  const engine = await loadNodeEngine();
  const loaded = performance.now();
  const store = openStore({
    engine,
    files: openNodeFiles(directory),
    key: keyText === "" ? null : new Uint8Array(Buffer.from(keyText, "hex")),
    clock: { now: () => 0 },
    random: (count) => randomBytes(count),
  });
  const opened = performance.now();
  const found = store.changes.bytesOfDocument(documentId(7)).length;
  const read = performance.now();
  if (found !== changesPerNote) throw new Error(`the note has ${found} changes`);
  const grownMB = memoryMB() - before;
  store.close();
  return {
    engineMs: loaded - started,
    openMs: opened - loaded,
    noteMs: read - opened,
    grownMB,
  };
}

/** The process's own memory: what it shares with files on disk is left out, as the system may take that back. */
function memoryMB(): number {
  globalThis.gc?.();
  const kB = /RssAnon:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return kB === undefined ? process.memoryUsage.rss() / 1e6 : Number(kB) / 1_000;
}
