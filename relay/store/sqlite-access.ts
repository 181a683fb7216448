/** The default store's statements on invitations, access keys and owners of spaces (access-store.ts). */
import type { DatabaseSyncInstance } from "@photostructure/sqlite";
import type { AccessKeyRow, InviteRow, Ownership } from "#relay/store/access-store.ts";

/** What a step of sqlite-schema.ts makes. */
export const accessTables = `
  CREATE TABLE invite (
    token_hash BLOB PRIMARY KEY,
    label TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    expires_at INTEGER,
    redeemed_by BLOB
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE access_key (
    access_pub BLOB PRIMARY KEY,
    label TEXT NOT NULL,
    admitted_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE space_owner (
    space_id BLOB PRIMARY KEY,
    access_pub BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX space_owner_key ON space_owner (access_pub);
`;

export class SqliteAccess {
  readonly #db: DatabaseSyncInstance;

  /** @param db with the tables; it stays its owner's */
  constructor(db: DatabaseSyncInstance) {
    this.#db = db;
  }

  addInvite({ tokenHash, label, madeAt, expiresAt }: InviteRow): void {
    this.#db
      .prepare(
        "INSERT INTO invite (token_hash, label, made_at, expires_at) VALUES (?, ?, ?, ?)" +
          " ON CONFLICT DO NOTHING",
      )
      .run(tokenHash, label, madeAt, expiresAt);
  }

  listInvites(): InviteRow[] {
    const rows = this.#db
      .prepare("SELECT * FROM invite WHERE redeemed_by IS NULL ORDER BY made_at, token_hash")
      .all() as {
      token_hash: Uint8Array;
      label: string;
      made_at: number;
      expires_at: number | null;
    }[]; // the table's columns
    return rows.map((row) => ({
      tokenHash: bytes(row.token_hash),
      label: row.label,
      madeAt: row.made_at,
      expiresAt: row.expires_at,
    }));
  }

  redeemInvite(tokenHash: Uint8Array, accessPub: Uint8Array, now: number): boolean {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const isRedeemed = this.#redeem(tokenHash, accessPub, now);
      this.#db.exec("COMMIT");
      return isRedeemed;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  readAccessKey(accessPub: Uint8Array): AccessKeyRow | null {
    const row = this.#db.prepare("SELECT * FROM access_key WHERE access_pub = ?").get(accessPub);
    return row === undefined ? null : accessKeyOf(row as KeyColumns); // the table's columns
  }

  listAccessKeys(): AccessKeyRow[] {
    const rows = this.#db
      .prepare("SELECT * FROM access_key ORDER BY admitted_at, access_pub")
      .all() as KeyColumns[]; // the table's columns
    return rows.map(accessKeyOf);
  }

  revokeInvite(tokenHash: Uint8Array): boolean {
    const { changes } = this.#db
      .prepare("DELETE FROM invite WHERE token_hash = ? AND redeemed_by IS NULL")
      .run(tokenHash);
    return Number(changes) > 0;
  }

  revokeAccessKey(accessPub: Uint8Array): boolean {
    const { changes } = this.#db
      .prepare("DELETE FROM access_key WHERE access_pub = ?")
      .run(accessPub);
    return Number(changes) > 0;
  }

  claimSpace(spaceId: Uint8Array, accessPub: Uint8Array): void {
    this.#db
      .prepare(
        `INSERT INTO space_owner (space_id, access_pub)
         SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM space WHERE space_id = ?1)
         ON CONFLICT (space_id) DO UPDATE SET access_pub = excluded.access_pub`,
      )
      .run(spaceId, accessPub);
  }

  readOwnership(spaceId: Uint8Array): Ownership | null {
    const row = this.#db
      .prepare(
        `SELECT o.access_pub, (
           SELECT coalesce(sum(s.counted_bytes), 0)
           FROM space_owner p JOIN space s USING (space_id) WHERE p.access_pub = o.access_pub
         ) AS counted_bytes
         FROM space_owner o WHERE o.space_id = ?`,
      )
      .get(spaceId) as { access_pub: Uint8Array; counted_bytes: number } | undefined; // as selected
    if (row === undefined) return null;
    return { accessPub: bytes(row.access_pub), countedBytes: row.counted_bytes };
  }

  #redeem(tokenHash: Uint8Array, accessPub: Uint8Array, now: number): boolean {
    const { changes } = this.#db
      .prepare(
        `UPDATE invite SET redeemed_by = ?2 WHERE token_hash = ?1
         AND redeemed_by IS NULL AND (expires_at IS NULL OR expires_at > ?3)`,
      )
      .run(tokenHash, accessPub, now);
    if (Number(changes) === 0) {
      // Once more by the same key: its answer was lost. A key revoked since stays so.
      return (
        this.#db
          .prepare(
            "SELECT 1 FROM invite JOIN access_key ON access_pub = redeemed_by" +
              " WHERE token_hash = ? AND redeemed_by = ?",
          )
          .get(tokenHash, accessPub) !== undefined
      );
    }
    this.#db
      .prepare(
        `INSERT INTO access_key (access_pub, label, admitted_at)
         SELECT ?2, label, ?3 FROM invite WHERE token_hash = ?1 ON CONFLICT DO NOTHING`,
      )
      .run(tokenHash, accessPub, now);
    return true;
  }
}

interface KeyColumns {
  readonly access_pub: Uint8Array;
  readonly label: string;
  readonly admitted_at: number;
}

function accessKeyOf(row: KeyColumns): AccessKeyRow {
  return { accessPub: bytes(row.access_pub), label: row.label, admittedAt: row.admitted_at };
}

/** Plain bytes: the driver gives its own kind, which compares unequal to others. */
function bytes(blob: Uint8Array): Uint8Array {
  return new Uint8Array(blob);
}
