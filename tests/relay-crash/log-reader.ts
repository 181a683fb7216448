/** A subscriber that checks what it gets as a client does: no holes, and a chain that goes on across connections. */
import { toHex } from "#relay/protocol/bytes.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import type { Data } from "#relay/protocol/messages.ts";
import { RawClient } from "#tests/support/relay.ts";
import type { TestSpace } from "#tests/support/space-identities.ts";
import type { Addresses } from "./outage.ts";

export class LogReader {
  /** Edits by position, in hexadecimal, from 1; empty for a control record. */
  readonly edits: string[] = [""];
  readonly troubles: string[] = [];
  readonly #space: TestSpace;
  readonly #addresses: Addresses;
  #chain: Uint8Array;
  #client: RawClient | null = null;
  #isStopping = false;
  #running: Promise<void> | null = null;

  constructor(space: TestSpace, addresses: Addresses) {
    this.#space = space;
    this.#addresses = addresses;
    this.#chain = chainStart(space.spaceId);
  }

  /** Last position it has read. */
  get cursor(): number {
    return this.edits.length - 1;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#client?.socket.terminate();
    await this.#running;
  }

  /** Everything up to the head, on a connection of its own. */
  async readToHead(): Promise<void> {
    const client = await RawClient.connect(this.#addresses.url);
    const { head, status } = await this.#subscribe(client);
    if (status !== 0) throw new Error(`the log cannot be read: ${status}`);
    while (this.cursor < head) await this.#readPage(client);
    await client.close();
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      try {
        this.#client = await RawClient.connect(this.#addresses.url);
        const { status } = await this.#subscribe(this.#client);
        // The relay says that what it gave out is not there, or is something else.
        if (status !== 0) this.troubles.push(`a cursor at ${this.cursor} was refused (${status})`);
        if (status === 0) this.#addresses.worked();
        while (status === 0) await this.#readPage(this.#client);
        this.#client.socket.terminate();
        await this.#addresses.refused();
      } catch {
        this.#client?.socket.terminate();
        await this.#addresses.failed();
      }
    }
  }

  #subscribe(client: RawClient) {
    return client.subscribe(this.#space, { cursor: this.cursor, chain: this.#chain });
  }

  async #readPage(client: RawClient): Promise<void> {
    this.#take((await client.next("data")).items);
    client.send({ type: "credit", bytes: 1 << 20 });
  }

  #take(items: Data["items"]): void {
    for (const { pos, kind, bytes } of items) {
      if (pos !== this.cursor + 1) this.troubles.push(`position ${pos} came after ${this.cursor}`);
      const { docId, id } = identityOf(kind, bytes);
      this.#chain = chainNext(pos, this.#chain, docId, id);
      this.edits[pos] = kind === "control" ? "" : toHex(docId);
    }
  }
}

function identityOf(
  kind: Data["items"][number]["kind"],
  bytes: Uint8Array,
): { readonly docId: Uint8Array; readonly id: Uint8Array } {
  if (kind === "control") {
    const parsed = parseControl(bytes);
    if (!parsed.ok) throw new Error(parsed.error);
    return { docId: noDocument, id: parsed.value.hash };
  }
  const parsed = parseEntry(bytes, bytes.length);
  if (!parsed.ok) throw new Error(parsed.error);
  return { docId: parsed.value.docId, id: parsed.value.entryId };
}
