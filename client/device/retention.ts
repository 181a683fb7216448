/**
 * How long things stay on this device: notes in the trash and lines of the sync log; and giving back to the disk what
 * they took. By default the trash is kept until somebody empties it: nothing goes in silence.
 */
import { documentIdToText, parseDocumentId } from "#crdt-store/document-id.ts";
import type { Trashed } from "#crdt-store/trash.ts";
import type { Store } from "#crdt-store/store.ts";
import { isDiskFull } from "#crdt-store/store-error.ts";
import { utf8 } from "#relay/protocol/bytes.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { EmptiedTrash, RetentionSettings, TrashedNote } from "./api.ts";
import type { Background } from "./background.ts";
import type { DeviceEvents } from "./events.ts";
import type { Notes } from "./notes.ts";
import { refuse } from "./refusal.ts";

export interface RetentionPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly background: Background;
  readonly events: DeviceEvents;
  readonly notes: Notes;
}

const dayMs = 24 * 60 * 60 * 1000;
const trashWindows: readonly RetentionSettings["trashDays"][] = [null, 30, 90, 365];
const logWindows: readonly RetentionSettings["logDays"][] = [7, 30, 90];
const conflictWindows: readonly RetentionSettings["conflictDays"][] = [30, 90, 365];
const defaults: RetentionSettings = { trashDays: null, logDays: 30, conflictDays: 90 };
const setting = "device/retention";

/** Whether a window has passed is looked at this often. */
const lookEveryMs = 60 * 60 * 1000;
/** Not right at the start, when there is more urgent work. */
const firstLookMs = 5_000;
/** Deleted in one go: typing waits for one at most. */
const sliceNotes = 16;
/** Files are shortened unasked once so much of them is unused, and more than half. */
const worthGivingBack = 8 << 20;
/** Not unasked above this: shortening takes as much memory as is in use, and WebAssembly keeps it. */
const mostWrittenUnasked = 32 << 20;

export class Retention {
  readonly #ports: RetentionPorts;
  readonly #store: Store;
  #cancelLook: (() => void) | null = null;
  #closed = false;

  constructor(ports: RetentionPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  close(): void {
    this.#closed = true;
    this.#cancelLook?.();
  }

  /** Looks from now on, again and again, at what has been kept long enough. */
  begin(): void {
    this.#lookIn(firstLookMs);
  }

  /** Lets go now what has been kept long enough: for a process that ends. */
  now(): void {
    while (this.#letGo());
  }

  settings(): RetentionSettings {
    const bytes = this.#store.settings.get(setting);
    return bytes === null ? defaults : settingsIn(bytes);
  }

  set(wanted: RetentionSettings): void {
    const isOffered =
      trashWindows.includes(wanted.trashDays) &&
      logWindows.includes(wanted.logDays) &&
      conflictWindows.includes(wanted.conflictDays);
    if (!isOffered) {
      refuse("bad-input", "There is no such time to keep things for. Nothing was changed.");
    }
    const { trashDays, logDays, conflictDays } = wanted;
    this.#store.settings.put(setting, utf8(JSON.stringify({ trashDays, logDays, conflictDays })));
    this.begin();
  }

  /** The notes in the trash, those that go first in front. */
  trash(): readonly TrashedNote[] {
    return this.#inTrash().map((note) => ({
      id: documentIdToText(note.doc),
      goesAt: this.#goesAt(note),
      unsent: !this.#store.isAcknowledged(note.doc),
    }));
  }

  /** Deletes a note in the trash from this device for ever. */
  purge(id: string, unsentToo: boolean): void {
    const doc = parseDocumentId(id);
    // Asked again, because the answer was lost.
    if (doc !== undefined && this.#store.trash.isPurged(doc)) return;
    const { docId, row } = this.#ports.notes.must(id);
    if (row.trashedAt === null) {
      refuse("refused", "Only a note in the trash can be deleted for ever. Nothing was deleted.");
    }
    if (!unsentToo && !this.#store.isAcknowledged(docId)) {
      refuse(
        "unsent",
        "Some of this note is only on this device, so it was not deleted. Connect to the relay first, or delete it all the same.",
      );
    }
    this.#store.purge(docId, row.space);
    this.#afterPurge();
  }

  /** Deletes all notes in the trash; those that are partly only here stay, unless they are meant too. */
  emptyTrash(unsentToo: boolean): EmptiedTrash {
    const inTrash = this.#inTrash();
    const going = inTrash.filter(({ doc }) => unsentToo || this.#store.isAcknowledged(doc));
    this.#store.transaction(() => {
      for (const { doc, space } of going) this.#store.purge(doc, space);
    });
    if (going.length > 0) this.#afterPurge();
    return { deleted: going.length, kept: inTrash.length - going.length };
  }

  /** Gives the disk back what is unused. How many bytes shorter the files are now. */
  freeSpace(): number {
    const before = this.#store.fileBytes();
    if (!this.#store.shrink()) {
      refuse("unavailable", "A backup is being made, so no space was freed. Try again after it.");
    }
    return Math.max(0, before - this.#store.fileBytes());
  }

  #inTrash(): readonly Trashed[] {
    return this.#store.trash.notes(this.#ports.clock.now());
  }

  #goesAt({ space, since }: Trashed): number | null {
    const { trashDays } = this.settings();
    // Where access has ended nobody could bring it back: it goes by hand only.
    const isActive = this.#store.spaces.get(space)?.state === "active";
    return trashDays === null || !isActive ? null : since + trashDays * dayMs;
  }

  #lookIn(ms: number): void {
    const { timers, background } = this.#ports;
    this.#cancelLook?.();
    if (this.#closed) return;
    this.#cancelLook = timers.after(ms, () => {
      this.#cancelLook = null;
      background.add(async () => this.#look());
    });
  }

  #look(): void {
    let isMore = false;
    try {
      if (!this.#store.isFull) isMore = this.#letGo();
    } catch (error) {
      // Nothing is gone by half; it goes when there is room to write that down.
      if (!isDiskFull(error)) throw error;
    } finally {
      this.#lookIn(isMore ? 0 : lookEveryMs);
    }
  }

  /** Whether there is more to let go. */
  #letGo(): boolean {
    const now = this.#ports.clock.now();
    const { logDays, conflictDays } = this.settings();
    this.#store.syncLog.forgetBefore(now - logDays * dayMs);
    this.#store.conflicts.forgetBefore(now - conflictDays * dayMs);
    const due = this.#inTrash().filter((note) => this.#isDue(note, now));
    if (due.length === 0) {
      this.#giveBack();
      return false;
    }
    const going = due.slice(0, sliceNotes);
    this.#store.transaction(() => {
      for (const { doc, space } of going) this.#store.purge(doc, space);
    });
    this.#store.syncLog.add("info", deletedWords(going.length));
    this.#afterPurge();
    return true;
  }

  #isDue(note: Trashed, now: number): boolean {
    const goesAt = this.#goesAt(note);
    return goesAt !== null && goesAt <= now && this.#store.isAcknowledged(note.doc);
  }

  #afterPurge(): void {
    this.#ports.events.notify("notes");
    this.#ports.events.notify("status");
    try {
      this.#store.emptyLog();
    } catch (error) {
      // They are gone all the same; the sealed remains in the log wait for its next emptying.
      if (!isDiskFull(error)) throw error;
    }
  }

  #giveBack(): void {
    const unused = this.#store.unusedBytes();
    const used = this.#store.fileBytes() - unused;
    if (unused >= worthGivingBack && unused > used && used <= mostWrittenUnasked) {
      this.#store.shrink();
    }
  }
}

function deletedWords(notes: number): string {
  return notes === 1
    ? "A note was deleted from this device: its time in the trash had passed."
    : `${notes} notes were deleted from this device: their time in the trash had passed.`;
}

/** As `set` wrote them; a damaged value is as good as none. */
function settingsIn(bytes: Uint8Array): RetentionSettings {
  try {
    const stored: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof stored !== "object" || stored === null) return defaults;
    const { trashDays, logDays, conflictDays } = stored as Partial<
      Record<keyof RetentionSettings, unknown>
    >;
    return {
      trashDays: trashWindows.find((days) => days === trashDays) ?? defaults.trashDays,
      logDays: logWindows.find((days) => days === logDays) ?? defaults.logDays,
      conflictDays: conflictWindows.find((days) => days === conflictDays) ?? defaults.conflictDays,
    };
  } catch {
    return defaults;
  }
}
