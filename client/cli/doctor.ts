/** `sealeaf doctor`: what is well in a home and what is not. Nothing in it is changed. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { closeFiles, type FileSet } from "#crdt-store/files/file.ts";
import { MemoryFile } from "#crdt-store/files/memory.ts";
import {
  loadNodeEngine,
  lockDirectory,
  readNodeFiles,
  type DirectoryLock,
} from "#crdt-store/files/node.ts";
import { overlayFiles } from "#crdt-store/files/overlay.ts";
import { storedVersion } from "#crdt-store/migrate.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { migrations } from "#crdt-store/schema.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import {
  examineStore,
  startElsewhere,
  trouble,
  well,
  type Finding,
} from "#client/device/doctor.ts";
import type { CommandLine } from "./command-line.ts";
import { exitCodes, failureOf, systemWordsOf, type Outcome } from "./failure.ts";
import { readHomeKey } from "./home-key.ts";
import { nodeAutomerge, nodeEd25519, nodeRandom } from "./node-ports.ts";

/**
 * Examines a home that no process has open, holding its lock, unless nothing can be written there.
 * @param passphrase asked only if the home has one
 */
export async function examineHome(
  dir: string,
  passphrase: () => Promise<string>,
): Promise<readonly Finding[]> {
  const lock = lockIfWritable(dir);
  try {
    const findings = [...examineFiles(dir)];
    if ("level" in lock) findings.push(lock);
    const key = await keyOf(dir, passphrase);
    if (!(key instanceof Uint8Array)) return [...findings, key];
    findings.push(well("key", "The key is there."));
    const files = readNodeFiles(dir);
    try {
      return [...findings, ...(await examineDatabase(dir, files, key))];
    } finally {
      closeFiles(files);
    }
  } finally {
    if ("release" in lock) lock.release();
  }
}

function lockIfWritable(dir: string): DirectoryLock | Finding {
  try {
    return lockDirectory(dir);
  } catch (error) {
    const words = systemWordsOf(error);
    if (words === undefined) throw error;
    const remedy = "Make it writable for this user, or copy it to a place that is.";
    return trouble("files", `Nothing can be written in ${dir}: ${words}.`, remedy);
  }
}

/** Examines the store of a home in use, as it stands at this moment. */
export async function examineOpenHome(store: Store): Promise<readonly Finding[]> {
  const copy = store.beginCopy();
  try {
    const files = {
      main: {
        read: (into: Uint8Array, at: number) => copy.read(into, at),
        size: () => copy.size,
        ...readOnly,
      },
      wal: new MemoryFile(),
      journal: new MemoryFile(),
    };
    return [
      well("files", "A running watch has this home open; its store is examined as it is now."),
      ...(await examineOpened(openToExamine(files, null, await loadNodeEngine()))),
    ];
  } finally {
    copy.close();
  }
}

const readOnly = {
  write: () => 0,
  truncate: () => undefined,
  flush: () => undefined,
  close: () => undefined,
};

function* examineFiles(dir: string): Generator<Finding> {
  const names = readdirSync(dir).filter((name) => name !== "lock");
  // Windows keeps rights elsewhere.
  const isOpen = (path: string): boolean =>
    process.platform !== "win32" && (statSync(path).mode & 0o077) !== 0;
  const open = names.filter((name) => isOpen(join(dir, name)));
  if (isOpen(dir)) open.unshift(".");
  if (open.length === 0) {
    yield well("files", `The files in ${dir} are there, and only their owner can read them.`);
    return;
  }
  yield trouble(
    "files",
    `Others on this machine may read these in ${dir}: ${open.join(", ")}.`,
    `chmod -R go= '${dir}'`,
  );
}

async function keyOf(
  dir: string,
  passphrase: () => Promise<string>,
): Promise<Uint8Array | Finding> {
  try {
    return await readHomeKey(dir, passphrase);
  } catch (error) {
    const remedy = "Restore a backup or your words in another home if the key is lost.";
    return trouble("key", failureOf(error, dir).stderr.trim(), remedy);
  }
}

async function examineDatabase(
  dir: string,
  files: FileSet,
  key: Uint8Array,
): Promise<readonly Finding[]> {
  if (files.main.size() === 0) {
    return [trouble("database", "The main file of the notes is empty.", startElsewhere)];
  }
  const engine = await loadNodeEngine();
  try {
    const version = versionOf(files, key, engine);
    const store = openToExamine(files, key, engine);
    return [versionFinding(version), ...(await examineOpened(store))];
  } catch (error) {
    return [trouble("database", failureOf(error, dir).stderr.trim(), startElsewhere)];
  }
}

type Engine = Awaited<ReturnType<typeof loadNodeEngine>>;

function versionOf(files: FileSet, key: Uint8Array, engine: Engine): number {
  const codec = notesCodec(engine, key, nodeRandom);
  const sqlite = Sqlite.open({ engine, files: overlayFiles(files), codec });
  try {
    return storedVersion(sqlite);
  } finally {
    sqlite.abandon();
  }
}

function versionFinding(version: number): Finding {
  return version === migrations.length
    ? well("version", `The tables are of version ${version}, the newest.`)
    : well(
        "version",
        `The tables are of version ${version}; the next command brings them to ${migrations.length}.`,
      );
}

function openToExamine(files: FileSet, key: Uint8Array | null, engine: Engine): Store {
  return openStore({
    engine,
    files: overlayFiles(files),
    key,
    clock: { now: () => Date.now() },
    random: nodeRandom,
  });
}

async function examineOpened(store: Store): Promise<readonly Finding[]> {
  try {
    const automerge = await nodeAutomerge();
    return [...examineStore({ store, automerge, ed: nodeEd25519(), random: nodeRandom })];
  } finally {
    store.close();
  }
}

const marks = { well: "✓", note: "·", trouble: "✗" } as const;

/** The findings as a command prints them; refused if there is trouble. */
export function reportOf({ json }: CommandLine, findings: readonly Finding[]): Outcome {
  const troubles = findings.filter(({ level }) => level === "trouble").length;
  const code = troubles === 0 ? exitCodes.done : exitCodes.refused;
  if (json) {
    const report = { well: troubles === 0, findings };
    return { code, stdout: `${JSON.stringify(report)}\n`, stderr: "" };
  }
  const lines = findings.flatMap(({ level, text, remedy }) => [
    `${marks[level]} ${text}`,
    ...(remedy === null ? [] : [`  → ${remedy}`]),
  ]);
  const summary =
    troubles === 0
      ? "All is well."
      : `${troubles} ${troubles === 1 ? "thing needs" : "things need"} you.`;
  return { code, stdout: `${[...lines, summary].join("\n")}\n`, stderr: "" };
}
