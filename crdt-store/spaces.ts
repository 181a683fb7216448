import { equalBytes } from "@noble/ciphers/utils.js";

import type { Sqlite } from "./sqlite.ts";

/** A space this device takes part in. */
export interface Space {
  /** 32 bytes. */
  readonly id: Uint8Array;
  readonly kind: string;
  /** The genesis record, verbatim. */
  readonly genesis: Uint8Array;
  /** The secret of the capability held here; null where only a key of the words opens it. */
  readonly capSecret: Uint8Array | null;
  readonly role: string;
  /** `ended`: access is over; what was received and written stays. */
  readonly state: "active" | "ended";
  readonly relayUrl: string | null;
  readonly createdAt: number;
}

export interface ControlRecord {
  readonly seq: number;
  readonly bytes: Uint8Array;
  /** Where the relay's log has it; null if it is only known otherwise. */
  readonly pos: number | null;
  readonly hash: Uint8Array;
}

export interface Certificate {
  readonly dev: Uint8Array;
  readonly cap: Uint8Array;
  readonly bytes: Uint8Array;
  /** The relay is known to have it. */
  readonly pushed: boolean;
}

export interface EpochKey {
  readonly keyCommit: Uint8Array;
  readonly epoch: number;
  readonly key: Uint8Array;
}

/** A damaged address is none: the vault tells it again. */
const spaceColumns = `id, kind, genesis, cap_secret AS capSecret, role, state,
  CASE typeof(relay_url) WHEN 'text' THEN relay_url END AS relayUrl, created_at AS createdAt`;

/** The spaces, their control logs and certificates as received, and their keys. */
export class Spaces {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** Adds a space, or replaces what is known of it. */
  put(space: Space): void {
    this.#sqlite.run(
      `INSERT OR REPLACE INTO space (id, kind, genesis, cap_secret, role, state, relay_url, created_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        space.id,
        space.kind,
        space.genesis,
        space.capSecret,
        space.role,
        space.state,
        space.relayUrl,
        space.createdAt,
      ],
    );
  }

  get(id: Uint8Array): Space | null {
    return this.#sqlite.get<Space>(`SELECT ${spaceColumns} FROM space WHERE id = ?`, [id]) ?? null;
  }

  /** All spaces, the oldest first. */
  list(): Space[] {
    return this.#sqlite.all<Space>(`SELECT ${spaceColumns} FROM space ORDER BY created_at, id`);
  }

  /** Gives a space the id that its genesis proves. */
  rename(damaged: Uint8Array, id: Uint8Array): void {
    this.#sqlite.run("UPDATE space SET id = ? WHERE id = ?", [id, damaged]);
  }

  /** Changes the given properties of a known space. */
  update(
    id: Uint8Array,
    changes: Partial<Pick<Space, "capSecret" | "role" | "state" | "relayUrl">>,
  ): void {
    this.#sqlite.transaction(() => {
      const space = this.get(id);
      if (space === null) throw new Error("cannot update a space that is not stored");
      this.put({ ...space, ...changes });
    });
  }

  /**
   * Keeps a control record. `known`: the same record is there (a missing position is filled in). `conflict`: another
   * record has this number; nothing is changed.
   */
  addControl(
    space: Uint8Array,
    seq: number,
    bytes: Uint8Array,
    pos: number | null,
    hash: Uint8Array,
  ): "added" | "known" | "conflict" {
    return this.#sqlite.transaction(() => {
      const known = this.#sqlite.get<{ hash: Uint8Array }>(
        "SELECT hash FROM control WHERE space = ? AND seq = ?",
        [space, seq],
      );
      if (known === undefined) {
        this.#sqlite.run(
          "INSERT INTO control (space, seq, pos, hash, bytes) VALUES (?, ?, ?, ?, ?)",
          [space, seq, pos, hash, bytes],
        );
        return "added";
      }
      if (!equalBytes(known.hash, hash)) return "conflict";
      if (pos !== null) {
        this.#sqlite.run("UPDATE control SET pos = ? WHERE space = ? AND seq = ?", [
          pos,
          space,
          seq,
        ]);
      }
      return "known";
    });
  }

  /** The control log of a space, in order. */
  control(space: Uint8Array): ControlRecord[] {
    return this.#sqlite.all<ControlRecord>(
      "SELECT seq, bytes, pos, hash FROM control WHERE space = ? ORDER BY seq",
      [space],
    );
  }

  /** Whether a record of ours waits for the relay. */
  hasUnconfirmedControl(space: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM control WHERE space = ? AND pos IS NULL LIMIT 1";
    return this.#sqlite.get(sql, [space]) !== undefined;
  }

  /** Whether a certificate of ours waits for the relay. */
  hasUnpushedCertificate(space: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM cert WHERE space = ? AND pushed = 0 LIMIT 1";
    return this.#sqlite.get(sql, [space]) !== undefined;
  }

  /** Forgets our own records that the relay never took: others stand in their place. */
  dropUnconfirmedControl(space: Uint8Array): void {
    this.#sqlite.run("DELETE FROM control WHERE space = ? AND pos IS NULL", [space]);
  }

  dropControl(space: Uint8Array, seq: number): void {
    this.#sqlite.run("DELETE FROM control WHERE space = ? AND seq = ?", [space, seq]);
  }

  /** Takes the records after `seq` for unsent again: the relay has lost them. */
  unconfirmControl(space: Uint8Array, seq: number): void {
    this.#sqlite.run("UPDATE control SET pos = NULL WHERE space = ? AND seq > ?", [space, seq]);
  }

  /** The last record of the control log. */
  controlHead(space: Uint8Array): ControlRecord | null {
    return (
      this.#sqlite.get<ControlRecord>(
        "SELECT seq, bytes, pos, hash FROM control WHERE space = ? ORDER BY seq DESC LIMIT 1",
        [space],
      ) ?? null
    );
  }

  /** Keeps a device certificate, not pushed yet; one that is there stays as it is. */
  addCertificate(space: Uint8Array, dev: Uint8Array, cap: Uint8Array, bytes: Uint8Array): void {
    this.#sqlite.run(
      "INSERT INTO cert (space, dev, cap, pushed, bytes) VALUES (?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
      [space, dev, cap, bytes],
    );
  }

  certificates(space: Uint8Array): Certificate[] {
    return this.#sqlite
      .all<{ dev: Uint8Array; cap: Uint8Array; bytes: Uint8Array; pushed: number }>(
        "SELECT dev, cap, bytes, pushed FROM cert WHERE space = ?",
        [space],
      )
      .map((row) => ({ ...row, pushed: row.pushed === 1 }));
  }

  markCertificatePushed(space: Uint8Array, dev: Uint8Array, cap: Uint8Array): void {
    this.#sqlite.run("UPDATE cert SET pushed = 1 WHERE space = ? AND dev = ? AND cap = ?", [
      space,
      dev,
      cap,
    ]);
  }

  /** Takes every certificate for unsent again: the relay has lost the space. */
  unpushCertificates(space: Uint8Array): void {
    this.#sqlite.run("UPDATE cert SET pushed = 0 WHERE space = ?", [space]);
  }

  /** Takes a device's certificates for unsent again: the relay does not know the device. */
  unpushCertificatesOf(space: Uint8Array, dev: Uint8Array): void {
    this.#sqlite.run("UPDATE cert SET pushed = 0 WHERE space = ? AND dev = ?", [space, dev]);
  }

  /** Files an epoch key under its commitment, in place of what is there: only a damaged one can be another. */
  putKey(space: Uint8Array, keyCommit: Uint8Array, epoch: number, key: Uint8Array): void {
    this.#sqlite.run(
      "INSERT INTO epoch_key (space, key_commit, epoch, key) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch, key = excluded.key",
      [space, keyCommit, epoch, key],
    );
  }

  /** The epoch keys of a space, the oldest epoch first. */
  keys(space: Uint8Array): EpochKey[] {
    return this.#sqlite.all<EpochKey>(
      "SELECT key_commit AS keyCommit, epoch, key FROM epoch_key WHERE space = ? ORDER BY epoch",
      [space],
    );
  }
}
