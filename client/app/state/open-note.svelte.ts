import type { DeviceApi, NotebookRow, PeerCursor, Role } from "#client/device/api.ts";
import { OpenNote } from "#client/notes/open-note.ts";
import type { SavingState } from "#client/notes/open-note.ts";

import type { AppParts } from "./app-parts.ts";
import { changesIn } from "./note-documents.ts";
import { namesOf } from "./note-rows.ts";
import { sentenceOf } from "./refusal.ts";
import { ShownTimes } from "./shown-times.ts";

export type OpenPhase =
  | { readonly type: "none" }
  | { readonly type: "opening"; readonly id: string }
  | { readonly type: "open"; readonly id: string; readonly note: OpenNote; readonly role: Role }
  | { readonly type: "failed"; readonly id: string; readonly message: string };

/** A note that is left, until everything typed in it is saved; one may come back to it before. */
interface Departure {
  readonly note: OpenNote;
  readonly role: Role;
  isBack: boolean;
  isClosing: boolean;
  /** Resolves when its document is let go, or it is back. */
  closed: Promise<void>;
}

/** What the line under the note says about its newest keystroke. */
export type Saving = "saving" | "not-saved" | "settled";

// Typing is durable within a tenth of a second; the words follow only when it pauses, or they would flicker.
const settleMs = 250;
// The relay takes ten presence messages a second from a connection, beats included.
const cursorGapMs = 150;
const countDelayMs = 300;

/** The note on the screen: opened from the device, edited here, and what is known of others in it. */
export class CurrentNote {
  readonly #parts: AppParts;
  readonly #device: DeviceApi;
  readonly #shown: ShownTimes;
  readonly #reloadRows: () => Promise<void>;

  phase = $state.raw<OpenPhase>({ type: "none" });
  peers = $state.raw<readonly PeerCursor[]>([]);
  saving = $state<Saving>("settled");
  /** The notes with typing that the device has refused so far, also those that were left. */
  refused = $state.raw<ReadonlySet<string>>(new Set());
  /** Typing that no committed change holds yet: what the device says of the note is older. */
  ahead = $state(false);
  words = $state(0);
  characters = $state(0);
  /** The title as it is being typed, sooner than the device's row. */
  title = $state("");

  #lastOpening = 0;
  readonly #departures = new Map<string, Departure>();
  #isUnsaved = false;
  #edits = 0;
  #stopWatching: () => void = () => {};
  #cancelSettle: () => void = () => {};
  #cancelCount: () => void = () => {};
  #cancelCursor: (() => void) | null = null;
  #cursor: { readonly anchor: number; readonly head: number } | null = null;

  constructor(parts: AppParts, reloadRows: () => Promise<void>) {
    this.#parts = parts;
    this.#device = parts.device;
    this.#shown = new ShownTimes(parts.device, parts.timers, (error) => parts.onFault(error));
    this.#reloadRows = reloadRows;
  }

  get id(): string | null {
    return this.phase.type === "none" ? null : this.phase.id;
  }

  get note(): OpenNote | null {
    return this.phase.type === "open" ? this.phase.note : null;
  }

  /** Opens another note; what was typed in the one before is on its way to the device first. */
  async open(id: string): Promise<void> {
    if (this.id === id && this.phase.type !== "failed") return;
    this.#lastOpening += 1;
    const opening = this.#lastOpening;
    void this.#leave();
    const departure = this.#departures.get(id);
    if (departure?.isClosing === false) return this.#comeBack(id, departure);
    this.phase = { type: "opening", id };
    // Its document has not been let go yet.
    await departure?.closed;
    if (opening !== this.#lastOpening) return;
    try {
      await this.#openNow(id, opening);
    } catch (error) {
      if (opening === this.#lastOpening) {
        this.phase = { type: "failed", id, message: sentenceOf(error) };
      }
    }
  }

  /** Lets go of the note at once: what is typed from here on is not meant for it any more. */
  makeWay(): void {
    this.#lastOpening += 1;
    void this.#leave();
    this.phase = { type: "opening", id: "" };
  }

  /** Whether nothing was opened or closed since {@link makeWay}. */
  get isWayMade(): boolean {
    return this.phase.type === "opening" && this.phase.id === "";
  }

  /** Resolves when everything typed here is durable and the document is freed. */
  close(): Promise<void> {
    this.#lastOpening += 1;
    const left = this.#leave();
    this.phase = { type: "none" };
    return left;
  }

  /** Whether something typed here is neither a stored draft nor a stored change. */
  get holdsUnsaved(): boolean {
    return this.#isUnsaved || this.#departures.size > 0;
  }

  /** Resolves when everything typed here is durable, in the notes before this one too. */
  async saved(): Promise<void> {
    await Promise.all([this.flush(), this.#departed()]);
  }

  flush(): Promise<void> {
    return this.note?.flush() ?? Promise.resolve();
  }

  /** After another worker took over: it has to know of this opening, and may know changes we missed. */
  async openAgain(): Promise<void> {
    const { phase } = this;
    if (phase.type === "failed") return this.open(phase.id);
    if (phase.type !== "open") return;
    const opened = await this.#device.openNote(phase.id, this.#parts.session);
    if (this.note === phase.note) phase.note.receive(changesIn(opened.chunks));
  }

  /** @param arrivedAt when they came from the relay; null for what was written on this device */
  receive(
    id: string,
    session: string | null,
    changes: readonly Uint8Array[],
    arrivedAt: number | null = null,
  ): void {
    if (session === this.#parts.session) return;
    if (arrivedAt !== null && this.id === id && this.note !== null) this.#shown.arrived(arrivedAt);
    if (this.phase.type === "failed" && this.phase.id === id) void this.open(id);
    else if (this.id === id) this.note?.receive(changes);
    else this.#departures.get(id)?.note.receive(changes);
  }

  setPeers(id: string, peers: readonly PeerCursor[]): void {
    if (id !== this.id) return;
    this.peers = peers;
    this.note?.setPresent(peers.length > 0);
  }

  /** Tells others where the caret stands, at most every 150 ms; null: it left the text. */
  moveCursor(cursor: { readonly anchor: number; readonly head: number } | null): void {
    this.#cursor = cursor;
    this.#cancelCursor ??= this.#parts.timers.after(cursorGapMs, () => {
      this.#cancelCursor = null;
      this.#sendCursor();
    });
  }

  /** The editor's text has changed, by whomever. */
  bodyChanged(): void {
    this.#cancelCount();
    this.#cancelCount = this.#parts.timers.after(countDelayMs, () => this.#count());
  }

  titleChanged(): void {
    this.title = this.note?.text("title") ?? "";
  }

  /**
   * There is room to write again: what waits is saved, and what could only be read is opened anew.
   * @param mayWrite whether the person may write in this note, room or not
   */
  async roomIsBack(mayWrite: boolean): Promise<void> {
    for (const { note } of this.#departures.values()) note.tryAgain();
    const { phase } = this;
    if (phase.type === "failed") return this.open(phase.id);
    if (phase.type !== "open") return;
    phase.note.tryAgain();
    if (phase.role !== "read" || !mayWrite) return;
    await this.close();
    await this.open(phase.id);
  }

  /** Something of a note was set aside, and the document that is open may have it in it: it is read anew. */
  async openAnew(id: string): Promise<void> {
    if (this.id !== id) return;
    await this.close();
    await this.open(id);
  }

  asMarkdown(): string {
    const title = this.note?.text("title").trim() ?? "";
    const body = this.note?.text("body") ?? "";
    return title === "" ? body : `# ${title}\n\n${body}`;
  }

  isEmpty(): boolean {
    return this.note?.text("title") === "" && this.note.text("body") === "";
  }

  async #openNow(id: string, opening: number): Promise<void> {
    const { device, documents, session, timers } = this.#parts;
    const opened = await device.openNote(id, session);
    if (opening !== this.#lastOpening) {
      await device.closeNote(id, session);
      return;
    }
    const note = new OpenNote({
      handle: documents.open(opened),
      session,
      actor: opened.actor,
      timers,
      journal: {
        draft: (draft) => device.draft(id, draft),
        commit: async (commit) => {
          const upTo = this.#edits;
          await device.commit(id, commit);
          void this.#committed(id, upTo);
        },
      },
      onFault: (fault) => this.#parts.onFault(fault),
    });
    note.onState((state) => this.#markRefused(id, state === "not-saved"));
    this.#show(id, note, opened.role);
  }

  #show(id: string, note: OpenNote, role: Role): void {
    const stops = [
      note.onState((state) => this.#saved(state)),
      note.onRemote((field) => {
        this.#shown.shown();
        if (field === "title") this.titleChanged();
        else this.bodyChanged();
      }),
    ];
    this.#stopWatching = () => {
      for (const stop of stops) stop();
    };
    this.phase = { type: "open", id, note, role };
    this.titleChanged();
    this.#count();
  }

  /** What was typed before is still on its way: on a full disk it may be for long. */
  #comeBack(id: string, departure: Departure): void {
    this.#departures.delete(id);
    departure.isBack = true;
    this.#show(id, departure.note, departure.role);
    this.#saved(departure.note.state);
  }

  #leave(): Promise<void> {
    const { phase } = this;
    this.#stopWatching();
    this.#stopWatching = () => {};
    for (const cancel of [this.#cancelSettle, this.#cancelCount, this.#cancelCursor]) cancel?.();
    this.#cancelCursor = null;
    this.#cursor = null;
    this.#shown.left();
    this.peers = [];
    this.saving = "settled";
    this.ahead = false;
    this.title = "";
    this.words = 0;
    this.characters = 0;
    this.#isUnsaved = false;
    if (phase.type === "open") this.#depart(phase.id, phase.note, phase.role);
    return this.#departed();
  }

  #depart(id: string, note: OpenNote, role: Role): void {
    const departure: Departure = {
      note,
      role,
      isBack: false,
      isClosing: false,
      closed: Promise.resolve(),
    };
    note.setPresent(false);
    departure.closed = note
      .flush()
      .then(() => this.#close(id, departure))
      .catch((error: unknown) => this.#parts.onFault(error));
    this.#departures.set(id, departure);
  }

  async #close(id: string, departure: Departure): Promise<void> {
    if (departure.isBack) return;
    departure.isClosing = true;
    const { device, documents, session } = this.#parts;
    try {
      await departure.note.close();
      await documents.close(id);
      await device.closeNote(id, session);
    } finally {
      this.#departures.delete(id);
    }
  }

  async #departed(): Promise<void> {
    await Promise.all([...this.#departures.values()].map(({ closed }) => closed));
  }

  #saved(state: SavingState): void {
    this.#cancelSettle();
    this.#isUnsaved = state !== "saved-here";
    switch (state) {
      case "editing":
      case "saving":
        if (state === "editing") this.#edits += 1;
        this.ahead = true;
        if (this.saving === "settled") this.saving = "saving";
        return;
      case "not-saved":
        this.saving = "not-saved";
        return;
      case "saved-here":
        this.#cancelSettle = this.#parts.timers.after(settleMs, () => (this.saving = "settled"));
        return;
    }
  }

  #markRefused(id: string, isRefused: boolean): void {
    if (this.refused.has(id) === isRefused) return;
    const others = [...this.refused].filter((other) => other !== id);
    this.refused = new Set(isRefused ? [...others, id] : others);
  }

  async #committed(id: string, upTo: number): Promise<void> {
    await this.#reloadRows().catch((error: unknown) => this.#parts.onFault(error));
    if (id === this.id && upTo === this.#edits) this.ahead = false;
  }

  #sendCursor(): void {
    const { phase } = this;
    if (phase.type !== "open") return;
    const cursor = this.#cursor && {
      field: "body" as const,
      anchor: phase.note.cursorFor("body", this.#cursor.anchor),
      head: phase.note.cursorFor("body", this.#cursor.head),
    };
    this.#device
      .setCursor(phase.id, this.#parts.session, cursor)
      .catch((error: unknown) => this.#parts.onFault(error));
  }

  #count(): void {
    const body = this.note?.text("body") ?? "";
    this.words = countWords(body);
    this.characters = body.length;
  }
}

/** Everyone in the note besides this person, once each. */
export function peopleIn(peers: readonly PeerCursor[]): readonly PeerCursor[] {
  return [...new Map(peers.map((peer) => [peer.name, peer])).values()];
}

/** "Ben", "Ben and Ana", or null when the note is this person's alone. */
export function othersIn(notebook: NotebookRow | null): string | null {
  const others = notebook?.members.filter((member) => !member.self) ?? [];
  return others.length === 0 ? null : namesOf(others.map((member) => member.name));
}

/** Words as people count them: runs of letters and digits, whatever the marks between. */
export function countWords(text: string): number {
  return text.match(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*/gu)?.length ?? 0;
}
