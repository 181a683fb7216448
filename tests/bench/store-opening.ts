/** Stores of some size, and how long opening one takes and how much memory, in a process of its own. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { ChangeWriter, commitChanges, documentId, median } from "./store-load.ts";

export const changesPerNote = 40;
const changeBytes = 1_000;
const changesPerTransaction = 1_000;
const changesPerMegabyte = 740;
// Some 360 pages: nearly as many as the log holds before a checkpoint.
const commitsInLog = 80;
const repeats = 3;

/** What is measured, from files that are open to the first note that is read. */
export interface Opening {
  readonly engineMs: number;
  readonly openMs: number;
  readonly noteMs: number;
  /** Growth of the process's own memory over the same process before it loaded the engine. */
  readonly grownMB: number;
}

export interface SizedStore {
  readonly megabytes: number;
  readonly key: Uint8Array | null;
  /** Its three files, as a process killed with a full log leaves them. */
  readonly directory: string;
}

/** Fills a store in `directory/live` and answers a copy of its files. */
export async function fillStore(
  directory: string,
  megabytes: number,
  key: Uint8Array | null,
): Promise<SizedStore> {
  const live = join(directory, "live");
  const left = join(directory, "left");
  mkdirSync(directory, { recursive: true });
  fill(await openAt(live, key), megabytes * changesPerMegabyte);
  const store = await openAt(live, key);
  const writer = new ChangeWriter(documentId(0xffff), randomBytes);
  for (let count = 0; count < commitsInLog; count += 1) commitChanges(store, [writer.next(150)]);
  cpSync(live, left, { recursive: true });
  store.close();
  return { megabytes, key, directory: left };
}

function fill(store: Store, changes: number): void {
  const notesPerTransaction = changesPerTransaction / changesPerNote;
  for (let note = 0; note * changesPerNote < changes; note += notesPerTransaction) {
    store.transaction(() => {
      for (let index = note; index < note + notesPerTransaction; index += 1) {
        const writer = new ChangeWriter(documentId(index), randomBytes);
        store.changes.insert(
          Array.from({ length: changesPerNote }, () => writer.next(changeBytes)),
        );
      }
    });
  }
  store.close();
}

async function openAt(directory: string, key: Uint8Array | null): Promise<Store> {
  return openStore({
    engine: await loadNodeEngine(),
    files: openNodeFiles(directory),
    key,
    clock: { now: () => 0 },
    random: (count) => randomBytes(count),
  });
}

/** The median of several openings, each in a fresh process. */
export function measureOpening({ directory, key }: SizedStore): Opening {
  const program = fileURLToPath(new URL("./store-opening-process.ts", import.meta.url));
  const keyText = key === null ? "" : Buffer.from(key).toString("hex");
  const openings = Array.from({ length: repeats }, () => {
    const answer = execFileSync(
      process.execPath,
      [...process.execArgv, "--expose-gc", program, directory, keyText],
      { encoding: "utf8" },
    );
    // Written by the program named above.
    return JSON.parse(answer) as Opening;
  });
  return medianOpening(openings);
}

export function medianOpening(openings: readonly Opening[]): Opening {
  return {
    engineMs: median(openings.map(({ engineMs }) => engineMs)),
    openMs: median(openings.map(({ openMs }) => openMs)),
    noteMs: median(openings.map(({ noteMs }) => noteMs)),
    grownMB: median(openings.map(({ grownMB }) => grownMB)),
  };
}
