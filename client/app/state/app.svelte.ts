import { createContext } from "svelte";

import type { NotebookRow, NoteRow, SearchHit } from "#client/device/api.ts";
import { Refusal } from "#client/device/refusal.ts";
import type { WorkerEvent } from "#client/worker/lock-api.ts";

import type { AppParts } from "./app-parts.ts";
import { DeviceState } from "./device.svelte.ts";
import { DevicesState } from "./devices.svelte.ts";
import { Lock } from "./lock.svelte.ts";
import { Navigation } from "./navigation.svelte.ts";
import { isBlank } from "./note-rows.ts";
import type { NoteFilter } from "./note-rows.ts";
import { Notebooks } from "./notebooks.svelte.ts";
import { Notes } from "./notes.svelte.ts";
import { Notices } from "./notices.svelte.ts";
import { CurrentNote } from "./open-note.svelte.ts";
import { isRefusal, sentenceOf } from "./refusal.ts";
import { RelayState } from "./relay.svelte.ts";
import { SearchState } from "./search.svelte.ts";
import { SharingState } from "./sharing.svelte.ts";
import { outOfSpace, markdownFileName } from "./storage-words.ts";
import { StorageState } from "./storage.svelte.ts";
import { SyncState } from "./sync-status.svelte.ts";
import { Theme } from "./theme.svelte.ts";
import { emptiedWords } from "./trash-words.ts";
import { TrashState } from "./trash.svelte.ts";

const realNoteCharacters = 40;
/** Put off, the words are offered again after a week. */
const wordsRestMs = 7 * 24 * 60 * 60 * 1000;

/** Everything the screens show and everything a person can do, in one window. */
export class App {
  readonly parts: AppParts;
  readonly lock: Lock;
  readonly device: DeviceState;
  readonly notes: Notes;
  readonly notebooks: Notebooks;
  readonly search: SearchState;
  readonly sync: SyncState;
  readonly storage: StorageState;
  readonly relay: RelayState;
  readonly sharing: SharingState;
  readonly devices: DevicesState;
  readonly bin: TrashState;
  readonly current: CurrentNote;
  readonly theme: Theme;
  readonly notices: Notices;
  readonly navigation = new Navigation();

  /** Changes every tab to the version that waits, once there is one. */
  applyUpdate = $state.raw<(() => void) | null>(null);
  /** Now, in milliseconds since 1970, renewed every half minute for the times on the screen. */
  now = $state(0);
  started = $state(false);
  /** Milliseconds since 1970; the words are not offered before. */
  #wordsRestUntil = $state(0);
  /** After joining or restoring: the first note to arrive is shown. */
  #awaitsNote = false;
  /** The note that was thrown away last, and the notice that offers it back. */
  #undo: { readonly note: string; readonly notice: number } | null = null;

  readonly openRow = $derived.by(() => this.notes.row(this.current.id));
  readonly openNotebook = $derived.by(() => this.notebooks.row(this.openRow?.notebook ?? null));
  readonly #hasRealNote = $derived.by(() =>
    this.notes.rows.some((row) => row.preview.length >= realNoteCharacters),
  );
  /** The words wait, there is something worth keeping, and nothing more urgent to say. */
  readonly offersWords = $derived.by(
    () =>
      this.device.info.words === "unsaved" &&
      !this.sync.status.full &&
      this.now >= this.#wordsRestUntil &&
      (this.current.characters >= realNoteCharacters || this.#hasRealNote),
  );
  /** What was typed last exists in this window only, and not just for a moment. */
  readonly holdsUnsaved = $derived.by(
    () =>
      this.current.saving === "not-saved" ||
      (this.current.saving === "saving" && this.device.reachability.kind !== "connected"),
  );
  readonly hasOwnNotes = $derived.by(() => this.notes.rows.some((row) => !isBlank(row)));

  constructor(parts: AppParts) {
    this.parts = parts;
    this.lock = new Lock(parts, {
      saved: () => this.current.saved(),
      holdsUnsaved: () => this.current.holdsUnsaved,
      reopened: () => this.restarted(),
    });
    this.device = new DeviceState(parts.device);
    this.notes = new Notes(parts.device, parts.timers, () => this.notebooks.all);
    this.notebooks = new Notebooks(parts.device, parts.preferences);
    this.search = new SearchState(parts.device);
    this.sync = new SyncState(parts.device, () => this.current.ahead);
    this.storage = new StorageState(parts);
    this.relay = new RelayState(parts.device);
    this.sharing = new SharingState(parts.device);
    this.devices = new DevicesState(parts.device);
    this.bin = new TrashState(parts.device);
    this.current = new CurrentNote(parts, () => this.#noteSaved());
    this.theme = new Theme(parts.preferences);
    this.notices = new Notices(parts.timers);
    this.#wordsRestUntil = Number(parts.preferences.get("words-rest-until") ?? 0);
    this.now = parts.timers.now();
  }

  /** Once the notes are open: reads the lists and opens the newest note, or an empty one where there is none. */
  async start(options: { readonly opensNote: boolean }): Promise<void> {
    this.#tick();
    await this.lock.opened();
    await this.reload();
    this.started = true;
    if (!options.opensNote || this.current.id !== null) return;
    const [newest] = this.notes.shown;
    if (newest === undefined) await this.newNote();
    else await this.current.open(newest.id);
  }

  async reload(): Promise<void> {
    const wasFull = this.sync.status.full;
    await Promise.all([
      this.device.load(),
      this.#loadNotes(),
      this.notebooks.load(),
      this.sync.load(),
    ]);
    // Nobody waits for these.
    this.attempt(() => Promise.all([this.bin.load(), this.devices.loadRenewal()]));
    this.#afterStatus(wasFull);
  }

  /** The notebook in front may have another id: it has a new home. */
  async #loadNotebooks(): Promise<void> {
    await this.notebooks.load();
    const { filter } = this.notes;
    if (filter.type !== "notebook") return;
    const moved = this.notebooks.rows.find(({ former }) => former.includes(filter.id));
    if (moved !== undefined) this.notes.filter = { type: "notebook", id: moved.id };
  }

  /** A note that was deleted for ever, here or in another tab or by its window, is on the screen no longer. */
  async #loadNotes(load = () => this.notes.load()): Promise<void> {
    const before = this.openRow;
    await load();
    if (before?.trashed !== true || before.id !== this.current.id || this.openRow !== null) return;
    this.navigation.pane = "list";
    await this.current.close();
  }

  #afterStatus(wasFull: boolean): void {
    if (!wasFull || this.sync.status.full) return;
    this.attempt(() => this.current.roomIsBack(this.openNotebook?.role !== "read"));
  }

  async #noteSaved(): Promise<void> {
    await this.notes.load();
    const isWorthKeeping = this.#hasRealNote || this.current.characters >= realNoteCharacters;
    if (isWorthKeeping && this.device.info.durable) this.storage.askOnce();
  }

  /** Looks for room to write in; when there is some, what waits is saved. */
  async tryStorage(): Promise<void> {
    if (await this.parts.device.tryStorage()) return;
    this.notices.show("There is still no space on this device.");
  }

  /** What was typed is saved before anything else is done with the note; on a full disk nothing is. */
  async #saveFirst(): Promise<void> {
    if (this.sync.status.full) throw new Refusal({ code: "storage", message: outOfSpace });
    await this.current.flush();
  }

  /** Another worker serves this tab from now on: nothing it said before is certain. */
  restarted(): void {
    this.attempt(async () => {
      await this.lock.load();
      if (!this.started || !this.lock.isOpen) return;
      await Promise.all([this.reload(), this.current.openAgain()]);
    });
  }

  receive(event: WorkerEvent): void {
    switch (event.type) {
      case "lock":
      case "wiped":
        this.lock.receive(event);
        return;
      case "notes":
        this.attempt(async () => {
          await this.#loadNotes(() => this.notes.loadInTurn());
          if (this.#awaitsNote) await this.#openNewestToCome();
        });
        return;
      case "search":
        this.search.refresh();
        return;
      case "notebooks":
        this.attempt(() => this.#loadNotebooks());
        this.attempt(() => this.devices.loadRenewal());
        void this.sharing.refresh();
        return;
      case "status": {
        const wasFull = this.sync.status.full;
        this.sync.status = event.status;
        this.#afterStatus(wasFull);
        return;
      }
      case "fetching":
        return; // the status says so too
      case "changes":
        this.current.receive(event.id, event.session, event.changes, event.arrivedAt);
        return;
      case "mended":
        this.attempt(() => this.current.openAnew(event.id));
        return;
      case "presence":
        this.current.setPeers(event.id, event.peers);
        return;
      case "devices":
        this.attempt(() => Promise.all([this.device.load(), this.devices.refresh()]));
        return;
      case "notice":
        this.notices.show(event.text);
        return;
    }
  }

  /** An empty note, in front and with the keyboard; the one in front if it is still empty. */
  async newNote(): Promise<void> {
    const { filter } = this.notes;
    // A new note would not be among those.
    if (filter.type !== "notebook") this.notes.filter = { type: "all" };
    this.search.clear();
    const notebook = filter.type === "notebook" ? this.#writableId(filter.id) : null;
    const isEmptyAlready =
      this.current.isEmpty() &&
      this.openRow?.trashed === false &&
      (filter.type !== "notebook" || this.openRow.notebook === filter.id);
    if (!isEmptyAlready) {
      this.current.makeWay();
      try {
        const { id } = await this.parts.device.createNote(notebook === null ? {} : { notebook });
        await this.notes.load();
        // Somebody who has chosen another note meanwhile stays there.
        if (!this.current.isWayMade) return;
        await this.current.open(id);
      } catch (error) {
        if (this.current.isWayMade) await this.current.close();
        throw error;
      }
    }
    this.navigation.drawerOpen = false;
    this.navigation.pane = "note";
    this.navigation.wishFocus("body");
  }

  async openNote(id: string): Promise<void> {
    this.navigation.pane = "note";
    await this.current.open(id);
  }

  /** What was found, with its first match in sight. */
  async openFound(hit: SearchHit): Promise<void> {
    await this.openNote(hit.id);
    if (hit.found !== null) this.navigation.reveal({ note: hit.id, ...hit.found });
  }

  /** The search field, in front and with the keyboard. */
  showSearch(): void {
    this.navigation.drawerOpen = false;
    this.navigation.pane = "list";
    this.navigation.wishSearch();
  }

  async pin(id: string, pinned: boolean): Promise<void> {
    await this.parts.device.pinNote(id, pinned);
    await this.notes.load();
  }

  showNotes(filter: NoteFilter): void {
    this.search.clear();
    this.notes.filter = filter;
    this.navigation.drawerOpen = false;
    this.navigation.pane = "list";
  }

  async trash(id: string): Promise<void> {
    await this.#saveFirst();
    const next = this.#neighbourOf(id);
    await this.parts.device.trashNote(id);
    await this.notes.load();
    if (this.current.id === id) {
      this.navigation.pane = "list";
      if (next === null) await this.current.close();
      else await this.current.open(next);
    }
    const notice = this.notices.show("Moved to trash.", {
      label: "Undo",
      run: () => this.attempt(() => this.restore(id)),
    });
    this.#undo = { note: id, notice };
  }

  async restore(id: string): Promise<void> {
    await this.parts.device.restoreNote(id);
    await this.notes.load();
  }

  /**
   * Deletes a note in the trash from this device for ever, or everything in it.
   * @param note null for everything
   * @param unsentToo also what is only on this device
   */
  async deleteForEver(note: NoteRow | null, unsentToo: boolean): Promise<void> {
    if (note === null) this.notices.show(emptiedWords(await this.bin.empty(unsentToo)));
    else {
      await this.bin.purge(note.id, unsentToo);
      this.notices.show("Deleted for ever.");
    }
    await this.#loadNotes();
    if (this.#undo !== null && this.notes.row(this.#undo.note) === null) {
      this.notices.dismiss(this.#undo.notice);
    }
  }

  /** How many bytes the files are shorter now. */
  async freeSpace(): Promise<number> {
    const { bytes } = await this.parts.device.freeSpace();
    await this.storage.load();
    return bytes;
  }

  /** Resolves to the note's id in the other notebook. */
  async moveNote(id: string, notebook: string): Promise<string> {
    await this.#saveFirst();
    const moved = await this.parts.device.moveNote(id, notebook);
    await Promise.all([this.notes.load(), this.notebooks.load()]);
    if (this.current.id === id) await this.current.open(moved.id);
    return moved.id;
  }

  async copyMarkdown(): Promise<void> {
    await this.parts.copyText(this.current.asMarkdown());
    this.notices.show("Copied as Markdown.");
  }

  downloadMarkdown(): void {
    const { title } = this.current;
    this.parts.saveTextFile(markdownFileName(title), this.current.asMarkdown());
  }

  async createNotebook(name: string): Promise<string> {
    const { id } = await this.parts.device.createNotebook(name);
    await this.notebooks.load();
    return id;
  }

  /** For sharing it alone: with its history in a notebook of its own. Resolves to the id of that notebook. */
  async giveOwnNotebook(note: NoteRow): Promise<string> {
    await this.#saveFirst();
    const own = await this.parts.device.shareNote(note.id);
    await Promise.all([this.notes.load(), this.notebooks.load()]);
    if (this.current.id === note.id) await this.current.open(own.id);
    return own.notebook;
  }

  async leaveNotebook(notebook: NotebookRow): Promise<void> {
    await this.#saveFirst();
    await this.parts.device.leaveNotebook(notebook.id);
    await this.reload();
    this.notices.show(`You have left “${this.notebookName(notebook)}”.`);
  }

  /** For everybody in it; it can be brought back for 30 days. */
  async deleteNotebook(notebook: NotebookRow): Promise<void> {
    await this.#saveFirst();
    const holdsCurrent = this.openRow?.notebook === notebook.id;
    await this.parts.device.deleteNotebook(notebook.id);
    await this.reload();
    const { filter } = this.notes;
    if (filter.type === "notebook" && filter.id === notebook.id) this.showNotes({ type: "all" });
    if (holdsCurrent) await this.current.close();
    this.notices.show(`“${this.notebookName(notebook)}” is deleted.`, {
      label: "Undo",
      run: () => this.attempt(() => this.restoreNotebook(notebook)),
    });
  }

  async restoreNotebook(notebook: NotebookRow): Promise<void> {
    await this.parts.device.restoreNotebook(notebook.id);
    await this.reload();
    this.notices.show(`“${this.notebookName(notebook)}” is back.`);
  }

  /** What is still here of a notebook that ended, in an own one. Resolves to how many notes were copied. */
  async keepCopy(notebook: NotebookRow): Promise<number> {
    await this.#saveFirst();
    const name = `${this.notebookName(notebook)}, my copy`;
    const { notebook: copy, notes } = await this.parts.device.keepCopy(notebook.id, name);
    await Promise.all([this.notes.load(), this.notebooks.load()]);
    this.showNotes({ type: "notebook", id: copy });
    return notes;
  }

  async join(link: string): Promise<void> {
    const { notebook } = await this.parts.device.join(link);
    await this.reload();
    this.navigation.link = null;
    const isSingle = this.notebooks.row(notebook)?.single === true;
    this.showNotes(isSingle ? { type: "shared" } : { type: "notebook", id: notebook });
    await this.current.close();
    await this.#openNewestToCome();
  }

  async declineLink(): Promise<void> {
    this.navigation.link = null;
    if (this.current.id === null) await this.start({ opensNote: true });
  }

  postponeWords(): void {
    this.#wordsRestUntil = this.parts.timers.now() + wordsRestMs;
    this.parts.preferences.set("words-rest-until", String(this.#wordsRestUntil));
  }

  async confirmWords(answers: Readonly<Record<number, string>>): Promise<void> {
    await this.parts.device.confirmWords(answers);
    await this.device.load();
  }

  restoreFromWords(words: string): Promise<void> {
    return this.#replaced(() => this.parts.device.restore(words));
  }

  /** With a link from another device of this person. */
  async becomeDevice(link: string): Promise<void> {
    await this.#replaced(() => this.parts.device.becomeDevice(link));
    this.navigation.link = null;
    this.notices.show("Your notes are coming to this device.");
  }

  /** What is here is given up for what comes; nothing is, where the device refuses. */
  async #replaced(work: () => Promise<void>): Promise<void> {
    await this.current.close();
    try {
      await work();
    } finally {
      await this.reload();
      await this.#openNewestToCome();
    }
  }

  /** The newest note in view, now or as soon as one arrives, unless the person chooses another first. */
  async #openNewestToCome(): Promise<void> {
    this.#awaitsNote = this.current.id === null;
    const [newest] = this.notes.shown;
    if (!this.#awaitsNote || newest === undefined) return;
    this.#awaitsNote = false;
    await this.current.open(newest.id);
  }

  /** Runs what a click asked for; a refusal becomes a notice, anything else is reported too. */
  attempt(work: () => Promise<unknown>): void {
    work().catch((error: unknown) => {
      if (!isRefusal(error)) this.parts.onFault(error);
      this.notices.show(sentenceOf(error));
    });
  }

  /** What is shared alone is called as its note is. */
  notebookName(row: NotebookRow): string {
    const note = row.single ? this.notes.rows.find(({ notebook }) => notebook === row.id) : null;
    return note?.title || row.name || "Untitled notebook";
  }

  /** Where a note stands, for a line beside it. */
  placeName(row: NotebookRow): string {
    if (!row.single) return this.notebookName(row);
    const parent = this.notebooks.row(row.parent);
    return parent === null ? "Shared" : this.notebookName(parent);
  }

  /** A note that is shared alone is listed with those of another notebook from now on, for this person. */
  async listIn(notebook: NotebookRow, parent: string): Promise<void> {
    await this.parts.device.nestNotebook(notebook.id, parent);
    await this.notebooks.load();
  }

  #writableId(notebook: string): string | null {
    return this.notebooks.writable().some((row) => row.id === notebook) ? notebook : null;
  }

  #neighbourOf(id: string): string | null {
    const ids = this.search.isActive
      ? this.search.hits.map((hit) => hit.id)
      : this.notes.shown.map((row) => row.id);
    const index = ids.indexOf(id);
    return ids[index + 1] ?? ids[index - 1] ?? null;
  }

  #tick(): void {
    this.now = this.parts.timers.now();
    this.parts.timers.after(30_000, () => this.#tick());
  }
}

export const [useApp, provideApp] = createContext<App>();
