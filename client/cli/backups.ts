/** Backup files on disk: written beside their place and then put there, restored beside a home and then made it. */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { closeFiles } from "#crdt-store/files/file.ts";
import {
  flushDirectory,
  loadNodeEngine,
  lockDirectory,
  openNodeFiles,
} from "#crdt-store/files/node.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { StoreFromCopy } from "#crdt-store/store-copy.ts";
import {
  backupWords,
  becomeDevice,
  readBackup,
  writeBackup,
  type BackupSource,
  type BackupWords,
} from "#client/device/backup.ts";
import { Refusal, refuse } from "#client/device/refusal.ts";
import { systemWordsOf } from "./failure.ts";
import { createHomeKey } from "./home-key.ts";
import { nodeEd25519, nodeRandom } from "./node-ports.ts";

/** Writes a backup of the store to `path`, where nothing may be. Complete and durable, or not there at all. */
export async function writeBackupFile(
  store: Store,
  backupKey: Uint8Array,
  path: string,
): Promise<void> {
  if (existsSync(path)) refuseTaken(path);
  const draft = `${path}.part`;
  const { cipher } = await loadNodeEngine();
  try {
    const file = await open(draft, "w", 0o600);
    try {
      await writeBackup({ store, random: nodeRandom, cipher }, backupKey, async (bytes) => {
        await file.writeFile(bytes);
      });
      await file.sync();
      putInPlace(draft, path);
    } finally {
      await file.close();
      rmSync(draft, { force: true });
    }
    flushDirectory(dirname(path));
  } catch (error) {
    throw explained(error, `The backup ${path} could not be written`);
  }
}

/** A link never takes the place of a file, as renaming would; some disks (FAT) know no links. */
function putInPlace(draft: string, path: string): void {
  try {
    linkSync(draft, path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EEXIST" || existsSync(path)) refuseTaken(path);
    renameSync(draft, path);
  }
}

function refuseTaken(path: string): never {
  return refuse("refused", `${path} exists already and is left as it is: name a new file.`);
}

/** Makes the home `dir`, which may not hold anything, of a backup. All of it is there in the end, or nothing. */
export async function restoreBackupFile(path: string, dir: string, typed: string): Promise<void> {
  mustBeUnused(dir);
  const words = backupWords(nodeEd25519(), typed);
  const file = await openBackupFile(path);
  try {
    await besideHome(dir, async (draft) => {
      await unpack(file, path, draft, words);
    });
  } catch (error) {
    throw explained(error, `The home ${dir} could not be made`);
  } finally {
    await file.close();
  }
}

async function openBackupFile(path: string): Promise<FileHandle> {
  try {
    if (!statSync(path).isFile()) refuse("refused", `${path} is not a backup of Sealeaf.`);
    return await open(path, "r");
  } catch (error) {
    throw explained(error, `The backup ${path} cannot be read`);
  }
}

function mustBeUnused(dir: string): void {
  if (!existsSync(dir) || readdirSync(dir).length === 0) return;
  refuse(
    "refused",
    `The home ${dir} is not empty, and nothing in it was changed: name a new directory.`,
  );
}

async function unpack(
  file: FileHandle,
  path: string,
  dir: string,
  words: BackupWords,
): Promise<void> {
  const engine = await loadNodeEngine();
  const { cipher } = engine;
  const key = createHomeKey(dir);
  const files = openNodeFiles(dir);
  try {
    const target = new StoreFromCopy({ files, key, random: nodeRandom, cipher });
    await readBackup(sourceOf(file), path, words.key, cipher, target);
    target.finish();
  } finally {
    closeFiles(files);
  }
  const store = openUnpacked(path, {
    engine,
    files: openNodeFiles(dir),
    key,
    clock: { now: () => Date.now() },
    random: nodeRandom,
  });
  try {
    becomeDevice({ store, ed: nodeEd25519(), random: nodeRandom }, words);
  } finally {
    store.close();
  }
}

function openUnpacked(path: string, options: Parameters<typeof openStore>[0]): Store {
  try {
    return openStore(options);
  } catch (error) {
    if (!(error instanceof StoreError) || error.type !== "newer-version") throw error;
    return refuse(
      "refused",
      `The backup ${path} was made by a newer version of Sealeaf: install that one.`,
    );
  }
}

function sourceOf(file: FileHandle): BackupSource {
  return async (count) => {
    const bytes = new Uint8Array(count);
    let done = 0;
    while (done < count) {
      const { bytesRead } = await file.read(bytes, done, count - done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  };
}

/** Fills a directory beside `dir`, held by this process alone, which becomes `dir` if nothing fails. */
async function besideHome(dir: string, fill: (draft: string) => Promise<void>): Promise<void> {
  const parent = dirname(dir);
  const made = mkdirSync(parent, { recursive: true, mode: 0o700 });
  const draft = `${dir}.restoring`;
  const lock = lockDirectory(draft);
  try {
    // What an attempt that was killed has left.
    for (const name of readdirSync(draft))
      if (name !== "lock") rmSync(join(draft, name), { recursive: true });
    await fill(draft);
    flushDirectory(draft);
    if (existsSync(dir)) rmdirSync(dir);
    renameSync(draft, dir);
    unlinkSync(join(dir, "lock"));
    flushDirectory(parent);
  } catch (error) {
    lock.release();
    rmSync(draft, { recursive: true, force: true });
    removeEmpty(parent, made);
    throw error;
  }
}

/** Takes back the directories that were made, from `dir` up to `top`; those that hold something stay. */
function removeEmpty(dir: string, top: string | undefined): void {
  if (top === undefined) return;
  for (let at = dir; at.startsWith(top) && readdirSync(at).length === 0; at = dirname(at)) {
    rmdirSync(at);
  }
}

/** A failure of the system in words; any other error as it is. */
function explained(error: unknown, what: string): unknown {
  const words = systemWordsOf(error);
  return words === undefined
    ? error
    : new Refusal({ code: "storage", message: `${what}: ${words}.` });
}
