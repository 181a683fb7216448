/**
 * Edits of one passage that two devices made without knowing of each other: found in idle time, once the versions have
 * met here, and kept for somebody to look at. Both edits are in the note already, and nothing waits for this.
 *
 *   journal: two versions met → merge → read by the materialiser: which passages did both change? → conflict
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { Conflict } from "#crdt-store/conflicts.ts";
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { Merge } from "#crdt-store/merges.ts";
import type { Store } from "#crdt-store/store.ts";
import { concat, mustHex, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { sharedPassages, type SharedPassage } from "#client/notes/passages.ts";
import { diffParts } from "#client/notes/text-diff.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { ConflictRow, NoteDocument, NoteField } from "./api.ts";
import type { Automerge } from "./index-document.ts";
import type { NoteReader } from "./materialiser.ts";
import { refuse } from "./refusal.ts";
import type { Shelf } from "./shelf.ts";

export interface ConflictReviewPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly shelf: Shelf;
  /** Whose device it is, for a person. */
  readonly nameOf: (space: Space, dev: Uint8Array) => string;
}

/** Passages listed of one merge. */
const mostPassages = 20;
/** Of a passage so much is kept, in UTF-16 units. */
const longestExcerpt = 2_000;
/** Two who write side by side are listed once for so long a stretch of it. */
const joinedWithinMs = 60_000;
/** A passage is the same one if lines were added or removed above it. */
const joinedWithinLines = 2;

type Note = AutomergeModule.Doc<NoteDocument>;

/** One side of a merge: what the other did not know. */
interface Side {
  readonly heads: readonly string[];
  readonly actors: ReadonlySet<string>;
  /** What it goes on from. */
  readonly below: readonly string[];
}

interface Versions {
  readonly base: readonly string[];
  readonly ours: readonly string[];
  readonly theirs: readonly string[];
}

export class ConflictReview implements NoteReader {
  readonly #ports: ConflictReviewPorts;
  readonly #store: Store;

  constructor(ports: ConflictReviewPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  unread(most: number): readonly Uint8Array[] {
    return this.#store.merges.documents(most);
  }

  read(doc: Uint8Array, note: Note, automerge: Automerge): void {
    const own = new Set(this.#store.documents.actorsOf(doc).map(({ actor }) => toHex(actor)));
    const listed = this.#store.merges.of(doc).reduce((count, merge) => {
      const versions = versionsOf(automerge, note, merge, own);
      return versions === null ? count : count + this.#list(doc, note, automerge, versions);
    }, 0);
    this.#store.merges.remove(doc);
    if (listed === 0) return;
    this.#store.syncLog.add(
      "info",
      "The same passage of a note was changed here and on another device at the same time. Both edits are kept, and listed for review.",
    );
  }

  passOver(doc: Uint8Array): void {
    this.#store.merges.remove(doc);
  }

  /** The newest first. */
  rows(doc?: Uint8Array): readonly ConflictRow[] {
    return this.#store.conflicts.list(doc).map((conflict) => this.#row(conflict));
  }

  /** Refuses with `bad-input`. */
  markReviewed(id: string): void {
    const bytes = parseHex(id);
    if (bytes !== null && this.#store.conflicts.markReviewed(bytes)) return;
    refuse(
      "bad-input",
      "There is no such conflict on this device. It may have been kept long enough, or its note was deleted.",
    );
  }

  #row(conflict: Conflict): ConflictRow {
    const { base, ours, theirs } = conflict;
    return {
      id: toHex(conflict.id),
      note: documentIdToText(conflict.doc),
      field: conflict.field === "title" ? "title" : "body",
      line: conflict.line,
      with: this.#nameOf(conflict),
      at: conflict.at,
      reviewed: conflict.reviewed,
      times: conflict.times,
      heads: {
        base: conflict.baseHeads.map(toHex),
        ours: conflict.ourHeads.map(toHex),
        theirs: conflict.theirHeads.map(toHex),
      },
      ours: diffParts(base, ours),
      theirs: diffParts(base, theirs),
    };
  }

  #nameOf({ doc, dev }: Conflict): string {
    const document = this.#store.documents.get(doc);
    const space = document === null ? undefined : this.#ports.shelf.get(document.space);
    return space === undefined || dev === null ? "another device" : this.#ports.nameOf(space, dev);
  }

  /** How many it listed. */
  #list(doc: Uint8Array, note: Note, automerge: Automerge, versions: Versions): number {
    const [base, ours, theirs] = [versions.base, versions.ours, versions.theirs].map((heads) => {
      const { title, body }: Partial<NoteDocument> = automerge.view(note, [...heads]);
      return { title: textOf(title), body: textOf(body) };
    });
    if (base === undefined || ours === undefined || theirs === undefined) return 0;
    const found = (["title", "body"] as const).flatMap((field) =>
      sharedPassages(base[field], ours[field], theirs[field], mostPassages).map((passage) => ({
        field,
        passage,
      })),
    );
    // Told apart from what this merge lists itself: several passages of one exchange stay several.
    const before = this.#store.conflicts.list(doc).filter(({ reviewed }) => !reviewed);
    for (const { field, passage } of found) {
      this.#listOne(this.#conflict(doc, field, passage, versions), before);
    }
    return found.length;
  }

  #listOne(conflict: Conflict, before: readonly Conflict[]): void {
    const { conflicts, metrics } = this.#store;
    const earlier = before.find(
      ({ field, line, at }) =>
        field === conflict.field &&
        conflict.at - at <= joinedWithinMs &&
        Math.abs(conflict.line - line) <= joinedWithinLines,
    );
    if (earlier !== undefined) conflicts.join(earlier.id, conflict);
    else if (!conflicts.add(conflict)) return;
    metrics.count("conflicts");
  }

  #conflict(
    doc: Uint8Array,
    field: NoteField,
    passage: SharedPassage,
    { base, ours, theirs }: Versions,
  ): Conflict {
    const theirHeads = theirs.map(mustHex);
    return {
      id: idOf(field, passage.line, ours, theirs),
      doc,
      field,
      line: passage.line,
      dev: this.#signerOf(doc, theirHeads),
      at: this.#ports.clock.now(),
      reviewed: false,
      times: 1,
      baseHeads: base.map(mustHex),
      ourHeads: ours.map(mustHex),
      theirHeads,
      base: excerpt(passage.base),
      ours: excerpt(passage.ours),
      theirs: excerpt(passage.theirs),
    };
  }

  #signerOf(doc: Uint8Array, heads: readonly Uint8Array[]): Uint8Array | null {
    const signers = heads.flatMap((head) => this.#store.changes.signerOf(doc, head) ?? []);
    return signers[0] ?? null;
  }
}

/**
 * Which versions met, told apart as ours and theirs; null unless something of this device met something of another.
 * @param own the actors of this device
 */
function versionsOf(
  automerge: Automerge,
  note: Note,
  merge: Merge,
  own: ReadonlySet<string>,
): Versions | null {
  const stood = merge.stood.map(toHex);
  const came = merge.came.map(toHex);
  // Something that they depend on is still on its way, or was damaged and is fetched again.
  if (!automerge.hasHeads(note, stood) || !automerge.hasHeads(note, came)) return null;
  const sides = [sideOf(automerge, note, stood, came), sideOf(automerge, note, came, stood)];
  const ours = sides.find(({ actors }) => [...actors].some((actor) => own.has(actor)));
  const theirs = sides.find(
    (side) => side !== ours && [...side.actors].some((actor) => !own.has(actor)),
  );
  if (ours === undefined || theirs === undefined) return null;
  const base = [...new Set([...ours.below, ...theirs.below])].toSorted();
  return base.length === 0 ? null : { base, ours: ours.heads, theirs: theirs.heads };
}

/** The ancestors of `heads` that are none of `others`. */
function sideOf(
  automerge: Automerge,
  note: Note,
  heads: readonly string[],
  others: readonly string[],
): Side {
  const beyond = automerge.getChangesMetaSince(note, [...others]);
  const byHash = new Map(beyond.map((change) => [change.hash, change]));
  const side = new Map<string, (typeof beyond)[number]>();
  const below = new Set<string>();
  const open = [...heads];
  for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
    const change = byHash.get(hash);
    if (side.has(hash)) continue;
    if (change === undefined) below.add(hash);
    else {
      side.set(hash, change);
      open.push(...change.deps);
    }
  }
  const deps = new Set([...side.values()].flatMap((change) => change.deps));
  return {
    heads: [...side.keys()].filter((hash) => !deps.has(hash)).toSorted(),
    actors: new Set([...side.values()].map(({ actor }) => actor)),
    below: [...below],
  };
}

/** The same on both devices. */
function idOf(
  field: NoteField,
  line: number,
  ours: readonly string[],
  theirs: readonly string[],
): Uint8Array {
  const heads = [ours[0] ?? "", theirs[0] ?? ""]
    .toSorted()
    .map((head) => mustHex(head).slice(0, 8));
  const place = new DataView(new ArrayBuffer(4));
  place.setUint32(0, line * 2 + (field === "title" ? 0 : 1));
  return concat(...heads, new Uint8Array(place.buffer));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function excerpt(text: string): string {
  if (text.length <= longestExcerpt) return text;
  // Not between the halves of a pair.
  return `${text.slice(0, longestExcerpt).replace(/[\ud800-\udbff]$/, "")}…`;
}
