/** Opening a snapshot that a document is fetched from: its entry, its blob, the document in it, and who vouches for it. */
import { equal } from "#relay/protocol/bytes.ts";
import type { Entry } from "#relay/protocol/entry.ts";
import type { Cover } from "#relay/protocol/snapshot.ts";
import type { Origin, SignedHead } from "#client/crypto/authorship.ts";
import { parseSnapshotContent } from "#client/crypto/snapshot.ts";
import { downloadBlob, type BlobPorts } from "./blobs.ts";
import { indexGeneses } from "./index-geneses.ts";
import {
  judgeSnapshot,
  vouchForDocument,
  type OpenDocument,
  type VouchedDocument,
} from "./snapshots.ts";
import type { Space } from "./space.ts";

export interface SnapshotReaderPorts extends BlobPorts {
  readonly openDocument: OpenDocument;
}

export type ReadSnapshot =
  | {
      readonly type: "read";
      readonly cover: Cover;
      readonly origin: Origin | null;
      readonly heads: readonly SignedHead[];
      readonly changes: VouchedDocument["changes"];
      /** As Automerge saved it, and its heads. */
      readonly document: Uint8Array;
      readonly documentHeads: readonly Uint8Array[];
    }
  /** It is not to be had or opened on this connection. */
  | { readonly type: "later" }
  | { readonly type: "unknown-author" }
  | { readonly type: "bad"; readonly why: string };

export async function readSnapshot(
  ports: SnapshotReaderPorts,
  space: Space,
  handle: number,
  entry: Entry,
  pos: number,
): Promise<ReadSnapshot> {
  const judged = judgeSnapshot(entry, pos, space);
  if (judged.type !== "snapshot") return judged;
  const { cover, payload } = judged;
  const sealed =
    payload.content instanceof Uint8Array
      ? payload.content
      : await downloadBlob(ports, handle, payload.content, cover.chunks);
  if (sealed === "broken") return { type: "later" };
  const content = sealed === null ? null : parseSnapshotContent(sealed);
  if (content?.ok !== true) return { type: "bad", why: "what it holds is damaged" };
  const { heads, document } = content.value;
  const opened = await ports.openDocument(document);
  if (opened === "later") return { type: "later" };
  if (opened === "harmful") return { type: "bad", why: "its document cannot be read" };
  const given = equal(entry.docId, space.indexId) ? indexGeneses : noneGiven;
  const origin = payload.origin ?? space.originOf(entry.docId);
  const vouched = vouchForDocument(
    entry.docId,
    opened,
    payload.documentHeads,
    heads,
    origin,
    given,
    space,
  );
  if (vouched.type !== "vouched") return vouched;
  const { changes } = vouched;
  const { documentHeads } = payload;
  return { type: "read", cover, origin: payload.origin, heads, changes, document, documentHeads };
}

const noneGiven: ReadonlySet<string> = new Set();
