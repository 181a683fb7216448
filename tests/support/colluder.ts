/** A relay that helps somebody against the others: what it puts into one device's mouth, and what it tells that device. */
import { equal } from "#relay/protocol/bytes.ts";
import { encodeMessage, parseMessage, type Message } from "#relay/protocol/messages.ts";
import type { Meddler } from "./sim-network.ts";

/** Sits between one device and the relay. */
export class Colluder implements Meddler {
  /** Keeps every new control record, and that there are any, from the device. */
  isWithholding = false;
  /** Entries the device has pushed. */
  readonly pushed: Uint8Array[] = [];
  /** What the relay answered to entries that were put into the device's mouth. */
  readonly statuses: number[] = [];
  readonly #spaceId: Uint8Array;
  readonly #asked = new Map<number, readonly Uint8Array[]>();
  #handle = 0;
  #toDevice: Message[] = [];
  #toRelay: Uint8Array[] = [];

  constructor(spaceId: Uint8Array) {
    this.#spaceId = spaceId;
  }

  /** Tells the device, when it next says something, that this entry stands there in the log. */
  slipIn(pos: number, bytes: Uint8Array): void {
    const items = [{ kind: "entry" as const, pos, bytes }];
    this.#toDevice.push({ type: "data", handle: this.#handle, items });
  }

  /** Pushes this entry as if the device had. */
  push(bytes: Uint8Array): void {
    this.#toRelay.push(bytes);
  }

  toRelay(frame: Uint8Array, answer: (frame: Uint8Array) => void): readonly Uint8Array[] {
    const { reqId, message } = parsed(frame);
    if (message.type === "subscribe") {
      this.#asked.set(
        reqId,
        message.spaces.map(({ spaceId }) => spaceId),
      );
    }
    if (message.type === "push") this.pushed.push(...message.entries);
    for (const told of this.#toDevice.splice(0)) answer(encodeMessage(0, told));
    const entries = this.#toRelay.splice(0);
    return entries.length === 0
      ? [frame]
      : [frame, encodeMessage(forgedRequest, { type: "push", entries })];
  }

  toDevice(frame: Uint8Array): readonly Uint8Array[] {
    const { reqId, message } = parsed(frame);
    switch (message.type) {
      case "pushAck":
        if (reqId !== forgedRequest) return [frame];
        this.statuses.push(...message.results.map(({ status }) => status));
        return [];
      case "subscribed": {
        const at = (this.#asked.get(reqId) ?? []).findIndex((id) => equal(id, this.#spaceId));
        this.#handle = message.results[at]?.handle ?? this.#handle;
        return [frame];
      }
      case "rekey":
        return this.isWithholding ? [] : [frame];
      case "controlData":
        return this.isWithholding ? [encodeMessage(reqId, { ...message, records: [] })] : [frame];
      default:
        return [frame];
    }
  }
}

const forgedRequest = 0xf0f0f0f0;

function parsed(frame: Uint8Array): { readonly reqId: number; readonly message: Message } {
  const read = parseMessage(frame);
  if (!read.ok) throw new Error(read.error);
  return read.value;
}
