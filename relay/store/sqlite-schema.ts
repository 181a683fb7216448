/**
 * The default store's tables, made and changed by steps that only go forward: a released step is
 * never altered, a store with more steps than this relay knows is left alone.
 */
import type { DatabaseSyncInstance } from "@photostructure/sqlite";
import { accessTables } from "#relay/store/sqlite-access.ts";
import { StoreError } from "#relay/store/store.ts";

type Step = (db: DatabaseSyncInstance) => void;

const steps: readonly Step[] = [firstTables, documentsAndBlobs, accessKeys];

/** How many steps a store has had, and how many this relay knows. */
export const schemaVersion = {
  here: steps.length,
  of: (db: DatabaseSyncInstance): number => readNumber(db, "PRAGMA user_version"),
};

/** Brings the store up to this relay's tables, each step in a transaction of its own. */
export function migrate(db: DatabaseSyncInstance): void {
  const version = readNumber(db, "PRAGMA user_version");
  if (version > steps.length) {
    throw new StoreError(
      "unusable",
      "The store was written by a newer relay: start that one, or restore a backup of this one.",
    );
  }
  for (const [ix, step] of steps.entries()) {
    if (ix < version) continue;
    db.exec("BEGIN IMMEDIATE");
    step(db);
    db.exec(`PRAGMA user_version = ${ix + 1}; COMMIT`);
  }
}

function firstTables(db: DatabaseSyncInstance): void {
  db.exec(`
    CREATE TABLE identity (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      relay_secret BLOB NOT NULL,
      store_id BLOB NOT NULL
    ) STRICT;
    CREATE TABLE space (
      id INTEGER PRIMARY KEY,
      space_id BLOB NOT NULL UNIQUE,
      genesis BLOB NOT NULL,
      revision INTEGER NOT NULL,
      head INTEGER NOT NULL,
      chain BLOB NOT NULL,
      counted_bytes INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE log (
      space INTEGER NOT NULL REFERENCES space (id),
      pos INTEGER NOT NULL,
      is_control INTEGER NOT NULL,
      doc_id BLOB NOT NULL,
      entry_kind INTEGER NOT NULL,
      size INTEGER NOT NULL,
      item_id BLOB NOT NULL,
      chain BLOB NOT NULL,
      body BLOB NOT NULL,
      PRIMARY KEY (space, pos)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX log_item ON log (space, item_id);
    CREATE INDEX log_control ON log (space, pos) WHERE is_control = 1;
    CREATE TABLE certificate (
      space INTEGER NOT NULL REFERENCES space (id),
      dev_pub BLOB NOT NULL,
      cap_pub BLOB NOT NULL,
      bytes BLOB NOT NULL,
      PRIMARY KEY (space, dev_pub, cap_pub)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE counter (
      space INTEGER NOT NULL REFERENCES space (id),
      dev_pub BLOB NOT NULL,
      ctr INTEGER NOT NULL,
      PRIMARY KEY (space, dev_pub)
    ) STRICT, WITHOUT ROWID;
  `);
}

/**
 * Documents with their snapshots and cards, blobs, and times to forget by. A body that was forgotten
 * is an empty one: no entry is. What is here already counts from now on, and none of it is covered
 * by a snapshot, since relays before this step did not look at what one covers.
 */
function documentsAndBlobs(db: DatabaseSyncInstance): void {
  const now = readNumber(db, "SELECT unixepoch() * 1000");
  const counted = "sum(max(1024, size))";
  db.exec(`
    ALTER TABLE space ADD COLUMN base INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE space ADD COLUMN deleted_at INTEGER;
    ALTER TABLE log ADD COLUMN at INTEGER NOT NULL DEFAULT ${now};
    ALTER TABLE certificate ADD COLUMN at INTEGER NOT NULL DEFAULT ${now};
    ALTER TABLE counter ADD COLUMN counted_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE counter ADD COLUMN at INTEGER NOT NULL DEFAULT ${now};
    CREATE INDEX log_document ON log (space, doc_id, pos, size) WHERE is_control = 0;
    CREATE INDEX log_stub ON log (space, pos, at) WHERE is_control = 0 AND length(body) = 0;
    CREATE TABLE document (
      space INTEGER NOT NULL REFERENCES space (id),
      doc_id BLOB NOT NULL,
      last_pos INTEGER NOT NULL,
      last_at INTEGER NOT NULL,
      drop_pos INTEGER NOT NULL,
      snapshot_pos INTEGER NOT NULL,
      swept_pos INTEGER NOT NULL,
      counted_bytes INTEGER NOT NULL,
      PRIMARY KEY (space, doc_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX document_drop ON document (space, last_at) WHERE drop_pos > swept_pos;
    CREATE TABLE snapshot (
      space INTEGER NOT NULL REFERENCES space (id),
      pos INTEGER NOT NULL,
      doc_id BLOB NOT NULL,
      covers_pos INTEGER NOT NULL,
      omitted BLOB NOT NULL,
      chunks BLOB NOT NULL,
      at INTEGER NOT NULL,
      PRIMARY KEY (space, pos)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX snapshot_document ON snapshot (space, doc_id, pos, at);
    CREATE TABLE card (
      space INTEGER NOT NULL REFERENCES space (id),
      doc_id BLOB NOT NULL,
      derived_pos INTEGER NOT NULL,
      body BLOB NOT NULL,
      PRIMARY KEY (space, doc_id)
    ) STRICT;
    CREATE TABLE blob (
      id INTEGER PRIMARY KEY,
      space INTEGER NOT NULL REFERENCES space (id),
      blob_id BLOB NOT NULL,
      doc_id BLOB NOT NULL,
      dev_pub BLOB NOT NULL,
      size INTEGER NOT NULL,
      chunks BLOB NOT NULL,
      pos INTEGER NOT NULL,
      at INTEGER NOT NULL,
      dropped_at INTEGER,
      UNIQUE (space, blob_id)
    ) STRICT;
    CREATE INDEX blob_document ON blob (space, doc_id);
    CREATE TABLE chunk (
      blob INTEGER NOT NULL REFERENCES blob (id),
      ix INTEGER NOT NULL,
      body BLOB NOT NULL,
      PRIMARY KEY (blob, ix)
    ) STRICT;

    UPDATE space SET deleted_at = ${now} WHERE EXISTS (
      SELECT 1 FROM log
      WHERE space = space.id AND is_control = 1 AND substr(body, 2, 1) = x'05'
    );
    UPDATE counter SET counted_bytes = (
      SELECT coalesce(${counted}, 0) FROM log
      WHERE space = counter.space AND is_control = 0 AND substr(body, 57, 32) = counter.dev_pub
    );
    INSERT INTO document
      SELECT space, doc_id, max(pos), ${now}, 0, 0, 0, ${counted}
      FROM log WHERE is_control = 0 GROUP BY space, doc_id;
    UPDATE document SET drop_pos = last_pos WHERE 3 = (
      SELECT entry_kind FROM log WHERE space = document.space AND pos = document.last_pos
    );
  `);
}

function accessKeys(db: DatabaseSyncInstance): void {
  db.exec(accessTables);
}

function readNumber(db: DatabaseSyncInstance, sql: string): number {
  const row = db.prepare(sql).get();
  const [value] = typeof row === "object" && row !== null ? Object.values(row) : [];
  if (typeof value !== "number") throw new Error("a number was asked for");
  return value;
}
