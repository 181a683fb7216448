/** Pieces of a log as DATA messages (docs/protocol.md, LOG-3 and SUB-6). */
import { encodeStub, stubBytes } from "#relay/protocol/entry.ts";
import { encodeMessage, messageHeaderBytes, type Data } from "#relay/protocol/messages.ts";
import { stubItemBytes, type LogItem, type LogRow } from "#relay/store/store.ts";

/** Bytes of items in one DATA, unless a single item is larger. */
export const pageBytes = 256 << 10;
const maxItemsPerPage = 4096;
const itemHeaderBytes = stubItemBytes - stubBytes;

export const noneOwn: ReadonlySet<number> = new Set();

/**
 * Rows of the log as DATA frames that are addressed to nobody yet.
 * @param own positions of which the reader needs the stub alone
 */
export function encodePages(
  rows: readonly (LogRow | LogItem)[],
  own: ReadonlySet<number>,
): readonly Uint8Array[] {
  const frames: Uint8Array[] = [];
  let items: Data["items"][number][] = [];
  let bytes = 0;
  const flush = () => {
    if (items.length > 0) frames.push(encodeMessage(0, { type: "data", handle: 0, items }));
    items = [];
    bytes = 0;
  };
  for (const row of rows) {
    const item = itemOf(row, own.has(row.pos));
    const size = item.bytes.length + itemHeaderBytes;
    if (bytes + size > pageBytes || items.length >= maxItemsPerPage) flush();
    items.push(item);
    bytes += size;
  }
  flush();
  return frames;
}

function itemOf(row: LogRow | LogItem, isOwn: boolean): Data["items"][number] {
  const body = "body" in row ? row.body : row.bytes;
  if (row.kind === "control" && body !== null)
    return { pos: row.pos, kind: "control", bytes: body };
  if (body !== null && !isOwn) return { pos: row.pos, kind: "entry", bytes: body };
  const size = "size" in row ? row.size : row.bytes.length;
  const stub = encodeStub({
    docId: row.docId,
    kind: row.entryKind,
    size,
    entryId: row.itemId,
  });
  return { pos: row.pos, kind: "stub", bytes: stub };
}

/** A copy that answers a request, or nobody's (0), and names a subscription: the first field of a body. */
export function addressed(frame: Uint8Array, reqId: number, handle: number): Uint8Array {
  const copy = Uint8Array.from(frame);
  const view = new DataView(copy.buffer);
  view.setUint32(1, reqId);
  view.setUint32(messageHeaderBytes, handle);
  return copy;
}
