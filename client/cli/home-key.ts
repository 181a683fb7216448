/**
 * The key file of a home: the database's key as it is, 32 bytes, or locked with a passphrase
 * (client/crypto/passphrase-lock.ts). Only its owner can read it, and it is always replaced as a whole.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { flushDirectory } from "#crdt-store/files/node.ts";
import { wasmArgon2id } from "#client/crypto/argon2id.ts";
import {
  isPassphraseLock,
  lockWithPassphrase,
  openPassphraseLock,
  passphraseFault,
} from "#client/crypto/passphrase-lock.ts";
import { refuse } from "#client/device/refusal.ts";
import { nodeRandom } from "./node-ports.ts";

const keyBytes = 32;
const ownerOnly = 0o600;
const forOthers = 0o077;

const putItBack = "Put it back from a backup: nothing was changed.";

export interface KeyReader {
  /** Asked only if the key is locked. */
  readonly passphrase: () => Promise<string>;
  /** A sentence for the person, about a key that is used all the same. */
  readonly warn: (sentence: string) => void;
}

export function hasPassphrase(dir: string): boolean {
  const path = pathIn(dir);
  return existsSync(path) && isPassphraseLock(readFileSync(path));
}

/**
 * The 32-byte key; changes nothing. Refuses if it is missing or damaged, or the passphrase does not open it.
 * @param passphrase asked only if the key is locked
 */
export async function readHomeKey(
  dir: string,
  passphrase: () => Promise<string>,
): Promise<Uint8Array> {
  const path = pathIn(dir);
  if (!existsSync(path)) refuse("storage", `The key file ${path} is missing. ${putItBack}`);
  const kept = readKeyFile(path);
  return isPassphraseLock(kept) ? unlocked(path, kept, await passphrase()) : kept;
}

/**
 * Takes away what others may do with the key file. A copy or a restored backup brings the umask's mode along:
 * that is mended rather than refused, but never in silence.
 * @param warn told a sentence for the person if others could read it so far
 */
export function closeKeyToOthers(dir: string, warn: (sentence: string) => void): void {
  const path = pathIn(dir);
  if (process.platform === "win32" || (statSync(path).mode & forOthers) === 0) return;
  try {
    chmodSync(path, ownerOnly);
  } catch {
    refuse(
      "storage",
      `Others can read the key file ${path}, and it is not yours to change. Nothing was opened: have its owner set its mode to 600.`,
    );
  }
  warn(
    `Others could read the key file ${path}; from now on only you can. If somebody did, the notes are no secret from them.`,
  );
}

/** A new key for the store in `dir`, which has none, durable beside it. */
export function createHomeKey(dir: string): Uint8Array {
  const key = nodeRandom(keyBytes);
  replaceFile(pathIn(dir), key);
  return key;
}

export type PassphraseChange =
  | { readonly action: "set"; readonly next: string }
  | { readonly action: "change"; readonly current: string; readonly next: string }
  | { readonly action: "remove"; readonly current: string };

/**
 * Changes what opens the key; the database stays as it is. The caller holds the home's lock or has the home
 * open. Durable when resolved; a refusal has changed nothing.
 */
export async function changeHomePassphrase(dir: string, change: PassphraseChange): Promise<void> {
  const path = pathIn(dir);
  const isLocked = hasPassphrase(dir);
  if (change.action === "set" && isLocked) {
    refuse("refused", "This home has a passphrase already. Use passphrase change.");
  }
  if (change.action !== "set" && !isLocked) {
    refuse("refused", "This home has no passphrase. Use passphrase set.");
  }
  const fault = change.action === "remove" ? null : passphraseFault(change.next);
  if (fault !== null) refuse("bad-input", `${fault} Nothing was changed.`);
  const kept = readKeyFile(path);
  const key = change.action === "set" ? kept : await unlocked(path, kept, change.current);
  replaceFile(path, change.action === "remove" ? key : await locked(key, change.next));
}

function pathIn(dir: string): string {
  return join(dir, "key");
}

function readKeyFile(path: string): Uint8Array {
  const kept = new Uint8Array(readFileSync(path));
  if (isPassphraseLock(kept) || kept.length === keyBytes) return kept;
  return refuse(
    "storage",
    `The key file ${path} is damaged: it must hold ${keyBytes} bytes, or a locked key. ${putItBack}`,
  );
}

async function unlocked(path: string, record: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const opening = await openPassphraseLock(record, passphrase, wasmArgon2id);
  switch (opening.type) {
    case "open":
      return opening.key;
    case "wrong-passphrase":
      return refuse(
        "wrong-passphrase",
        "The passphrase does not open this home. Nothing was changed.",
      );
    case "damaged":
      return refuse("storage", `The key file ${path} is damaged. ${putItBack}`);
    case "newer-version":
      return refuse(
        "storage",
        "This home was locked by a newer version of Sealeaf. Install that version.",
      );
    case "no-memory":
      return refuse("unavailable", noMemory);
  }
}

const noMemory = "There is not enough free memory to work with a passphrase. Nothing was changed.";

async function locked(key: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const ports = { argon2id: wasmArgon2id, random: nodeRandom };
  return (await lockWithPassphrase(key, passphrase, ports)) ?? refuse("unavailable", noMemory);
}

/** The old file or the new one is there, whatever happens; what held a bare key is then made unreadable. */
function replaceFile(path: string, contents: Uint8Array): void {
  const draft = `${path}.new`;
  const old = existsSync(path) ? openSync(path, "r+") : null;
  try {
    writeFileSync(draft, contents, { mode: ownerOnly, flush: true });
    renameSync(draft, path);
    flushDirectory(join(path, ".."));
    if (old !== null) overwrite(old);
  } finally {
    if (old !== null) closeSync(old);
  }
}

// As good as a file system allows: one that never writes in place keeps the old bytes for a while.
function overwrite(file: number): void {
  const { nlink, size } = fstatSync(file);
  // Another name for it is somebody's backup.
  if (nlink > 0) return;
  writeSync(file, nodeRandom(size), 0, size, 0);
  fsyncSync(file);
}
