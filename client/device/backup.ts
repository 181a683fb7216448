/** Backups: all that a device holds, in one file that only the words open, and a device made of one again. */
import type { PageCipherOf } from "#crdt-store/files/page-cipher.ts";
import { copyUnit, type StoreFromCopy } from "#crdt-store/store-copy.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import { rootSecrets } from "#client/crypto/derive.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { parsePhrase } from "#client/crypto/phrase.ts";
import { vaultOf } from "#client/crypto/vault.ts";
import type { Random } from "#client/sync/ports.ts";
import { beginBackup, chunkBytes, headerBytes, openBackup, tagBytes } from "./backup-file.ts";
import {
  destroyEntropy,
  loadBackupKey,
  loadEntropy,
  loadIdentity,
  saveBackupKey,
} from "./identity.ts";
import { takeNewIncarnation } from "./incarnation.ts";
import { refuse } from "./refusal.ts";

/** Takes the bytes of a file in their order. */
export type BackupSink = (bytes: Uint8Array) => Promise<void>;

/** The next so many bytes of a file; fewer, or none, only at its end. */
export type BackupSource = (count: number) => Promise<Uint8Array>;

/** What the words of a backup open. */
export interface BackupWords {
  readonly key: Uint8Array;
  /** The space id of the vault. */
  readonly vault: Uint8Array;
}

/** Refuses with `bad-words`. */
export function backupWords(ed: Ed25519, typed: string): BackupWords {
  const phrase = parsePhrase(typed);
  if (!phrase.ok) return refuse("bad-words", phrase.message);
  const root = rootSecrets(phrase.entropy);
  return { key: root.backup, vault: spaceIdOf(vaultOf(ed, root).genesis) };
}

/**
 * The key of this device's backups, remembered from now on; null where it can only come from the words.
 * Devices have it from the beginning, but for those that began in version 0.1.
 */
export function backupKeyOf(store: Store): Uint8Array | null {
  const known = loadBackupKey(store);
  const entropy = loadEntropy(store);
  if (known !== null || entropy === null) return known;
  const { backup } = rootSecrets(entropy);
  saveBackupKey(store, backup);
  return backup;
}

/** Remembers the key of backups that the words of this device lead to. Refuses with `bad-words`. */
export function learnBackupKey(store: Store, ed: Ed25519, typed: string): Uint8Array {
  const { key, vault } = backupWords(ed, typed);
  const identity = loadIdentity(store);
  if (identity === null || !equal(identity.vault, vault)) {
    refuse("bad-words", "These words are of another identity than this device's.");
  }
  saveBackupKey(store, key);
  return key;
}

/**
 * Writes everything the store holds at this moment, a piece at a time; the store may be used meanwhile.
 * One at a time. Throws {@link import("#crdt-store/store-error.ts").StoreError} where the store cannot be read.
 */
export async function writeBackup(
  ports: { readonly store: Store; readonly random: Random; readonly cipher: PageCipherOf },
  backupKey: Uint8Array,
  sink: BackupSink,
): Promise<void> {
  const copy = ports.store.beginCopy();
  try {
    const { header, chunks } = beginBackup(backupKey, ports.random, ports.cipher);
    await sink(header);
    const piece = new Uint8Array(chunkBytes);
    for (let at = 0; at < copy.size; at += chunkBytes) {
      const count = copy.read(piece, at);
      if (count !== Math.min(chunkBytes, copy.size - at)) throw new Error("the store has shrunk");
      await sink(chunks.seal(piece.subarray(0, count), at + chunkBytes >= copy.size));
    }
  } finally {
    copy.close();
  }
}

/**
 * Reads a whole backup into a new store. Refuses what is no backup, or not all of one, under `name`; what was
 * appended until then is worth nothing.
 */
export async function readBackup(
  source: BackupSource,
  name: string,
  backupKey: Uint8Array,
  cipher: PageCipherOf,
  target: Pick<StoreFromCopy, "append">,
): Promise<void> {
  const opened = openBackup(backupKey, await source(headerBytes), cipher);
  if (opened.type !== "opened") return refuse("refused", unopened[opened.type](name));
  let sealed = await source(chunkBytes + tagBytes);
  for (let isLast = false; !isLast;) {
    const next = await source(chunkBytes + tagBytes);
    isLast = next.length === 0;
    const pages = opened.chunks.open(sealed, isLast);
    if (pages === null || pages.length === 0 || pages.length % copyUnit !== 0) {
      return refuse("refused", damaged(name));
    }
    target.append(pages);
    sealed = next;
  }
}

function damaged(name: string): string {
  return `The backup ${name} is damaged or cut short; nothing of it was used, and another copy of it may be whole.`;
}

const unopened = {
  foreign: (name) => `${name} is not a backup of Sealeaf.`,
  newer: (name) => `The backup ${name} was made by a newer version of Sealeaf: install that one.`,
  "cut-short": damaged,
  "wrong-key": (name) => `These words do not open the backup ${name}: it was made under others.`,
} as const satisfies Record<string, (name: string) => string>;

/**
 * Makes a device of its own of a store that came out of a backup, once it has proved sound: the device it was copied
 * from may still be in use. Throws, changing nothing, where the store is damaged or not the words' own.
 */
export function becomeDevice(
  ports: { readonly store: Store; readonly ed: Ed25519; readonly random: Random },
  words: BackupWords,
): void {
  const { store } = ports;
  store.checkIntegrity();
  const identity = loadIdentity(store);
  if (identity === null || !equal(identity.vault, words.vault)) {
    throw new Error("a backup holds the device of the words that open it");
  }
  store.transaction(() => {
    takeNewIncarnation(ports, identity);
    saveBackupKey(store, words.key);
    // They have just been typed: they are safe somewhere else.
    destroyEntropy(store);
  });
}
