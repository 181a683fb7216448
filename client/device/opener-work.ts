/**
 * What an opener's thread does (opener.ts): one question in, one answer out. It holds nothing between questions but
 * Automerge itself, and nobody minds when it ends in the middle.
 */
import { applySound } from "#client/notes/sound-changes.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { packChunks, unpackChunks, type PackedChunks } from "./packed-chunks.ts";
import { notebookIndexGenesis, vaultIndexGenesis, type Automerge } from "./index-document.ts";
import { takeApart } from "./open-document.ts";

/** What a document is built upon that has no snapshot. */
export type Beginning = "nothing" | "notebook-index" | "vault-index";

export type OpenerQuestion =
  /** Takes a saved document apart. */
  | { readonly type: "open"; readonly document: Uint8Array }
  /** Applies changes to a document, which is built first. */
  | {
      readonly type: "try";
      readonly snapshot: Uint8Array | null;
      readonly beginning: Beginning;
      readonly base: PackedChunks;
      readonly tried: PackedChunks;
    };

export type OpenerAnswer =
  /** The thread can be asked. */
  | { readonly type: "ready" }
  /** What changes are tried on stands; they come next. */
  | { readonly type: "built" }
  | { readonly type: "opened"; readonly heads: PackedChunks; readonly changes: PackedChunks }
  /** @param refused hashes in hex of those that cannot be applied */
  | { readonly type: "tried"; readonly refused: readonly string[] }
  /** The document that was to be opened or built upon cannot be. */
  | { readonly type: "unreadable" };

/** Throws only what leaves Automerge's memory in doubt. */
export function answerTo(
  automerge: Automerge,
  question: OpenerQuestion,
  tell: (answer: OpenerAnswer) => void,
): void {
  if (question.type === "open") {
    try {
      const { heads, changes } = takeApart(automerge, question.document);
      tell({ type: "opened", heads: packChunks(heads), changes: packChunks(changes) });
    } catch {
      tell({ type: "unreadable" });
    }
    return;
  }
  const base = built(automerge, question);
  if (base === null) {
    tell({ type: "unreadable" });
    return;
  }
  tell({ type: "built" });
  const { doc, refused } = applySound(automerge, base, unpackChunks(question.tried));
  automerge.free(doc);
  tell({ type: "tried", refused: refused.map(({ hash }) => toHex(hash)) });
}

function built(
  automerge: Automerge,
  { snapshot, beginning, base }: Extract<OpenerQuestion, { type: "try" }>,
) {
  try {
    const start =
      snapshot === null ? beginningOf(automerge, beginning) : automerge.load<unknown>(snapshot);
    return automerge.applyChanges(start, unpackChunks(base))[0];
  } catch {
    return null;
  }
}

function beginningOf(automerge: Automerge, beginning: Beginning) {
  switch (beginning) {
    case "nothing":
      return automerge.init<unknown>();
    case "notebook-index":
      return notebookIndexGenesis(automerge);
    case "vault-index":
      return vaultIndexGenesis(automerge);
  }
}

/** What crosses to another thread by changing hands; nobody here may look at it afterwards. */
export function buffersOf(message: OpenerAnswer | OpenerQuestion): ArrayBuffer[] {
  const of = (packed: PackedChunks): ArrayBufferLike[] => [
    packed.bytes.buffer,
    packed.lengths.buffer,
  ];
  const buffers = (): ArrayBufferLike[] => {
    switch (message.type) {
      case "open":
        return [message.document.buffer];
      case "try":
        return [
          ...of(message.base),
          ...of(message.tried),
          ...(message.snapshot ? [message.snapshot.buffer] : []),
        ];
      case "opened":
        return [...of(message.heads), ...of(message.changes)];
      default:
        return [];
    }
  };
  return buffers() as ArrayBuffer[]; // copies that opener.ts and packed-chunks.ts made
}
