/**
 * A device that writes without pause and knows what was acknowledged. What was not it sends again byte
 * for byte, on a new connection if it must: the same edit is never in two entries, unless it is told
 * to be careless.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { RawClient } from "#tests/support/relay.ts";
import { bytesNamed, TestDevice, type TestSpace } from "#tests/support/space-identities.ts";
import type { Addresses } from "./outage.ts";

/**
 * Negative controls. `trusting`: takes what it sent for stored. `hasty`: seals anew what was not
 * acknowledged, as if that proved that it was not stored.
 */
export type Care = "careful" | "trusting" | "hasty";

/** An edit is named by the document it is the only entry of. */
interface Edit {
  readonly docId: Uint8Array;
  ctr: number;
  bytes: Uint8Array;
}

const inFlight = 4;

export class Writer {
  /** Positions by edit, in hexadecimal. */
  readonly acknowledged = new Map<string, number>();
  /** When the last acknowledgement came, by `performance.now()`. */
  lastAcknowledged = 0;
  readonly #device: TestDevice;
  readonly #care: Care;
  readonly #addresses: Addresses;
  #edits = 0;
  #unacknowledged: Edit[] = [];
  #isStopping = false;
  #running: Promise<void> | null = null;
  readonly #onAcknowledged: () => void;

  constructor(options: {
    readonly space: TestSpace;
    readonly name: string;
    readonly addresses: Addresses;
    readonly care: Care;
    readonly onAcknowledged: () => void;
  }) {
    this.#device = new TestDevice(options.space, options.name);
    this.#addresses = options.addresses;
    this.#care = options.care;
    this.#onAcknowledged = options.onAcknowledged;
  }

  get certificate(): Uint8Array {
    return this.#device.certificate;
  }

  /** The address it is connected to, or tries next. */
  get url(): string {
    return this.#addresses.url;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** After everything it has begun is acknowledged. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping || this.#unacknowledged.length > 0) {
      try {
        const client = await RawClient.connect(this.url);
        await this.#write(client).finally(() => {
          client.socket.terminate();
        });
        await this.#addresses.refused();
      } catch {
        await this.#addresses.failed();
      }
    }
  }

  /** Until the connection ends or the relay asks to be left alone for a moment. */
  async #write(client: RawClient): Promise<void> {
    if (this.#unacknowledged.length > 0) {
      if (this.#care === "hasty") for (const edit of this.#unacknowledged) this.#seal(edit);
      if (!(await this.#push(client, [...this.#unacknowledged]))) return;
    }
    const lanes = Array.from({ length: inFlight }, async () => {
      while (!this.#isStopping && (await this.#push(client, [this.#newEdit()])));
    });
    await Promise.all(lanes);
  }

  #newEdit(): Edit {
    this.#edits += 1;
    const name = `edit ${this.#edits} of ${toHex(this.#device.signer.pub)}`;
    const edit: Edit = { docId: bytesNamed(name, 16), ctr: 0, bytes: new Uint8Array(0) };
    this.#seal(edit);
    this.#unacknowledged.push(edit);
    return edit;
  }

  #seal(edit: Edit): void {
    this.#device.ctr += 1;
    edit.ctr = this.#device.ctr;
    edit.bytes = this.#device.entryAt(edit.ctr, { docId: edit.docId });
  }

  /** False if some of it has to be sent again. */
  async #push(client: RawClient, edits: readonly Edit[]): Promise<boolean> {
    const pushing = client.push(...edits.map(({ bytes }) => bytes));
    if (this.#care === "trusting") for (const edit of edits) this.#take(edit, 0);
    const results = await pushing;
    for (const [ix, { status, pos }] of results.entries()) {
      const edit = edits[ix];
      if (edit === undefined) throw new Error("one answer for each entry");
      if (status === 0) this.#take(edit, pos);
      // An answer that says that it is not stored, and under this counter never will be.
      else if (status === refusals.CTR_REPLAY.code) this.#seal(edit);
      else if (status < 500) throw new Error(`an entry was refused with ${status}`);
    }
    return results.every(({ status }) => status === 0);
  }

  #take(edit: Edit, pos: number): void {
    this.#unacknowledged = this.#unacknowledged.filter((other) => other !== edit);
    this.acknowledged.set(toHex(edit.docId), pos);
    this.lastAcknowledged = performance.now();
    this.#addresses.worked();
    this.#onAcknowledged();
  }
}
