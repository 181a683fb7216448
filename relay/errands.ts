/**
 * Answers that come in pages: PULL of a stretch or of a document, LIST, and the chunks of a blob
 * (docs/protocol.md, SUB-5, LIST, BLOB). An errand is asked for its next page when the connection has
 * room for one; what it reads from the store is what the store holds then.
 */
import { refusals } from "#relay/protocol/errors.ts";
import { encodeMessage, listedBytes, type Listed } from "#relay/protocol/messages.ts";
import { addressed, encodePages, noneOwn, pageBytes } from "#relay/pages.ts";
import type { ListedDocument, LogItem, Store } from "#relay/store/store.ts";

export interface ErrandPage {
  /** Count against the connection's window. */
  readonly frames: readonly Uint8Array[];
  /** After the last page: what ends the answer, null if the page does. */
  readonly isLast: boolean;
  readonly closing: Uint8Array | null;
}

export interface Errand {
  /** Asked for by a person who waits, or by the way. */
  readonly rank: "asked" | "background";
  next(): Promise<ErrandPage>;
}

/** Where an errand's answer goes, and what it reads. */
export interface ErrandPlace {
  readonly store: Store;
  readonly spaceId: Uint8Array;
  readonly handle: number;
  readonly reqId: number;
}

/** Documents read for one LISTED, which holds as many as fit in a page. */
const documentsPerPage = 512;

const noCard = new Uint8Array(0);

/** The bodies of (after, upTo], then CAUGHT_UP at the last position there is. */
export function pullErrand(place: ErrandPlace, after: number, upTo: number): Errand {
  const { store, spaceId } = place;
  let cursor = after;
  return {
    rank: "asked",
    async next() {
      if (cursor < upTo) {
        const items = await store.readLog(spaceId, cursor, upTo, pageBytes, "bodies");
        const last = items.at(-1);
        if (last !== undefined) {
          cursor = last.pos;
          return { frames: dataOf(place, items), isLast: false, closing: null };
        }
      }
      return caughtUp(place, upTo);
    },
  };
}

/** A document from its newest snapshot on, then CAUGHT_UP at the last position sent. */
export function documentErrand(
  place: ErrandPlace,
  docId: Uint8Array,
  after: number,
  byteBudget: number,
): Errand {
  let cursor = after;
  let left = byteBudget === 0 ? Number.MAX_SAFE_INTEGER : byteBudget;
  return {
    rank: "asked",
    async next() {
      if (left > 0) {
        const budget = Math.min(left, pageBytes);
        const items = await place.store.readDocument(place.spaceId, docId, cursor, budget);
        const last = items.at(-1);
        if (last !== undefined) {
          cursor = last.pos;
          const frames = dataOf(place, items);
          left -= frames.reduce((sum, frame) => sum + frame.length, 0);
          return { frames, isLast: false, closing: null };
        }
      }
      return caughtUp(place, cursor);
    },
  };
}

/** One page of the space's documents. */
export function listErrand(place: ErrandPlace, afterDocId: Uint8Array): Errand {
  const { store, spaceId, handle, reqId } = place;
  return {
    rank: "asked",
    async next() {
      const found = await store.listDocuments(spaceId, afterDocId, documentsPerPage);
      const documents = withinPage(found);
      const listed: Listed = {
        type: "listed",
        handle,
        more: documents.length < found.length || found.length === documentsPerPage,
        documents,
      };
      return { frames: [encodeMessage(reqId, listed)], isLast: true, closing: null };
    },
  };
}

/** The chunks at these indices, one message each. */
export function blobErrand(
  place: ErrandPlace,
  blobId: Uint8Array,
  from: number,
  end: number,
): Errand {
  const { store, spaceId, handle, reqId } = place;
  let index = from;
  return {
    rank: "background",
    async next() {
      const chunk = index < end ? await store.readChunk(spaceId, blobId, index) : null;
      if (chunk === null) return { frames: [], isLast: true, closing: noBlob(reqId) };
      const frame = encodeMessage(reqId, { type: "blobData", handle, index, chunk });
      index += 1;
      return { frames: [frame], isLast: index >= end, closing: null };
    },
  };
}

/** What a BLOB_GET is told of chunks that are not kept. */
export function noBlob(reqId: number): Uint8Array {
  const { code } = refusals.NO_BLOB;
  const detail = "no such chunks are kept";
  return encodeMessage(reqId, { type: "error", code, retryAfterMs: 0, detail });
}

function dataOf({ handle, reqId }: ErrandPlace, items: readonly LogItem[]): readonly Uint8Array[] {
  return encodePages(items, noneOwn).map((frame) => addressed(frame, reqId, handle));
}

function withinPage(found: readonly ListedDocument[]): Listed["documents"] {
  let bytes = 0;
  return found
    .map((document) => ({ ...document, card: document.card ?? noCard }))
    .filter(({ card }) => {
      bytes += listedBytes + card.length;
      return bytes <= pageBytes;
    });
}

async function caughtUp(place: ErrandPlace, pos: number): Promise<ErrandPage> {
  const { store, spaceId, handle, reqId } = place;
  const chain = await store.chainAt(spaceId, pos);
  const closing = encodeMessage(reqId, {
    type: "caughtUp",
    handle,
    head: chain === null ? 0 : pos,
    chain: chain ?? new Uint8Array(32),
  });
  return { frames: [], isLast: true, closing };
}
