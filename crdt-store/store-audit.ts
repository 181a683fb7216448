import { bytesToHex } from "@noble/hashes/utils.js";

import { unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** What a document's rows say that may not be. */
export interface DocumentCount {
  readonly doc: Uint8Array;
  readonly changes: number;
}

/** Facts about the tables that no single one of them shows. */
export interface StoreAudit {
  /** Written here, and neither known to the relay nor waiting for it. */
  readonly unqueued: readonly DocumentCount[];
  /** Waiting in an entry that is not there. */
  readonly inNoEntry: readonly DocumentCount[];
  /** In a sealed entry, but not waiting. */
  readonly notWaiting: readonly DocumentCount[];
  /** Spaces with an entry whose counter may be given again. */
  readonly counterBehind: readonly Uint8Array[];
  /** Spaces whose cursor stands elsewhere than the chain kept for its position. */
  readonly cursorOffChain: readonly Uint8Array[];
  /** Documents whose list of packed changes is not as long as it was made. */
  readonly packsCutShort: readonly Uint8Array[];
  /** In rows. */
  readonly changes: number;
  /** In bytes. */
  readonly changeBytes: number;
  /** In snapshots alone. */
  readonly packedChanges: number;
  readonly snapshots: number;
  readonly snapshotBytes: number;
}

/** Reads the tables once, without their contents. */
export function auditStore(sqlite: Sqlite): StoreAudit {
  const changes = sqlite.get<{ count: number; bytes: number | null }>(
    "SELECT count(*) AS count, sum(length) AS bytes FROM change",
  );
  const snapshots = sqlite.get<{ count: number; bytes: number | null }>(
    "SELECT count(*) AS count, sum(length(bytes)) AS bytes FROM snapshot",
  );
  const packed = sqlite.get<{ count: number | null }>("SELECT sum(changes) AS count FROM pack");
  return {
    unqueued: sqlite.all<DocumentCount>(
      `SELECT doc, count(*) AS changes FROM change WHERE local = 1 AND pos IS NULL AND space IS NOT NULL
       AND id NOT IN (SELECT change_id FROM pending) GROUP BY doc`,
    ),
    inNoEntry: sqlite.all<DocumentCount>(
      `SELECT doc, count(*) AS changes FROM pending AS p WHERE entry_id IS NOT NULL AND NOT EXISTS (
         SELECT 1 FROM sealed AS s WHERE s.space = p.space AND s.entry_id = p.entry_id) GROUP BY doc`,
    ),
    notWaiting: notWaiting(sqlite),
    counterBehind: ids(
      sqlite,
      `SELECT DISTINCT s.space AS id FROM sealed AS s LEFT JOIN counter AS c ON c.space = s.space
       WHERE c.last IS NULL OR s.ctr > c.last`,
    ),
    cursorOffChain: ids(
      sqlite,
      `SELECT c.space AS id FROM cursor AS c LEFT JOIN chain_tag AS t ON t.space = c.space AND t.pos = c.pos
       WHERE t.chain IS NULL OR t.chain <> c.chain`,
    ),
    packsCutShort: ids(
      sqlite,
      `SELECT p.doc AS id FROM pack AS p LEFT JOIN (
         SELECT doc, sum(length(hashes)) / 32 AS count FROM packed GROUP BY doc) AS q ON q.doc = p.doc
       WHERE p.changes <> coalesce(q.count, 0)`,
    ),
    changes: changes?.count ?? 0,
    packedChanges: packed?.count ?? 0,
    changeBytes: changes?.bytes ?? 0,
    snapshots: snapshots?.count ?? 0,
    snapshotBytes: snapshots?.bytes ?? 0,
  };
}

function notWaiting(sqlite: Sqlite): DocumentCount[] {
  return sqlite
    .all<{ doc: Uint8Array; entryId: Uint8Array; hashes: Uint8Array }>(
      "SELECT doc, entry_id AS entryId, hashes FROM sealed",
    )
    .flatMap(({ doc, entryId, hashes }) => {
      const waiting = sqlite.all<{ hash: Uint8Array }>(
        "SELECT hash FROM pending WHERE doc = ? AND entry_id = ?",
        [doc, entryId],
      );
      const known = new Set(waiting.map(({ hash }) => bytesToHex(hash)));
      const missing = unpackHashes(hashes).filter((hash) => !known.has(bytesToHex(hash)));
      return missing.length === 0 ? [] : [{ doc, changes: missing.length }];
    });
}

function ids(sqlite: Sqlite, sql: string): Uint8Array[] {
  return sqlite.all<{ id: Uint8Array }>(sql).map(({ id }) => id);
}
