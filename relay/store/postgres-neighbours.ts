/**
 * What nodes on one database tell each other, by NOTIFY on a connection of its own: hints of what was
 * written, once per batch (postgres-append.ts), and presence, gathered for some milliseconds. Both may
 * be lost; for hints the tables are the truth.
 */
import { Buffer } from "node:buffer";
import type { Client, ClientConfig } from "pg";
import { hintChannel } from "#relay/store/postgres-append.ts";
import { bytesArray } from "#relay/store/postgres-arrays.ts";
import { connect, type PostgresSession } from "#relay/store/postgres-session.ts";
import type { NeighbourListener, NeighbourPresence, Neighbours } from "#relay/store/store.ts";

/** `node( epoch:spaceId in base64:sealed in base64)+` */
const presenceChannel = "sealeaf_presence";
const gatherMs = 8;
/** PostgreSQL takes less than 8,000. */
const maxNotificationBytes = 7_900;
/** Presence that waits beyond this is dropped: newer will come. */
const maxWaitingBytes = 128 << 10;
/** "sealeaf" in ASCII, and one: the lock of migrations is without. */
const aloneLock = 0x7365616c65616601n;
const firstRetryMs = 100;
const lastRetryMs = 3_000;

export interface NeighbourPorts {
  readonly session: PostgresSession;
  readonly connection: ClientConfig;
  readonly node: string;
  readonly after: (ms: number, run: () => void) => () => void;
}

export class PostgresNeighbours implements Neighbours {
  readonly #ports: NeighbourPorts;
  #listener: NeighbourListener | null = null;
  #client: Client | null = null;
  #connecting: Promise<void> = Promise.resolve();
  #cancelRetry: () => void = () => undefined;
  #retryMs = firstRetryMs;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #isSending = false;
  #isClosed = false;

  constructor(ports: NeighbourPorts) {
    this.#ports = ports;
  }

  async revisionsOf(spaceIds: readonly Uint8Array[]): Promise<readonly number[]> {
    const rows = await this.#ports.session.rows<{ revision: string | null }>(
      `SELECT revision FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (space_id, ix)
       LEFT JOIN sealeaf.space USING (space_id) ORDER BY asked.ix`,
      bytesArray(spaceIds),
    );
    return rows.map(({ revision }) => Number(revision ?? 0));
  }

  listen(listener: NeighbourListener): void {
    this.#listener = listener;
    this.#connecting = this.#connect();
  }

  tell({ spaceId, epoch, sealed }: NeighbourPresence): void {
    const note = `${epoch}:${base64(spaceId)}:${base64(sealed)}`;
    if (this.#isClosed || this.#waitingBytes + note.length > maxWaitingBytes) return;
    this.#waiting.push(note);
    this.#waitingBytes += note.length;
    if (!this.#isSending) this.#sendSoon();
  }

  async alone(work: () => Promise<void>): Promise<void> {
    const client = await connect(this.#ports.connection);
    try {
      const { rows } = await client.query<{ is_ours: boolean }>(
        `SELECT pg_try_advisory_lock(${aloneLock}) AS is_ours`,
      );
      if (rows[0]?.is_ours === true) await work();
    } finally {
      // The lock ends with the connection.
      await client.end().catch(() => undefined);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry();
    await this.#connecting;
    await this.#client?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    try {
      const client = await connect(this.#ports.connection);
      this.#client = client;
      client.on("notification", ({ channel, payload = "" }) => {
        this.#hear(channel, payload);
      });
      client.on("end", () => {
        this.#retry();
      });
      await client.query(`LISTEN ${hintChannel}; LISTEN ${presenceChannel}`);
      this.#retryMs = firstRetryMs;
      this.#listener?.onGap();
    } catch {
      // A connection that was made tells of its end.
      if (this.#client === null) this.#retry();
      else await this.#client.end().catch(() => undefined);
    }
  }

  #retry(): void {
    this.#client = null;
    if (this.#isClosed) return;
    this.#cancelRetry = this.#ports.after(this.#retryMs, () => {
      this.#connecting = this.#connect();
    });
    this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
  }

  #hear(channel: string, payload: string): void {
    const [from, ...notes] = payload.split(" ");
    // What this node wrote it knows already, maybe sooner than its own notification.
    if (from === this.#ports.node) return;
    for (const note of notes) {
      const fields = note.split(":");
      if (channel === hintChannel) this.#hearHint(fields);
      else this.#hearPresence(fields);
    }
  }

  #hearHint([spaceId = "", revision = ""]: readonly string[]): void {
    this.#listener?.onHint(fromBase64(spaceId), Number(revision));
  }

  #hearPresence([epoch = "", spaceId = "", sealed = ""]: readonly string[]): void {
    this.#listener?.onPresence({
      spaceId: fromBase64(spaceId),
      epoch: Number(epoch),
      sealed: fromBase64(sealed),
    });
  }

  #sendSoon(): void {
    this.#isSending = true;
    this.#ports.after(gatherMs, () => {
      void this.#send();
    });
  }

  async #send(): Promise<void> {
    const notifications = gather(this.#ports.node, this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.#ports.session
      .rows(
        "SELECT pg_notify($1, payload) FROM jsonb_array_elements_text($2::jsonb) AS note (payload)",
        presenceChannel,
        JSON.stringify(notifications),
      )
      // Presence is the first thing to be lost.
      .catch(() => undefined);
    this.#isSending = false;
    if (this.#waiting.length > 0 && !this.#isClosed) this.#sendSoon();
  }
}

/** Notes in as few notifications as they fit in. */
function gather(node: string, notes: readonly string[]): readonly string[] {
  const notifications: string[] = [];
  let current = node;
  for (const note of notes) {
    if (current !== node && current.length + 1 + note.length > maxNotificationBytes) {
      notifications.push(current);
      current = node;
    }
    current += ` ${note}`;
  }
  return current === node ? notifications : [...notifications, current];
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, "base64"));
}
