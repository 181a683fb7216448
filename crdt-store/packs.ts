import { equalBytes } from "@noble/ciphers/utils.js";
import { bytesToHex } from "@noble/hashes/utils.js";

import { mapKey, packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** A snapshot that stands for changes whose bytes the journal has let go. */
export interface Pack {
  /** Key of the snapshot among the document's snapshots. */
  readonly snapshot: string;
  /** Rows of the journal up to this number are in the snapshot too. */
  readonly through: number;
  /** How many rows the journal kept when this was made. */
  readonly kept: number;
  /** How many of them only because the relay had not acknowledged them. */
  readonly waiting: number;
  /** How many changes the journal has let go. */
  readonly changes: number;
  /** The highest relay position among those; null if there is none. */
  readonly pos: number | null;
  /** The relay may have lost some of it: to be made rows again, and compared with its log. */
  readonly resend: boolean;
  /** Of the changes let go, those that none of them depends on. */
  readonly heads: readonly Uint8Array[];
}

/** What is remembered of a change that was let go. */
export interface PackedChange {
  readonly hash: Uint8Array;
  readonly actor: Uint8Array;
  readonly seq: number;
  readonly space: Uint8Array | null;
  readonly signer: Uint8Array | null;
  readonly local: boolean;
}

interface PackRow {
  doc: Uint8Array;
  snapshot: string;
  through: number;
  kept: number;
  waiting: number;
  changes: number;
  pos: number | null;
  resend: number;
  heads: Uint8Array;
}

/** Consecutive changes of one actor. */
interface RunRow {
  actor: Uint8Array;
  seq: number;
  space: Uint8Array | null;
  signer: Uint8Array | null;
  local: number;
  hashes: Uint8Array;
}

const hashBytes = 32;
/** Hashes in a row: with its other columns it fills a page of 4 KiB and needs no second one. */
const runHashes = 120;
const packColumns = "doc, snapshot, through, kept, waiting, changes, pos, resend, heads";
const runColumns = "actor, seq, space, signer, local, hashes";

/**
 * The changes of each document that only a snapshot still holds. A set of them is closed: whatever one depends on is in
 * it, so an actor's are those from its first to some last one and only their hashes take room.
 */
export class Packs {
  readonly #sqlite: Sqlite;
  /** By document in hex; null for those that have none. */
  readonly #known = new Map<string, Pack | null>();

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
    sqlite.onRollback(() => this.forget());
  }

  /** Reads everything from the tables again: they were changed from outside. */
  forget(): void {
    this.#known.clear();
  }

  of(doc: Uint8Array): Pack | null {
    const key = bytesToHex(doc);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const row = this.#sqlite.get<PackRow>(`SELECT ${packColumns} FROM pack WHERE doc = ?`, [doc]);
    const pack = row === undefined ? null : packOf(row);
    this.#known.set(key, pack);
    return pack;
  }

  put(doc: Uint8Array, pack: Pack): void {
    this.#sqlite.run(
      `INSERT OR REPLACE INTO pack (${packColumns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        doc,
        pack.snapshot,
        pack.through,
        pack.kept,
        pack.waiting,
        pack.changes,
        pack.pos,
        pack.resend ? 1 : 0,
        packHashes(pack.heads),
      ],
    );
    this.#known.set(bytesToHex(doc), pack);
  }

  /** Forgets the document's pack and all that it held. */
  remove(doc: Uint8Array): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run("DELETE FROM packed WHERE doc = ?", [doc]);
      this.#sqlite.run("DELETE FROM pack WHERE doc = ?", [doc]);
      this.#known.set(bytesToHex(doc), null);
    });
  }

  /** The documents of a space with changes beyond a position of the relay's log. */
  beyond(space: Uint8Array, after: number): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>(
        `SELECT pack.doc AS doc FROM pack JOIN document ON document.doc = pack.doc
         WHERE document.space = ? AND changes > 0 AND (pack.pos > ? OR pack.pos IS NULL)`,
        [space, after],
      )
      .map((row) => row.doc);
  }

  /** The documents that are to be made rows again. */
  toResend(): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT doc FROM pack WHERE resend = 1")
      .map((row) => row.doc);
  }

  /** The documents of which at least so many changes waited for the relay when they were packed. */
  waiting(changes: number): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT doc FROM pack WHERE waiting >= ?", [changes])
      .map((row) => row.doc);
  }

  /** Remembers changes; each actor's must follow on those remembered before. */
  add(doc: Uint8Array, changes: readonly PackedChange[]): void {
    for (const run of runsOf(changes)) {
      const [first] = run;
      this.#sqlite.run(`INSERT INTO packed (doc, ${runColumns}) VALUES (?, ?, ?, ?, ?, ?, ?)`, [
        doc,
        first.actor,
        first.seq,
        first.space,
        first.signer,
        first.local ? 1 : 0,
        packHashes(run.map((change) => change.hash)),
      ]);
    }
  }

  hashAt(doc: Uint8Array, actor: Uint8Array, seq: number): Uint8Array | null {
    if (this.#isEmpty(doc)) return null;
    const run = this.#sqlite.get<{ seq: number; hashes: Uint8Array }>(
      `SELECT seq, hashes FROM packed WHERE doc = ? AND actor = ? AND seq <= ? ORDER BY seq DESC LIMIT 1`,
      [doc, actor, seq],
    );
    if (run === undefined) return null;
    const at = (seq - run.seq) * hashBytes;
    return at < run.hashes.length ? run.hashes.slice(at, at + hashBytes) : null;
  }

  /** The highest seq of an actor; 0 if there is none. */
  lastSeq(doc: Uint8Array, actor: Uint8Array): number {
    if (this.#isEmpty(doc)) return 0;
    const run = this.#sqlite.get<{ seq: number; length: number }>(
      `SELECT seq, length(hashes) AS length FROM packed WHERE doc = ? AND actor = ? ORDER BY seq DESC LIMIT 1`,
      [doc, actor],
    );
    return run === undefined ? 0 : run.seq - 1 + run.length / hashBytes;
  }

  /** Those of `hashes` that are here. Reads all hashes of the document: few ask for what is no head. */
  among(doc: Uint8Array, hashes: readonly Uint8Array[]): Uint8Array[] {
    const pack = this.of(doc);
    if (pack === null || pack.changes === 0) return [];
    const isHead = (hash: Uint8Array): boolean => pack.heads.some((head) => equalBytes(head, hash));
    const sought = new Map<number, Uint8Array[]>();
    for (const hash of hashes.filter((wanted) => !isHead(wanted))) {
      sought.set(wordOf(hash, 0), [...(sought.get(wordOf(hash, 0)) ?? []), hash]);
    }
    const found = new Set<Uint8Array>();
    for (const run of sought.size === 0 ? [] : this.#runs(doc)) {
      for (let at = 0; at < run.hashes.length; at += hashBytes) {
        for (const hash of sought.get(wordOf(run.hashes, at)) ?? []) {
          if (equalBytes(hash, run.hashes.subarray(at, at + hashBytes))) found.add(hash);
        }
      }
    }
    return hashes.filter((hash) => isHead(hash) || found.has(hash));
  }

  /** Everything remembered of a document, each actor's changes in order. */
  changes(doc: Uint8Array): PackedChange[] {
    return this.#runs(doc).flatMap(({ actor, seq, space, signer, local, hashes }) =>
      unpackHashes(hashes).map((hash, ix) => ({
        hash,
        actor,
        seq: seq + ix,
        space,
        signer,
        local: local === 1,
      })),
    );
  }

  #isEmpty(doc: Uint8Array): boolean {
    return (this.of(doc)?.changes ?? 0) === 0;
  }

  #runs(doc: Uint8Array): RunRow[] {
    return this.#sqlite.all<RunRow>(
      `SELECT ${runColumns} FROM packed WHERE doc = ? ORDER BY actor, seq`,
      [doc],
    );
  }
}

function packOf(row: PackRow): Pack {
  const { snapshot, through, kept, waiting, changes, pos } = row;
  return {
    snapshot,
    through,
    kept,
    waiting,
    changes,
    pos,
    resend: row.resend === 1,
    heads: unpackHashes(row.heads),
  };
}

type Run = [PackedChange, ...PackedChange[]];

/** Changes that stand in one row: consecutive ones of an actor with everything else equal. */
function runsOf(changes: readonly PackedChange[]): Run[] {
  const runs: Run[] = [];
  const openByActor = new Map<string, Run>();
  for (const change of changes.toSorted((a, b) => a.seq - b.seq)) {
    const actor = mapKey(change.actor);
    const run = openByActor.get(actor);
    if (run !== undefined && run.length < runHashes && follows(run, change)) {
      run.push(change);
    } else {
      const next: Run = [change];
      runs.push(next);
      openByActor.set(actor, next);
    }
  }
  return runs;
}

function follows(run: Run, change: PackedChange): boolean {
  const [first] = run;
  return (
    change.seq === first.seq + run.length &&
    change.local === first.local &&
    sameBytes(change.space, first.space) &&
    sameBytes(change.signer, first.signer)
  );
}

function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equalBytes(a, b);
}

/** Four bytes of a hash as a number. */
function wordOf(hashes: Uint8Array, at: number): number {
  return (
    ((hashes[at] ?? 0) << 24) |
    ((hashes[at + 1] ?? 0) << 16) |
    ((hashes[at + 2] ?? 0) << 8) |
    (hashes[at + 3] ?? 0)
  );
}
