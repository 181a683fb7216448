/**
 * The Automerge documents of a tab: an automerge-repo `Repo` without network and without storage.
 * Everything durable goes through the device; a document lives here as long as its note is open.
 */
import * as A from "@automerge/automerge/slim";
import { Repo } from "@automerge/automerge-repo/slim";
import type { DocHandle, DocumentId } from "@automerge/automerge-repo/slim";

import type { NoteDocument, OpenedNote } from "#client/device/api.ts";
import { Refusal } from "#client/device/refusal.ts";
import { applySound, isTrap } from "#client/notes/sound-changes.ts";

const NOT_HERE_YET =
  "This note has not arrived completely yet. It opens here as soon as the rest has come.";

export interface NoteDocuments {
  /** The note as a ready document. Throws a sentence for the person when nothing readable is there. */
  open(opened: OpenedNote): DocHandle<NoteDocument>;
  /** What the note says, without opening it. Throws as {@link open} does. */
  read(opened: OpenedNote): { readonly title: string; readonly body: string };
  /** Frees the document; its handle is not to be used again. */
  close(id: string): Promise<void>;
}

/** Needs Automerge's wasm initialised. */
export function createNoteDocuments(): NoteDocuments {
  const repo = new Repo({ network: [] });
  return {
    open: (opened) => {
      const { id } = opened;
      const document = loadNote(opened);
      // Ids are made by the device as Automerge document ids; the brand is automerge-repo's own.
      const handle = repo.import<NoteDocument>(new Uint8Array(), { docId: id as DocumentId });
      handle.update(() => document);
      return handle;
    },
    read: (opened) => {
      const document = loadNote(opened);
      const { title, body } = document;
      A.free(document);
      return { title, body };
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

function loadNote({ chunks, actor }: OpenedNote): A.Doc<NoteDocument> {
  const document = loadReadable(chunks, actor);
  if (isNote(document)) return document;
  A.free(document);
  throw new Refusal({ code: "unavailable", message: NOT_HERE_YET });
}

// What Automerge cannot take must not keep the rest from opening. Looking for it is left to the rare failure.
function loadReadable(chunks: readonly Uint8Array[], actor: string): A.Doc<NoteDocument> {
  try {
    return load(chunks, actor);
  } catch (error) {
    if (isTrap(error)) throw error;
    const snapshot = chunks.find(isSnapshot);
    const start = load(snapshot === undefined ? [] : [snapshot], actor);
    const { doc } = applySound(
      A,
      start,
      chunks.filter((chunk) => chunk !== snapshot),
    );
    return A.getActorId(doc) === actor ? doc : A.clone(doc, { actor });
  }
}

// With its actor from the start: a document that changes hands later is copied, which a long note shows.
function load([first, ...rest]: readonly Uint8Array[], actor: string): A.Doc<NoteDocument> {
  if (first === undefined) return A.init<NoteDocument>({ actor });
  if (!isSnapshot(first))
    return A.applyChanges(A.init<NoteDocument>({ actor }), [first, ...rest])[0];
  const document = A.load<NoteDocument>(first, { actor });
  return rest.length === 0 ? document : A.applyChanges(document, rest)[0];
}

/** By the chunk's type, behind four bytes of magic and four of checksum. */
function isSnapshot(chunk: Uint8Array): boolean {
  return chunk[8] === 0;
}

function isReadable(bytes: Uint8Array): boolean {
  try {
    A.free(A.loadIncremental(A.init<NoteDocument>(), bytes));
    return true;
  } catch {
    return false;
  }
}

function isNote(document: A.Doc<NoteDocument>): boolean {
  const { title, body }: Partial<NoteDocument> = document;
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
