/**
 * The Automerge documents of a tab: an automerge-repo `Repo` without network and without storage.
 * Everything durable goes through the device; a document lives here as long as its note is open.
 */
import * as A from "@automerge/automerge/slim";
import { Repo } from "@automerge/automerge-repo/slim";
import type { DocHandle, DocumentId } from "@automerge/automerge-repo/slim";

import type { NoteDocument, OpenedNote } from "#client/device/api.ts";
import { Refusal } from "#client/device/refusal.ts";

const NOT_HERE_YET =
  "This note has not arrived completely yet. It opens here as soon as the rest has come.";

export interface NoteDocuments {
  /** The note as a ready document. Throws a sentence for the person when nothing readable is there. */
  open(opened: OpenedNote): DocHandle<NoteDocument>;
  /** Frees the document; its handle is not to be used again. */
  close(id: string): Promise<void>;
}

/** Needs Automerge's wasm initialised. */
export function createNoteDocuments(): NoteDocuments {
  const repo = new Repo({ network: [] });
  return {
    open: ({ id, chunks }) => {
      // Ids are made by the device as Automerge document ids; the brand is automerge-repo's own.
      const handle = importReadable(repo, id as DocumentId, chunks);
      if (!isNote(handle)) throw new Refusal({ code: "unavailable", message: NOT_HERE_YET });
      return handle;
    },
    close: (id) => repo.removeFromCache(id as DocumentId),
  };
}

/** Every change in the chunks, each as a chunk of its own (a snapshot cannot be given to `OpenNote.receive`). */
export function changesIn(chunks: readonly Uint8Array[]): Uint8Array[] {
  const document = A.loadIncremental(
    A.init<NoteDocument>(),
    concatenate(chunks.filter(isReadable)),
  );
  const changes = A.getAllChanges(document);
  A.free(document);
  return changes;
}

// One chunk that Automerge cannot read must not keep the rest from opening. The device has checked the
// bytes, so looking for the culprit is left to the rare failure.
function importReadable(
  repo: Repo,
  docId: DocumentId,
  chunks: readonly Uint8Array[],
): DocHandle<NoteDocument> {
  try {
    return repo.import<NoteDocument>(concatenate(chunks), { docId });
  } catch {
    return repo.import<NoteDocument>(concatenate(chunks.filter(isReadable)), { docId });
  }
}

function isReadable(bytes: Uint8Array): boolean {
  try {
    A.free(A.loadIncremental(A.init<NoteDocument>(), bytes));
    return true;
  } catch {
    return false;
  }
}

function isNote(handle: DocHandle<NoteDocument>): boolean {
  if (!handle.isReady()) return false;
  const { title, body }: Partial<NoteDocument> = handle.doc();
  return typeof title === "string" && typeof body === "string";
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
