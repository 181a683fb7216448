/** Rows of the tables in PostgreSQL as the store's port gives them. The driver gives `int8` as text. */
import type {
  BlobRow,
  DocumentRow,
  KeptBody,
  ListedDocument,
  LogItem,
  SnapshotRow,
  StoredBlob,
  StoredDocument,
  StoredSpace,
} from "#relay/store/store.ts";

/** The same memory without the driver's class, which compares unequal to others. */
export function bytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** A part of a space: `a` to `d` numbers, `x` to `z` bytes, by the kind of part. */
export interface SpacePart {
  readonly part: "space" | "control" | "certificate" | "counter";
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly d: string;
  readonly e: string | null;
  readonly x: Buffer;
  readonly y: Buffer | null;
  readonly z: Buffer | null;
}

/** Of the space that is `$1`, all of one moment. Revision 0 is one that is about to be written first. */
export const spaceParts = `
  WITH found AS (SELECT * FROM sealeaf.space WHERE space_id = $1 AND revision > 0)
  SELECT 'space' AS part, revision AS a, head AS b, counted_bytes AS c, base AS d, deleted_at AS e,
    genesis AS x, chain AS y, NULL::bytea AS z
  FROM found
  UNION ALL (
    SELECT 'control', pos, 0, 0, 0, NULL, body, NULL, NULL FROM sealeaf.log
    WHERE space = (SELECT id FROM found) AND is_control ORDER BY pos
  )
  UNION ALL
  SELECT 'certificate', at, 0, 0, 0, NULL, dev_pub, cap_pub, bytes FROM sealeaf.certificate
  WHERE space = (SELECT id FROM found)
  UNION ALL
  SELECT 'counter', ctr, counted_bytes, at, 0, NULL, dev_pub, NULL, NULL FROM sealeaf.counter
  WHERE space = (SELECT id FROM found)`;

export function spaceFrom(parts: readonly SpacePart[]): StoredSpace | null {
  const space = parts.find(({ part }) => part === "space");
  if (space === undefined || space.y === null) return null;
  return {
    genesis: bytes(space.x),
    revision: Number(space.a),
    head: Number(space.b),
    chain: bytes(space.y),
    base: Number(space.d),
    countedBytes: Number(space.c),
    deletedAt: space.e === null ? null : Number(space.e),
    controls: parts.flatMap(({ part, a, x }) =>
      part === "control" ? [{ pos: Number(a), bytes: bytes(x) }] : [],
    ),
    certificates: parts.flatMap(({ part, a, x, y, z }) =>
      part === "certificate" && y !== null && z !== null
        ? [{ devPub: bytes(x), capPub: bytes(y), bytes: bytes(z), at: Number(a) }]
        : [],
    ),
    counters: parts.flatMap(({ part, a, b, c, x }) =>
      part === "counter"
        ? [{ devPub: bytes(x), ctr: Number(a), countedBytes: Number(b), at: Number(c) }]
        : [],
    ),
  };
}

export interface ItemColumns {
  readonly pos: string;
  readonly is_control: boolean;
  readonly doc_id: Buffer;
  readonly entry_kind: number;
  readonly size: number;
  readonly item_id: Buffer;
  readonly body: Buffer | null;
}

export const itemColumns = "pos, is_control, doc_id, entry_kind, size, item_id";

export function itemFrom(row: ItemColumns): LogItem {
  return {
    pos: Number(row.pos),
    kind: row.is_control ? "control" : "entry",
    docId: bytes(row.doc_id),
    entryKind: row.entry_kind,
    size: row.size,
    itemId: bytes(row.item_id),
    // An empty one was forgotten.
    body: row.body === null || row.body.length === 0 ? null : bytes(row.body),
  };
}

export type BodyColumns = Omit<ItemColumns, "body" | "is_control"> & { readonly dev_pub: Buffer };

export function bodyFrom(row: BodyColumns): KeptBody {
  return {
    pos: Number(row.pos),
    docId: bytes(row.doc_id),
    entryKind: row.entry_kind,
    itemId: bytes(row.item_id),
    size: row.size,
    devPub: bytes(row.dev_pub),
  };
}

export interface DocumentColumns {
  readonly doc_id: Buffer;
  readonly last_pos: string;
  readonly last_at: string;
  readonly drop_pos: string;
  readonly snapshot_pos: string;
  readonly swept_pos: string;
  readonly counted_bytes: string;
}

export function documentFrom(row: DocumentColumns): DocumentRow {
  return {
    docId: bytes(row.doc_id),
    lastPos: Number(row.last_pos),
    lastAt: Number(row.last_at),
    dropPos: Number(row.drop_pos),
    snapshotPos: Number(row.snapshot_pos),
    sweptPos: Number(row.swept_pos),
    countedBytes: Number(row.counted_bytes),
  };
}

export interface StoredDocumentColumns extends DocumentColumns {
  readonly derived_pos: string | null;
  readonly card_size: number | null;
}

export function storedDocumentFrom(row: StoredDocumentColumns): StoredDocument {
  const { derived_pos: derivedPos, card_size: size } = row;
  const card =
    derivedPos === null || size === null ? null : { derivedPos: Number(derivedPos), size };
  return { ...documentFrom(row), card };
}

export interface ListedColumns {
  readonly doc_id: Buffer;
  readonly last_pos: string;
  readonly drop_pos: string;
  readonly snapshot_pos: string;
  readonly snapshot_size: string;
  readonly tail_entries: string;
  readonly tail_bytes: string;
  readonly card: Buffer | null;
}

export function listedFrom(row: ListedColumns): ListedDocument {
  return {
    docId: bytes(row.doc_id),
    lastPos: Number(row.last_pos),
    dropPos: Number(row.drop_pos),
    snapshotPos: Number(row.snapshot_pos),
    snapshotSize: Number(row.snapshot_size),
    tailEntries: Number(row.tail_entries),
    tailBytes: Number(row.tail_bytes),
    card: row.card === null ? null : bytes(row.card),
  };
}

export interface SnapshotColumns {
  readonly doc_id: Buffer;
  readonly pos: string;
  readonly covers_pos: string;
  readonly omitted: readonly Buffer[];
  readonly chunks: readonly Buffer[];
  readonly at: string;
}

export function snapshotFrom(row: SnapshotColumns): SnapshotRow {
  return {
    docId: bytes(row.doc_id),
    pos: Number(row.pos),
    coversPos: Number(row.covers_pos),
    omitted: row.omitted.map(bytes),
    chunks: row.chunks.map(bytes),
    at: Number(row.at),
  };
}

export interface BlobColumns {
  readonly blob_id: Buffer;
  readonly doc_id: Buffer;
  readonly dev_pub: Buffer;
  readonly size: string;
  readonly chunks: readonly Buffer[];
  readonly pos: string;
  readonly at: string;
  readonly dropped_at: string | null;
}

export function blobFrom(row: BlobColumns): BlobRow {
  return {
    blobId: bytes(row.blob_id),
    docId: bytes(row.doc_id),
    devPub: bytes(row.dev_pub),
    size: Number(row.size),
    chunks: row.chunks.map(bytes),
    pos: Number(row.pos),
    at: Number(row.at),
    droppedAt: row.dropped_at === null ? null : Number(row.dropped_at),
  };
}

export interface StoredBlobColumns extends BlobColumns {
  readonly kept: readonly number[];
}

export function storedBlobFrom(row: StoredBlobColumns): StoredBlob {
  return { ...blobFrom(row), kept: row.kept };
}
