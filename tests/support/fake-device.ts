/**
 * A device in memory that behaves like the real one as far as a screen can tell: notes are Automerge
 * documents, commits change rows and are told as events. No relay: what "the relay" acknowledges is
 * set by the test. Needs Automerge's wasm initialised.
 */
import * as A from "@automerge/automerge/slim";
import { generateAutomergeUrl, parseAutomergeUrl } from "@automerge/automerge-repo/slim";

import type {
  AccessRenewal,
  Commit,
  ConflictRow,
  DeviceApi,
  DeviceEvent,
  DeviceInfo,
  DeviceRow,
  FoundByWords,
  DeviceRefusal,
  Draft,
  LinkPreview,
  NoteAuthor,
  NoteDocument,
  NoteRow,
  NoteSync,
  NotebookRow,
  PeerCursor,
  RelayInfo,
  RenewalDays,
  RetentionSettings,
  Role,
  SearchAnswer,
  StorageReport,
  SyncReport,
  SyncStatus,
} from "#client/device/api.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { hostOf } from "#client/device/relay-address.ts";
import { plainPreview, plainTitle } from "#client/notes/markdown.ts";
import { tagsOf } from "#client/notes/tags.ts";

import { FakeSharing } from "./fake-sharing.ts";

interface FakeNote {
  document: A.Doc<NoteDocument>;
  row: NoteRow;
}

type NoteInput = Partial<Omit<NoteRow, "id">> & { title?: string; body?: string };

export class FakeDevice implements DeviceApi {
  readonly drafts: Draft[] = [];
  readonly commits: Commit[] = [];
  readonly cursors: Parameters<DeviceApi["setCursor"]>[2][] = [];
  readonly shares: Parameters<DeviceApi["share"]>[] = [];
  readonly people = new FakeSharing();
  readonly searches: string[] = [];
  link: LinkPreview = {
    notebook: "b".repeat(64),
    name: "Garden",
    from: "Ana",
    role: "edit",
    notes: 3,
    single: false,
    alreadyJoined: false,
  };
  infoNow: DeviceInfo = {
    displayName: "",
    colour: null,
    words: "unsaved",
    removed: false,
    durable: true,
  };
  statusNow: SyncStatus = {
    word: "saved-here",
    waiting: 0,
    detail: "",
    relay: "wss://relay.example/",
    connected: true,
    lastAckAt: null,
    durable: true,
    full: false,
    workingOffline: false,
    fetching: null,
    relays: [],
  };
  relayNow: RelayInfo = {
    relay: "wss://relay.example/v1",
    address: "https://relay.example/",
    connected: true,
    fingerprint: "3f0a 91c2 77de 0b45 a8e1 5c66 20f9 d413",
    about: {
      version: "0.2.0",
      protocol: 1,
      access: "invite",
      guests: true,
      limits: defaultLimits,
      keyBytes: 4 * 2 ** 30,
    },
    aboutAt: 0,
    trouble: "",
    servesThisApp: true,
    notebooks: { all: 3, own: 2 },
    holdsAccessKey: true,
    stored: { bytes: 2_400_000, at: 0 },
    lastAckAt: 0,
  };
  retentionNow: RetentionSettings = { trashDays: null, logDays: 30, conflictDays: 90 };
  storageNow: StorageReport = {
    files: 2_400_000,
    notes: 1_300_000,
    search: 600_000,
    waiting: 4_000,
    unused: 120_000,
    free: 8_400_000_000,
  };
  /** What drafts and commits are refused with until it is taken away. */
  failing: DeviceRefusal | null = null;
  /** Nothing is carried out before this has resolved. */
  silence: Promise<void> | null = null;
  /** Whether there is room when somebody looks. */
  hasRoom = true;
  log: { at: number; level: "info" | "warn" | "error"; text: string }[] = [];
  /** What the next call of the method is refused with. */
  readonly refusals = new Map<keyof DeviceApi, DeviceRefusal>();

  readonly #now: () => number;
  readonly #notes = new Map<string, FakeNote>();
  readonly #notebooks = new Map<string, NotebookRow>();
  readonly #listeners = new Set<(event: DeviceEvent) => void>();
  #lastNumber = 0;

  constructor(now: () => number) {
    this.#now = now;
    this.addNotebook("Notes");
  }

  onEvent(listener: (event: DeviceEvent) => void): void {
    this.#listeners.add(listener);
  }

  emit(event: DeviceEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  // ── what a test arranges ──────────────────────────────────────────────────────────────────────

  addNotebook(name: string, fields: Partial<NotebookRow> = {}): string {
    const id = fields.id ?? this.#hex(64);
    this.#notebooks.set(id, {
      id,
      name,
      role: "admin",
      shared: false,
      members: [{ name: "You", self: true }],
      notes: 0,
      keep: "everything",
      missing: 0,
      colour: null,
      single: false,
      parent: null,
      relay: null,
      former: [],
      state: "active",
      doubt: null,
      deletedAt: null,
      ...fields,
    });
    return id;
  }

  addNote(input: NoteInput = {}): string {
    const id = parseAutomergeUrl(generateAutomergeUrl()).documentId;
    const { title = "", body = "", ...fields } = input;
    const document = A.from<Record<string, unknown>>({
      format: 1,
      title,
      body,
      tags: {},
      attachments: {},
      createdAt: this.#now(),
      // Automerge's own type for a document made from plain values.
    }) as unknown as A.Doc<NoteDocument>;
    const row: NoteRow = {
      id,
      title: plainTitle({ title, body }),
      preview: plainPreview({ title, body }),
      tags: tagsOf({ tags: {}, body }),
      pinned: false,
      notebook: this.firstNotebook(),
      createdAt: this.#now(),
      updatedAt: this.#now(),
      trashed: false,
      here: true,
      state: "saved-here",
      waiting: 0,
      seenBy: [],
      quarantined: 0,
      awaiting: 0,
      ...fields,
    };
    this.#notes.set(id, { document, row });
    return id;
  }

  setRow(id: string, fields: Partial<NoteRow>): void {
    const note = this.#note(id);
    note.row = { ...note.row, ...fields };
    this.emit({ type: "notes" });
  }

  setStatus(fields: Partial<SyncStatus>): void {
    this.statusNow = { ...this.statusNow, ...fields };
    this.emit({ type: "status", status: this.statusNow });
  }

  setPeers(id: string, peers: readonly PeerCursor[]): void {
    this.emit({ type: "presence", id, peers });
  }

  /** Somebody else edits the body: as a change from another device. */
  editElsewhere(id: string, at: number, remove: number, insert: string): void {
    const note = this.#note(id);
    const before = A.getHeads(note.document);
    const other = A.change(A.clone(note.document), (draft) => {
      A.splice(draft, ["body"], at, remove, insert);
    });
    const changes = A.getChangesSince(other, before);
    note.document = A.applyChanges(note.document, changes)[0];
    this.emit({ type: "changes", id, session: null, changes });
  }

  cursorAt(id: string, at: number): string {
    return A.getCursor(this.#note(id).document, ["body"], at);
  }

  text(id: string): { title: string; body: string } {
    const { title, body } = this.#note(id).document;
    return { title, body };
  }

  firstNotebook(): string {
    const [first] = this.#notebooks.keys();
    if (first === undefined) throw new Error("the fake device has no notebook");
    return first;
  }

  // ── DeviceApi ─────────────────────────────────────────────────────────────────────────────────

  info = this.#method("info", () => this.infoNow);
  setDisplayName = this.#method("setDisplayName", (name: string) => {
    this.infoNow = { ...this.infoNow, displayName: name };
  });
  setColour = this.#method("setColour", (colour: number) => {
    this.infoNow = { ...this.infoNow, colour };
  });
  /** Invitations that were redeemed. */
  readonly redeemed: string[] = [];
  redeemInvite = this.#method("redeemInvite", (invite: string) => {
    this.redeemed.push(invite);
  });
  status = this.#method("status", () => this.statusNow);
  notes = this.#method("notes", () => [...this.#notes.values()].map(({ row }) => row));
  notebooks = this.#method("notebooks", () => [...this.#notebooks.values()]);
  createNote = this.#method(
    "createNote",
    ({ notebook, title, body }: { notebook?: string; title?: string; body?: string }) => {
      const id = this.addNote({
        notebook: notebook ?? this.firstNotebook(),
        title: title ?? "",
        body: body ?? "",
      });
      this.emit({ type: "notes" });
      return { id };
    },
  );
  openNote = this.#method("openNote", (id: string) => {
    const { document, row } = this.#note(id);
    return {
      id,
      chunks: [A.save(document)],
      actor: this.#hex(32),
      notebook: row.notebook,
      role: this.#notebooks.get(row.notebook)?.role ?? "edit",
      trashed: row.trashed,
    };
  });
  closeNote = this.#method("closeNote", () => undefined);
  draft = this.#method("draft", (_id: string, draft: Draft) => {
    if (this.failing !== null) throw this.failing;
    this.drafts.push(draft);
  });
  commit = this.#method("commit", (id: string, commit: Commit) => {
    if (this.failing !== null) throw this.failing;
    const note = this.#note(id);
    this.commits.push(commit);
    note.document = A.applyChanges(note.document, [...commit.changes])[0];
    this.setRow(id, {
      title: commit.title,
      preview: commit.preview,
      updatedAt: this.#now(),
      state: "saved-here",
      waiting: note.row.waiting + commit.changes.length,
      seenBy: [],
    });
  });
  trashNote = this.#method("trashNote", (id: string) => this.setRow(id, { trashed: true }));
  restoreNote = this.#method("restoreNote", (id: string) => this.setRow(id, { trashed: false }));
  /** Finds what contains the typed text, in title or preview; a test may answer in its place. */
  answer: ((typed: string) => SearchAnswer) | null = null;
  search = this.#method("search", (typed: string) => {
    this.searches.push(typed);
    if (this.answer !== null) return this.answer(typed);
    const wanted = typed.trim().toLowerCase();
    const hits = [...this.#notes.values()]
      .map(({ row }) => row)
      .filter((row) => !row.trashed && wanted !== "")
      .filter(({ title, preview }) => `${title} ${preview}`.toLowerCase().includes(wanted))
      .map(({ id, title, preview }) => ({
        id,
        title: [{ text: title, match: false }],
        snippet: [{ text: preview, match: false }],
        found: null,
      }));
    return { hits, total: hits.length, isMore: false, remarks: [], preparing: null };
  });
  pinNote = this.#method("pinNote", (id: string, pinned: boolean) => this.setRow(id, { pinned }));
  createNotebook = this.#method("createNotebook", (name: string) => {
    const id = this.addNotebook(name);
    this.emit({ type: "notebooks" });
    return { id };
  });
  renameNotebook = this.#method("renameNotebook", (id: string, name: string) => {
    this.#changeNotebook(id, { name });
  });
  setNotebookColour = this.#method("setNotebookColour", (id: string, colour: number | null) => {
    this.#changeNotebook(id, { colour });
  });
  nestNotebook = this.#method("nestNotebook", (id: string, parent: string | null) => {
    this.#changeNotebook(id, { parent });
  });
  setKeep = this.#method("setKeep", (id: string, keep: NotebookRow["keep"]) => {
    this.#changeNotebook(id, { keep });
  });
  moveNote = this.#method("moveNote", (id: string, notebook: string) => {
    const { row } = this.#note(id);
    const { createdAt, updatedAt } = row;
    const moved = this.addNote({ createdAt, updatedAt, ...this.text(id), notebook });
    this.#notes.delete(id);
    this.emit({ type: "notes" });
    return { id: moved };
  });
  shareNote = this.#method("shareNote", (id: string) => {
    const { row } = this.#note(id);
    const notebook = this.addNotebook(row.title || "Note", { single: true, parent: row.notebook });
    this.setRow(id, { notebook });
    return { notebook, id };
  });
  sharing = this.#method("sharing", (notebook: string) =>
    this.people.of(notebook, this.#notebooks.get(notebook)?.role),
  );
  share = this.#method("share", (...args: Parameters<DeviceApi["share"]>) => {
    const [notebook, role, { expiresAt = null, maxJoins = null } = {}] = args;
    this.shares.push(args);
    this.#changeNotebook(notebook, { shared: true });
    const { id, link } = this.people.addLink(notebook, { role, expiresAt, maxJoins });
    return { id, link: link ?? "" };
  });
  revokeLink = this.#method("revokeLink", (notebook: string, link: string) => {
    this.people.setLink(notebook, link, { state: "revoked", link: null });
  });
  removePerson = this.#method("removePerson", (notebook: string, person: string) => {
    this.people.setPerson(notebook, person, null);
  });
  setPersonRole = this.#method("setPersonRole", (notebook: string, person: string, role: Role) => {
    this.people.setPerson(notebook, person, { role });
  });
  setRenewal = this.#method("setRenewal", (notebook: string, everyDays: RenewalDays) => {
    this.people.set(notebook, { renewal: { everyDays, lastAt: null } });
  });
  leaveNotebook = this.#method("leaveNotebook", (id: string) => {
    this.#changeNotebook(id, { state: "ended" });
  });
  deleteNotebook = this.#method("deleteNotebook", (id: string) => {
    this.#changeNotebook(id, { state: "deleted", deletedAt: this.#now() });
  });
  restoreNotebook = this.#method("restoreNotebook", (id: string) => {
    this.#changeNotebook(id, { state: "active", deletedAt: null });
  });
  keepCopy = this.#method("keepCopy", (notebook: string, name: string) => {
    const copy = this.addNotebook(name);
    const rows = [...this.#notes.values()].filter(
      ({ row }) => row.notebook === notebook && row.here && !row.trashed,
    );
    for (const { row } of rows) {
      const { createdAt, updatedAt, pinned } = row;
      this.addNote({ createdAt, updatedAt, pinned, ...this.text(row.id), notebook: copy });
    }
    return { notebook: copy, notes: rows.length };
  });
  authors: readonly NoteAuthor[] = [];
  noteAuthors = this.#method("noteAuthors", () => this.authors);
  previewLink = this.#method("previewLink", () => this.link);
  join = this.#method("join", () => {
    const { notebook, name, role, single } = this.link;
    this.addNotebook(name, { id: notebook, role, single, shared: true });
    return { notebook };
  });
  words = this.#method("words", () =>
    this.infoNow.words === "unsaved" ? exampleWords.split(" ") : null,
  );
  wordsCheck = this.#method("wordsCheck", () => [3, 11, 20]);
  confirmWords = this.#method("confirmWords", (answers?: Readonly<Record<number, string>>) => {
    const words = exampleWords.split(" ");
    const wrong = [3, 11, 20].find((position) => answers?.[position] !== words[position - 1]);
    if (answers !== undefined && wrong !== undefined) {
      const refusal: DeviceRefusal = {
        code: "bad-words",
        message: `Word ${wrong} is not what you saved. Look again: your words are still on this device.`,
      };
      throw refusal;
    }
    this.infoNow = { ...this.infoNow, words: "saved" };
  });
  devicesNow: DeviceRow[] = [
    {
      id: "d".repeat(64),
      name: "Firefox on Linux",
      self: true,
      addedAt: 0,
      lastSeenAt: 0,
      fingerprint: "9c1e 44b0 e27a 01d8 5f3c 77a9 12be c06d",
      kind: "device",
    },
    {
      id: "e".repeat(64),
      name: "",
      self: false,
      addedAt: 0,
      lastSeenAt: null,
      fingerprint: "0b77 d1f2 93ac 5e18 4470 aa3b 8c9d 21e6",
      kind: "words",
    },
  ];
  devices = this.#method("devices", () => this.devicesNow);
  removeDevice = this.#method("removeDevice", (id: string) => {
    this.devicesNow = this.devicesNow.filter((row) => row.id !== id);
    this.emit({ type: "devices" });
    return { notebooks: this.#notebooks.size, waiting: [] };
  });
  renewalNow: AccessRenewal = { underWay: 0, waiting: [], requests: [] };
  accessRenewal = this.#method("accessRenewal", () => this.renewalNow);
  grantRenewal = this.#method("grantRenewal", (notebook: string, renewed: string) => {
    const { requests } = this.renewalNow;
    const left = requests.filter((row) => row.notebook !== notebook || row.renewed !== renewed);
    this.renewalNow = { ...this.renewalNow, requests: left };
  });
  deviceLink = this.#method("deviceLink", () => ({
    link: `https://notes.example/#1d.${"s".repeat(43)}.${"v".repeat(43)}`,
    expiresAt: this.#now() + 600_000,
  }));
  /** How often the offer to another device was taken back. */
  cancelled = 0;
  cancelDeviceLink = this.#method("cancelDeviceLink", () => void (this.cancelled += 1));
  setDeviceName = this.#method("setDeviceName", (name: string) => {
    this.devicesNow = this.devicesNow.map((row) => (row.self ? { ...row, name } : row));
    this.emit({ type: "devices" });
  });
  foundNow: FoundByWords = { notebooks: 3, devices: 2, lastChangeAt: 0 };
  previewWords = this.#method("previewWords", (_words: string) => this.foundNow);
  /** The link of another device that this one has used. */
  became: string | null = null;
  becomeDevice = this.#method("becomeDevice", (link: string) => {
    this.became = link;
    this.#notes.clear();
    this.addNote({ title: "Restored", body: "Back again." });
    this.infoNow = { ...this.infoNow, words: "saved" };
  });
  shutOthersOut = this.#method("shutOthersOut", (_words: string) => {
    this.devicesNow = this.devicesNow.filter(({ self, kind }) => self || kind === "words");
    this.emit({ type: "devices" });
    return { notebooks: this.#notebooks.size, waiting: [] };
  });
  restore = this.#method("restore", (_words: string) => {
    this.#notes.clear();
    this.addNote({ title: "Restored", body: "Back again." });
    this.infoNow = { ...this.infoNow, words: "saved" };
  });
  setCursor = this.#method(
    "setCursor",
    (_id: string, _session: string, cursor: Parameters<DeviceApi["setCursor"]>[2]) => {
      this.cursors.push(cursor);
    },
  );
  setOnline = this.#method("setOnline", () => undefined);
  setVisible = this.#method("setVisible", () => undefined);
  storage = this.#method("storage", () => this.storageNow);
  tryStorage = this.#method("tryStorage", () => {
    if (this.hasRoom && this.statusNow.full) this.setStatus({ word: "saved-here", full: false });
    return this.hasRoom;
  });
  moveHome = this.#method("moveHome", (notebook: string, relay: string) => {
    const row = this.#notebooks.get(notebook);
    if (row !== undefined) this.#notebooks.set(notebook, { ...row, relay });
    return { notebook };
  });

  relayInfo = this.#method("relayInfo", () => this.relayNow);
  trash = this.#method("trash", () =>
    [...this.#notes.values()]
      .filter(({ row }) => row.trashed)
      .map(({ row }) => ({ id: row.id, goesAt: null, unsent: row.waiting > 0 })),
  );
  purgeNote = this.#method("purgeNote", (id: string, _unsentToo: boolean) => {
    this.#notes.delete(id);
    this.emit({ type: "notes" });
  });
  emptyTrash = this.#method("emptyTrash", (unsentToo: boolean) => {
    const inTrash = [...this.#notes.values()].filter(({ row }) => row.trashed);
    const going = inTrash.filter(({ row }) => unsentToo || row.waiting === 0);
    for (const { row } of going) this.#notes.delete(row.id);
    this.emit({ type: "notes" });
    return { deleted: going.length, kept: inTrash.length - going.length };
  });
  retention = this.#method("retention", () => this.retentionNow);
  setRetention = this.#method("setRetention", (settings: RetentionSettings) => {
    this.retentionNow = settings;
  });
  freeSpace = this.#method("freeSpace", () => ({ bytes: this.storageNow.unused }));
  syncLog = this.#method("syncLog", () => this.log);
  /** What the report says beside the status and the log. */
  reportNow: Omit<SyncReport, keyof SyncStatus | "madeAt" | "log"> = {
    waitingNotes: 0,
    notes: { "saved-here": 0, "on-relay": 0, "seen-elsewhere": 0 },
    pushes: { taken: 0, refused: 0 },
    retries: [],
    times: { push: null, pull: null, upToDate: null, acknowledged: null, shown: null },
    divergence: { checks: 0, found: 0 },
    conflicts: { found: 0, open: 0, reviewed: 0 },
    quarantine: [],
  };
  syncReport = this.#method("syncReport", () => ({
    ...this.statusNow,
    relay: this.statusNow.relay === null ? null : hostOf(this.statusNow.relay),
    ...this.reportNow,
    madeAt: this.#now(),
    log: this.log,
  }));
  workOffline = this.#method("workOffline", (offline: boolean) => {
    this.setStatus({ workingOffline: offline, word: offline ? "offline" : "up-to-date" });
  });
  noteSyncNow: NoteSync = { seenBy: [], quarantine: [], conflicts: { open: 0, reviewed: 0 } };
  noteSync = this.#method("noteSync", () => this.noteSyncNow);
  conflictsNow: readonly ConflictRow[] = [];
  conflicts = this.#method("conflicts", (id?: string) =>
    this.conflictsNow.filter(({ note }) => id === undefined || note === id),
  );
  markReviewed = this.#method("markReviewed", (id: string) => {
    this.conflictsNow = this.conflictsNow.map((row) =>
      row.id === id ? { ...row, reviewed: true } : row,
    );
  });
  /** How long remote edits took to the screen, as tabs told. */
  readonly shownDelays: number[] = [];
  shown = this.#method("shown", (delays: readonly number[]) => {
    this.shownDelays.push(...delays);
  });

  #method<Args extends unknown[], Value>(
    name: keyof DeviceApi,
    run: (...args: Args) => Value,
  ): (...args: Args) => Promise<Value> {
    return async (...args) => {
      if (this.silence !== null) await this.silence;
      const refusal = this.refusals.get(name);
      this.refusals.delete(name);
      if (refusal !== undefined) throw refusal;
      return run(...args);
    };
  }

  #changeNotebook(id: string, fields: Partial<NotebookRow>): void {
    this.addNotebook("", { ...this.#notebooks.get(id), ...fields, id });
    this.emit({ type: "notebooks" });
  }

  #note(id: string): FakeNote {
    const note = this.#notes.get(id);
    if (note === undefined) {
      const refusal: DeviceRefusal = { code: "no-such-note", message: "This note is not here." };
      throw refusal;
    }
    return note;
  }

  #hex(digits: number): string {
    this.#lastNumber += 1;
    return this.#lastNumber.toString(16).padStart(digits, "0");
  }
}

const exampleWords =
  "legal winner thank year wave sausage worth useful legal winner thank year " +
  "wave sausage worth useful legal winner thank year wave sausage worth title";
