/**
 * Relays that lie to one device: honest behind, so that everybody else is served, and in between a script that decides what
 * this device is told. Frames are changed on the wire; where a lie has to hold together, positions and chains are
 * made to fit it, as a relay would that kept such a log.
 */
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { chainNext, chainStart, chainTag } from "#relay/protocol/domain.ts";
import { parseEntry, parseStub } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import { encodeMessage, parseMessage, type Data, type Message } from "#relay/protocol/messages.ts";
import type { Meddler } from "./sim-network.ts";

export type Item = Data["items"][number];

/** Changes messages one by one; null passes a message over, a list replaces it. */
export interface Script {
  readonly toRelay?: (
    message: Message,
    answer: (message: Message) => void,
  ) => readonly Message[] | null;
  readonly toDevice?: (message: Message) => readonly Message[] | null;
}

export function scripted(script: Script): Meddler {
  return {
    toRelay: (frame, answer) => {
      const { reqId, message } = parsed(frame);
      const changed = script.toRelay?.(message, (told) => answer(encodeMessage(reqId, told)));
      return changed === undefined || changed === null
        ? [frame]
        : changed.map((told) => encodeMessage(reqId, told));
    },
    toDevice: (frame) => {
      const { reqId, message } = parsed(frame);
      const changed = script.toDevice?.(message);
      return changed === undefined || changed === null
        ? [frame]
        : changed.map((told) => encodeMessage(reqId, told));
    },
  };
}

/** A view of one space's log: which of its positions it shows, and the chain over those. */
class View {
  /** Honest positions, in order; the view's own are 1, 2, 3 … */
  readonly shown: number[] = [];
  readonly chains: Uint8Array[];
  /** Honest chain by honest position, as far as it was heard. */
  readonly honest = new Map<number, Uint8Array>();
  heard = 0;

  readonly spaceId: Uint8Array;

  constructor(spaceId: Uint8Array) {
    this.spaceId = spaceId;
    this.chains = [chainStart(spaceId)];
    this.honest.set(0, chainStart(spaceId));
  }

  get head(): number {
    return this.shown.length;
  }

  chainAt(pos: number): Uint8Array {
    return this.chains[pos] ?? new Uint8Array(32);
  }
}

/**
 * A relay that keeps, for one device, logs of its own: it leaves out what `keeps` says, and everything else looks as if that
 * had never been there. Two devices with such relays that leave out different things are served by a fork.
 */
export class SelectiveRelay implements Meddler {
  keeps: (item: Item, spaceId: Uint8Array) => boolean;
  /** Lets no beat and no caret through, in either direction. */
  isSilent = false;
  readonly #views = new Map<string, View>();
  readonly #viewByHandle = new Map<number, View>();
  /** Spaces of a SUB that waits for its answer, by request. */
  readonly #asked = new Map<number, readonly Uint8Array[]>();
  readonly #spaceOfPush = new Map<number, Uint8Array>();

  constructor(keeps: (item: Item, spaceId: Uint8Array) => boolean = () => true) {
    this.keeps = keeps;
  }

  toRelay(frame: Uint8Array): readonly Uint8Array[] {
    const { reqId, message } = parsed(frame);
    if (message.type === "presence" && this.isSilent) return [];
    if (message.type === "push") {
      const [first] = message.entries;
      const entry = first === undefined ? null : parseEntry(first, maxMessageBytes);
      if (entry?.ok === true) this.#spaceOfPush.set(reqId, entry.value.spaceId);
      return [frame];
    }
    if (message.type !== "subscribe") return [frame];
    this.#asked.set(
      reqId,
      message.spaces.map(({ spaceId }) => spaceId),
    );
    const spaces = message.spaces.map((wanted) => {
      const view = this.#viewOf(wanted.spaceId);
      // What the device has read here is what this view has shown it; the rest is between this and the honest log.
      const fits =
        wanted.cursor <= view.head && equal(wanted.chainTag, chainTag(view.chainAt(wanted.cursor)));
      if (!fits) return { ...wanted, cursor: Number.MAX_SAFE_INTEGER };
      const cursor =
        wanted.cursor === view.head ? view.heard : (view.shown[wanted.cursor - 1] ?? 0);
      view.shown.length = wanted.cursor;
      view.chains.length = wanted.cursor + 1;
      view.heard = cursor;
      return { ...wanted, cursor, chainTag: chainTag(view.honest.get(cursor) ?? noChain) };
    });
    return [encodeMessage(reqId, { ...message, spaces })];
  }

  toDevice(frame: Uint8Array): readonly Uint8Array[] {
    const { reqId, message } = parsed(frame);
    switch (message.type) {
      case "subscribed": {
        const asked = this.#asked.get(reqId) ?? [];
        this.#asked.delete(reqId);
        const results = message.results.map((result, ix) => {
          const spaceId = asked[ix];
          if (spaceId === undefined) return result;
          const view = this.#viewOf(spaceId);
          if (result.status === 0) this.#viewByHandle.set(result.handle, view);
          const isKnown = result.status === 0 || result.status === refusals.CURSOR_AHEAD.code;
          // How far it will show is known when it has been read: what it has shown is the least.
          return isKnown ? { ...result, head: view.head, chain: view.chainAt(view.head) } : result;
        });
        return [encodeMessage(reqId, { ...message, results })];
      }
      case "data": {
        const view = this.#viewByHandle.get(message.handle);
        if (view === undefined) return [frame];
        const items = message.items.flatMap((item) => this.#show(view, item));
        return items.length === 0 ? [] : [encodeMessage(reqId, { ...message, items })];
      }
      case "caughtUp": {
        const view = this.#viewByHandle.get(message.handle);
        if (view === undefined) return [frame];
        const told = { ...message, head: view.head, chain: view.chainAt(view.head) };
        return [encodeMessage(reqId, told)];
      }
      case "pushAck": {
        const space = this.#spaceOfPush.get(reqId);
        const view = space === undefined ? undefined : this.#views.get(toHex(space));
        if (view === undefined) return [frame];
        const hidden = view.heard - view.head;
        const results = message.results.map((result) =>
          result.status === 0 ? { ...result, pos: result.pos - hidden } : result,
        );
        return [encodeMessage(reqId, { ...message, results })];
      }
      case "presence":
        return this.isSilent ? [] : [frame];
      default:
        return [frame];
    }
  }

  #viewOf(spaceId: Uint8Array): View {
    const view = this.#views.get(toHex(spaceId)) ?? new View(spaceId);
    this.#views.set(toHex(spaceId), view);
    return view;
  }

  #show(view: View, item: Item): readonly Item[] {
    const { docId, entryId } = idsOf(item);
    if (item.pos > view.heard) {
      const before = view.honest.get(item.pos - 1) ?? noChain;
      view.honest.set(item.pos, chainNext(item.pos, before, docId, entryId));
      view.heard = item.pos;
    }
    if (!this.keeps(item, view.spaceId)) return [];
    view.shown.push(item.pos);
    const pos = view.head;
    view.chains.push(chainNext(pos, view.chainAt(pos - 1), docId, entryId));
    return [{ ...item, pos }];
  }
}

const noChain = new Uint8Array(32);

export function idsOf(item: Item): { readonly docId: Uint8Array; readonly entryId: Uint8Array } {
  if (item.kind === "control") {
    const record = parseControl(item.bytes);
    if (!record.ok) throw new Error(record.error);
    return { docId: noDocument, entryId: record.value.hash };
  }
  const named =
    item.kind === "stub" ? parseStub(item.bytes) : parseEntry(item.bytes, maxMessageBytes);
  if (!named.ok) throw new Error(named.error);
  return named.value;
}

/** The device key that an item was written with; null for what names none. */
export function writerOf(item: Item): Uint8Array | null {
  if (item.kind !== "entry") return null;
  const entry = parseEntry(item.bytes, maxMessageBytes);
  return entry.ok ? entry.value.devPub : null;
}

function parsed(frame: Uint8Array): { readonly reqId: number; readonly message: Message } {
  const read = parseMessage(frame);
  if (!read.ok) throw new Error(read.error);
  return read.value;
}
