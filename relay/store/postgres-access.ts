/** Invitations, access keys and owners of spaces in PostgreSQL (access-store.ts). */
import type { AccessKeyRow, AccessStore, InviteRow, Ownership } from "#relay/store/access-store.ts";
import { bytes } from "#relay/store/postgres-rows.ts";
import type { PostgresSession } from "#relay/store/postgres-session.ts";

export class PostgresAccess implements AccessStore {
  readonly #session: PostgresSession;

  constructor(session: PostgresSession) {
    this.#session = session;
  }

  async addInvite({ tokenHash, label, madeAt, expiresAt }: InviteRow): Promise<void> {
    await this.#session.rows(
      `INSERT INTO sealeaf.invite (token_hash, label, made_at, expires_at)
       VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
      tokenHash,
      label,
      madeAt,
      expiresAt,
    );
  }

  async listInvites(): Promise<readonly InviteRow[]> {
    const rows = await this.#session.rows<InviteColumns>(
      "SELECT * FROM sealeaf.invite WHERE redeemed_by IS NULL ORDER BY made_at, token_hash",
    );
    return rows.map((row) => ({
      tokenHash: bytes(row.token_hash),
      label: row.label,
      madeAt: Number(row.made_at),
      expiresAt: row.expires_at === null ? null : Number(row.expires_at),
    }));
  }

  async redeemInvite(tokenHash: Uint8Array, accessPub: Uint8Array, now: number): Promise<boolean> {
    const [taken] = await this.#session.rows<{ label: string }>(
      `WITH taken AS (
         UPDATE sealeaf.invite SET redeemed_by = $2
         WHERE token_hash = $1 AND redeemed_by IS NULL
           AND (expires_at IS NULL OR expires_at > $3)
         RETURNING label
       ), admitted AS (
         INSERT INTO sealeaf.access_key (access_pub, label, admitted_at)
         SELECT $2, label, $3 FROM taken ON CONFLICT DO NOTHING
       )
       SELECT label FROM taken`,
      tokenHash,
      accessPub,
      now,
    );
    if (taken !== undefined) return true;
    // Once more by the same key: its answer was lost. A key revoked since stays so.
    const again = await this.#session.rows(
      `SELECT FROM sealeaf.invite JOIN sealeaf.access_key ON access_pub = redeemed_by
       WHERE token_hash = $1 AND redeemed_by = $2`,
      tokenHash,
      accessPub,
    );
    return again.length > 0;
  }

  async readAccessKey(accessPub: Uint8Array): Promise<AccessKeyRow | null> {
    const [row] = await this.#session.rows<KeyColumns>(
      "SELECT * FROM sealeaf.access_key WHERE access_pub = $1",
      accessPub,
    );
    return row === undefined ? null : accessKeyFrom(row);
  }

  async listAccessKeys(): Promise<readonly AccessKeyRow[]> {
    const rows = await this.#session.rows<KeyColumns>(
      "SELECT * FROM sealeaf.access_key ORDER BY admitted_at, access_pub",
    );
    return rows.map(accessKeyFrom);
  }

  async revokeInvite(tokenHash: Uint8Array): Promise<boolean> {
    const gone = await this.#session.rows(
      "DELETE FROM sealeaf.invite WHERE token_hash = $1 AND redeemed_by IS NULL RETURNING true",
      tokenHash,
    );
    return gone.length > 0;
  }

  async revokeAccessKey(accessPub: Uint8Array): Promise<boolean> {
    const gone = await this.#session.rows(
      "DELETE FROM sealeaf.access_key WHERE access_pub = $1 RETURNING true",
      accessPub,
    );
    return gone.length > 0;
  }

  async claimSpace(spaceId: Uint8Array, accessPub: Uint8Array): Promise<void> {
    await this.#session.rows(
      `INSERT INTO sealeaf.space_owner (space_id, access_pub)
       SELECT $1::bytea, $2::bytea
       WHERE NOT EXISTS (SELECT FROM sealeaf.space WHERE space_id = $1 AND revision > 0)
       ON CONFLICT (space_id) DO UPDATE SET access_pub = excluded.access_pub`,
      spaceId,
      accessPub,
    );
  }

  async readOwnership(spaceId: Uint8Array): Promise<Ownership | null> {
    const [row] = await this.#session.rows<{ access_pub: Buffer; counted_bytes: string }>(
      `SELECT owner.access_pub, (
         SELECT coalesce(sum(space.counted_bytes), 0)::int8
         FROM sealeaf.space_owner AS other JOIN sealeaf.space USING (space_id)
         WHERE other.access_pub = owner.access_pub
       ) AS counted_bytes
       FROM sealeaf.space_owner AS owner WHERE owner.space_id = $1`,
      spaceId,
    );
    if (row === undefined) return null;
    return { accessPub: bytes(row.access_pub), countedBytes: Number(row.counted_bytes) };
  }
}

interface InviteColumns {
  readonly token_hash: Buffer;
  readonly label: string;
  readonly made_at: string;
  readonly expires_at: string | null;
}

interface KeyColumns {
  readonly access_pub: Buffer;
  readonly label: string;
  readonly admitted_at: string;
}

function accessKeyFrom(row: KeyColumns): AccessKeyRow {
  return {
    accessPub: bytes(row.access_pub),
    label: row.label,
    admittedAt: Number(row.admitted_at),
  };
}
