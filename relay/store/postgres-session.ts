/**
 * Connections to PostgreSQL: what every session needs, and statements that heal. A read that lost its
 * connection is asked once more on a new one; whether a write was stored nobody knows then, so its
 * sender asks again.
 */
import { Client, Pool, type ClientConfig } from "pg";
import { isConnectionLoss, storeErrorOf } from "#relay/store/postgres-failure.ts";
import { StoreError } from "#relay/store/store.ts";

export type Value = string | number | null | Uint8Array | readonly Uint8Array[];

const connectTimeoutMs = 5_000;
/** A statement of ours takes milliseconds: what takes longer waits for a lock or a lost network. */
const statementTimeoutMs = 15_000;
const readers = 8;

export class PostgresSession {
  readonly #readers: Pool;
  /** One connection: one batch at a time, and never behind a queue of reads. */
  readonly #writer: Pool;
  readonly #names = new Map<string, string>();
  #isClosed = false;

  constructor(connection: ClientConfig) {
    this.#readers = poolOf(connection, readers);
    this.#writer = poolOf(connection, 1);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Rows of a statement that may be repeated. Rejects with a {@link StoreError}. */
  async rows<Row extends object>(text: string, ...values: readonly Value[]): Promise<Row[]> {
    if (this.#isClosed) throw closedError();
    const query = { name: this.#nameOf(text), text, values: values.map(parameter) };
    try {
      return (await this.#readers.query<Row>(query)).rows;
    } catch (error) {
      if (!isConnectionLoss(error)) throw storeErrorOf(error);
    }
    try {
      return (await this.#readers.query<Row>(query)).rows;
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  /** Rows of a statement that is never repeated by itself, after all that were written before. */
  async write<Row extends object>(text: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      const query = { name: this.#nameOf(text), text, values: [...values] };
      return (await this.#writer.query<Row>(query)).rows;
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  /** Takes no more statements. */
  shut(): void {
    if (this.#isClosed) throw closedError();
    this.#isClosed = true;
  }

  async end(): Promise<void> {
    await Promise.all([this.#readers.end(), this.#writer.end()]);
  }

  /** Named, a statement is parsed once per connection. */
  #nameOf(text: string): string {
    const known = this.#names.get(text) ?? `sealeaf_${this.#names.size}`;
    this.#names.set(text, known);
    return known;
  }
}

export function closedError(): StoreError {
  return new StoreError("closed", "the store is closed");
}

/**
 * What a connection to this address is opened with, whatever the server's or the database's defaults are.
 * @param more settings of the session beyond those every session needs
 */
export function connectionTo(
  address: string,
  more: Readonly<Record<string, string>> = {},
): ClientConfig {
  const settings = { default_transaction_isolation: "read\\ committed", jit: "off", ...more };
  return {
    connectionString: address,
    application_name: "sealeaf-relay",
    options: Object.entries(settings)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(" "),
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    // On this side's clock: a server that has gone without a word times nothing out.
    query_timeout: statementTimeoutMs + connectTimeoutMs,
    keepAlive: true,
  };
}

/** A connection of its own. It says nothing of its end but to who waits for an answer. */
export async function connect(connection: ClientConfig): Promise<Client> {
  const client = new Client(connection);
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

function poolOf(connection: ClientConfig, max: number): Pool {
  const pool = new Pool({ ...connection, max });
  // An idle connection that breaks is replaced by the next call.
  pool.on("error", () => undefined);
  return pool;
}

function parameter(value: Value): string | number | null | Buffer | Buffer[] {
  if (typeof value === "string" || typeof value === "number" || value === null) return value;
  if (value instanceof Uint8Array) return bufferOf(value);
  return value.map(bufferOf);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
