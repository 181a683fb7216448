/**
 * A device: one installation with its store, its keys and its connection to a relay. The browser's
 * worker and the command line run this same class; neither a screen nor a platform is known here.
 * What it can do lives in its parts; here they are put together, woken and closed.
 */
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { SearchIndex } from "#crdt-store/search-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { isDiskFull } from "#crdt-store/store-error.ts";
import { inviteTokenBytes } from "#relay/protocol/access.ts";
import { equal, parseBase64url, toHex } from "#relay/protocol/bytes.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { wordsOf } from "#client/crypto/phrase.ts";
import { cleanName, personColours } from "#client/crypto/profile.ts";
import type { Keep } from "#client/sync/keep.ts";
import type { Clock, Dial, Random, Timers } from "#client/sync/ports.ts";
import { readFirstFromNowOn } from "#client/sync/reads-first.ts";
import type { Twin } from "#client/sync/receiver.ts";
import type { SessionListener } from "#client/sync/session.ts";
import type { OpenDocument } from "#client/sync/snapshots.ts";
import type { Space } from "#client/sync/space.ts";
import { Admission } from "./admission.ts";
import type {
  AccessRenewal,
  CallName,
  Commit,
  ConflictRow,
  DeviceApi,
  DeviceEvent,
  DeviceInfo,
  DeviceRow,
  Draft,
  EmptiedTrash,
  FieldSplice,
  FoundByWords,
  LinkPreview,
  LinkTerms,
  LogLine,
  NoteAuthor,
  NotebookRow,
  NoteField,
  NoteRow,
  NoteSync,
  OpenedNote,
  RelayInfo,
  RemovedDevice,
  RenewalDays,
  RetentionSettings,
  Role,
  SearchAnswer,
  Sharing,
  StorageReport,
  SyncReport,
  SyncStatus,
  TrashedNote,
} from "./api.ts";
import { Arrival } from "./arrival.ts";
import { Authors } from "./authors.ts";
import { Background } from "./background.ts";
import { Carets } from "./carets.ts";
import { ConflictReview } from "./conflict-review.ts";
import { Closing } from "./closing.ts";
import { Compaction, defaultPackingLimits, type PackingLimits } from "./compaction.ts";
import { DeviceLinks } from "./device-links.ts";
import { DeviceRemoval } from "./device-removal.ts";
import { Culprits } from "./culprits.ts";
import { DeviceDocuments } from "./documents.ts";
import { Endings } from "./endings.ts";
import { DeviceEvents } from "./events.ts";
import { failureWords } from "./failure-words.ts";
import { loadDisplayName, loadEntropy, loadIdentity, loadPersonColour } from "./identity.ts";
import { takeNewIncarnation } from "./incarnation.ts";
import type { Automerge } from "./index-document.ts";
import { Homes } from "./homes.ts";
import { Indices } from "./indices.ts";
import { KeyCare } from "./key-care.ts";
import { Materialiser } from "./materialiser.ts";
import { Moving } from "./moving.ts";
import { NoteRows } from "./note-rows.ts";
import { Membership } from "./membership.ts";
import { noteSync } from "./note-sync.ts";
import { openInProcess } from "./open-document.ts";
import { Notebooks } from "./notebooks.ts";
import { Notes, type NoteText } from "./notes.ts";
import { OwnDevices } from "./own-devices.ts";
import { People } from "./people.ts";
import { hueOfDevice } from "./people-rows.ts";
import { Progress } from "./progress.ts";
import { RecoveryWords, type WordAnswers } from "./recovery-words.ts";
import { reAuthor } from "./re-author.ts";
import { refuse } from "./refusal.ts";
import { relayAddress } from "./relay-address.ts";
import { RelayDesk } from "./relay-desk.ts";
import { RelayEnquiry, type ReadPage } from "./relay-enquiry.ts";
import type { RelayQuestions } from "./relay-questions.ts";
import { Renewal } from "./renewal.ts";
import { Retention } from "./retention.ts";
import { Search } from "./search.ts";
import { Shelf } from "./shelf.ts";
import { removedStatus } from "./status-word.ts";
import { areUpToDate, syncStatus } from "./relay-status.ts";
import { defaultSnapshotLimits, SnapshotMaker, type SnapshotLimits } from "./snapshot-maker.ts";
import { StorageWatch } from "./storage-watch.ts";
import { VaultAccess } from "./vault-access.ts";
import { previewWords } from "./words-preview.ts";
import { logLines, makeSyncReport } from "./sync-report.ts";
import { saveWorkOffline } from "./work-offline.ts";

export interface DevicePorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** 0 ≤ x < 1, for jitter. */
  readonly chance: () => number;
  readonly dial: Dial;
  /** Resolves to an initialised Automerge; asked when a document is first needed here. */
  readonly automerge: () => Promise<Automerge>;
  /** Whether the tab behind a session still lives: its draft is then its own affair. */
  readonly sessionAlive: (session: string) => Promise<boolean>;
  /** How the platform calls this device, until its owner says otherwise. */
  readonly deviceName: string;
  /** Where the relay listens (ws:// or wss://), unless the store remembers another. */
  readonly relayUrl: string | null;
  /** False where nothing outlives the window. */
  readonly durable: boolean;
  /** Stay connected from the start, or connect only when a step needs the relay. */
  readonly connect: "always" | "on-demand";
  /** Where the store is, as far as the platform tells: bytes that all files take, and bytes that still can be written. */
  readonly disk?: () => Promise<{ readonly used: number | null; readonly free: number | null }>;
  /** The relay whose app this is; without it none is. */
  readonly servedBy?: string;
  /** Without it what the relay says of itself cannot be read. */
  readonly readPage?: ReadPage;
  /** Takes a document apart that somebody else saved; by default in this thread. */
  readonly openDocument?: OpenDocument;
  /** When a document is summed up for the relay; by default when it is worth it. */
  readonly snapshots?: SnapshotLimits;
  /** When a document's changes are packed; by default when it is worth it. */
  readonly packing?: PackingLimits;
  /** An empty store in memory; whoever asks closes it. */
  readonly openScratchStore: () => Promise<Store>;
  /** Asked once, when the index is first needed; null where nothing is to be searched. The device closes it. */
  readonly openSearchIndex: (() => Promise<SearchIndex>) | null;
}

export class Device implements DeviceApi {
  readonly #ports: DevicePorts;
  readonly #store: Store;
  readonly #events: DeviceEvents;
  readonly #progress: Progress;
  readonly #background: Background;
  readonly #shelf: Shelf;
  readonly #desk: RelayDesk;
  readonly #enquiry: RelayEnquiry;
  readonly #indices: Indices;
  readonly #rows: NoteRows;
  readonly #materialiser: Materialiser;
  readonly #compaction: Compaction;
  readonly #conflicts: ConflictReview;
  readonly #snapshots: SnapshotMaker;
  readonly #moving: Moving;
  readonly #openDocument: OpenDocument;
  readonly #culprits: Culprits;
  readonly #search: Search;
  readonly #notes: Notes;
  readonly #retention: Retention;
  readonly #notebooks: Notebooks;
  readonly #membership: Membership;
  readonly #people: People;
  readonly #closing: Closing;
  readonly #keyCare: KeyCare;
  readonly #authors: Authors;
  readonly #admission: Admission;
  readonly #words: RecoveryWords;
  readonly #ownDevices: OwnDevices;
  readonly #deviceLinks: DeviceLinks;
  readonly #renewal: Renewal;
  readonly #removal: DeviceRemoval;
  readonly #endings: Endings;
  readonly #vaultAccess: VaultAccess;
  readonly #homes: Homes;
  readonly #carets: Carets;
  readonly #storage: StorageWatch;
  /** Notebooks, by space in hex, whose wrong key was told of. */
  readonly #toldMiskeyed = new Set<string>();
  #documents: Promise<DeviceDocuments> | null = null;
  /** Documents that the process before ended on, until they have been loaded with care. */
  readonly #suspects: Uint8Array[] = [];
  #closed = false;
  /** Being seen to. */
  #meetsTwin = false;

  private constructor(ports: DevicePorts) {
    this.#ports = ports;
    this.#store = ports.store;
    const { timers } = ports;
    const events = new DeviceEvents(timers, () => this.#status());
    const progress = new Progress(timers);
    const background = new Background(
      (error) =>
        this.#log("error", `Something went wrong in the background: ${failureWords(error)}.`),
      () => progress.moved(),
    );
    const shelf = new Shelf(ports);
    const openDocument = ports.openDocument ?? openInProcess(ports.automerge);
    const desk = new RelayDesk(
      { ...ports, openDocument, progress, spaces: () => shelf.spaces() },
      this.#sessionListener(),
    );
    const accessChanged = (space: Space): void => this.#renewal.changed(space);
    const indices = new Indices({ ...ports, shelf, desk, events, accessChanged });
    const documents = (): Promise<DeviceDocuments> => this.#loadedDocuments();
    const changedHere = (space: Space): void => this.#changedHere(space);
    const nameOf = (space: Space, dev: Uint8Array): string => this.#nameOf(space, dev);
    const parts = { ...ports, shelf, desk, indices, events, documents };
    const rows = new NoteRows({ ...parts, nameOf });
    const moved = (): void => events.notify("notes");
    const materialiser = new Materialiser({ ...ports, background, documents, moved });
    materialiser.add(rows);
    this.#conflicts = new ConflictReview({ ...parts, nameOf });
    materialiser.add(this.#conflicts);
    const limits = ports.packing ?? defaultPackingLimits;
    const mended = (doc: Uint8Array): void => this.#mended(doc);
    const culprits = new Culprits({ ...ports, mended });
    this.#culprits = culprits;
    this.#compaction = new Compaction({ ...parts, background, limits, culprits });
    this.#snapshots = new SnapshotMaker({
      ...parts,
      background,
      limits: ports.snapshots ?? defaultSnapshotLimits,
    });
    this.#openDocument = openDocument;
    this.#events = events;
    this.#progress = progress;
    this.#background = background;
    this.#shelf = shelf;
    this.#desk = desk;
    const { readPage = null, servedBy = null } = ports;
    this.#enquiry = new RelayEnquiry({ ...parts, progress, readPage, servedBy });
    this.#indices = indices;
    this.#rows = rows;
    this.#materialiser = materialiser;
    this.#search = new Search({ ...parts, materialiser });
    const arrival = new Arrival({ ...parts, progress });
    const moving = new Moving({ ...parts, background, rows, changedHere });
    this.#moving = moving;
    this.#notes = new Notes({ ...parts, rows, materialiser, arrival, moving, changedHere });
    this.#retention = new Retention({ ...parts, background, notes: this.#notes });
    this.#notebooks = new Notebooks({ ...parts, changedHere });
    this.#membership = new Membership(parts);
    const withMembership = { ...parts, membership: this.#membership };
    this.#people = new People({ ...withMembership, servedBy });
    this.#closing = new Closing(withMembership);
    this.#keyCare = new KeyCare({ ...withMembership, background });
    this.#authors = new Authors(parts);
    this.#admission = new Admission({ ...parts, progress, servedBy, people: this.#people });
    this.#words = new RecoveryWords(ports);
    this.#ownDevices = new OwnDevices({ ...parts, background });
    const managing = { ...parts, background, progress, membership: this.#membership };
    this.#deviceLinks = new DeviceLinks(managing);
    this.#renewal = new Renewal(managing);
    this.#removal = new DeviceRemoval({ ...managing, renewal: this.#renewal });
    this.#endings = new Endings({ ...managing, closing: this.#closing });
    const entering = { admission: this.#admission, removal: this.#removal };
    this.#vaultAccess = new VaultAccess({ ...managing, ...entering });
    this.#homes = new Homes({
      ...parts,
      rows,
      progress,
      background,
      notes: this.#notes,
      membership: this.#membership,
      changedHere,
    });
    this.#carets = new Carets({
      desk,
      events,
      nameOf,
      hueOf: (space, dev) => hueOfDevice(space, shelf, dev),
    });
    const changed = (isFull: boolean): void => this.#storageChanged(isFull);
    this.#storage = new StorageWatch({ ...ports, changed });
  }

  /** Takes the store as it is; a fresh one has no identity until {@link create} or {@link restore}. */
  static open(ports: DevicePorts): Device {
    const device = new Device(ports);
    if (device.hasIdentity) device.#wake();
    return device;
  }

  get hasIdentity(): boolean {
    return this.#shelf.vaultId !== null;
  }

  /** A new identity with its vault and a first notebook; works offline. Returns the 24 words. */
  create(): readonly string[] {
    if (this.hasIdentity) refuse("refused", "This device already has an identity.");
    const entropy = this.#ports.random(32);
    this.#shelf.begin(entropy);
    this.#wake();
    return wordsOf(entropy);
  }

  /** Opens what the store holds, starts synchronising it and completes what was left open. */
  #wake(): void {
    for (const words of this.#shelf.mend()) this.#log("warning", words);
    this.#suspects.push(...this.#culprits.afterCrash());
    this.#ownDevices.logMoved();
    if (this.#ports.connect === "always") this.connect();
    // A connection from before there was an identity knows no space yet.
    for (const space of this.#shelf.spaces()) this.#desk.add(space);
    this.#completeWhatIsOpen();
  }

  #completeWhatIsOpen(): void {
    this.#background.add(async () => {
      await this.#notes.recoverDrafts();
      const documents = await this.#loadedDocuments();
      if (this.#closed) return;
      this.#indices.settle(documents);
      for (const space of this.#shelf.spaces()) this.#homes.look(documents, space);
      this.#store.transaction(() => {
        this.#ownDevices.introduce(documents);
        this.#indices.keepBackupKey(documents);
      });
      for (const space of this.#shelf.spaces()) this.#accessMoved(space);
      // Whoever comes for one step only is not kept waiting by an index nobody may ask for.
      if (this.#ports.connect === "always") void this.#search.begin(true);
    });
    this.#background.add(() => this.#compaction.unpackMarked());
    this.#materialiser.soon();
    this.#compaction.soon();
    this.#retention.begin();
    if (this.#ports.connect === "always") this.#keyCare.begin();
  }

  #storageChanged(isFull: boolean): void {
    if (!isFull) {
      this.#log("warning", "This device was out of space for a while. It can write again.");
      if (this.hasIdentity) this.#completeWhatIsOpen();
      this.#desk.setOnline(true);
    }
    this.#events.notify("status");
  }

  /** Where this device's own relay listens, null if it knows none. */
  get relayUrl(): string | null {
    return this.#desk.url;
  }

  /** Starts synchronising, if a relay is known; again is harmless. */
  connect(): void {
    this.#desk.connect();
  }

  /** This is the device's own relay from now on; refused where another is. */
  setRelay(url: string): void {
    this.#desk.use(url);
  }

  /** Stops synchronising and settles what is under way. The store stays open: its owner closes it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#desk.close();
    this.#store.metrics.save();
    this.#storage.close();
    this.#materialiser.close();
    this.#compaction.close();
    this.#snapshots.close();
    this.#moving.close();
    this.#retention.close();
    this.#removal.close();
    this.#renewal.close();
    this.#deviceLinks.close();
    this.#keyCare.close();
    this.#events.close();
    await this.#background.close();
    await this.#search.close();
  }

  subscribe(listener: (event: DeviceEvent) => void): () => void {
    return this.#events.subscribe(listener);
  }

  async info(): Promise<DeviceInfo> {
    return {
      displayName: loadDisplayName(this.#store),
      colour: loadPersonColour(this.#store),
      words: loadEntropy(this.#store) === null ? "saved" : "unsaved",
      removed: this.#endings.isRemoved,
      durable: this.#ports.durable,
    };
  }

  async setDisplayName(name: string): Promise<void> {
    const clean = cleanName(name);
    if (clean === "") refuse("bad-input", "A name needs at least one visible character.");
    const documents = await this.#loadedDocuments();
    this.#store.transaction(() => this.#indices.renamePerson(documents, clean));
    this.#desk.tellName();
    this.#events.notify("notebooks");
  }

  async setColour(colour: number): Promise<void> {
    if (!(Number.isInteger(colour) && colour >= 0 && colour < personColours)) {
      refuse("bad-input", "There are eight colours, 0 to 7.");
    }
    const documents = await this.#loadedDocuments();
    this.#store.transaction(() => this.#indices.colourPerson(documents, colour));
    this.#events.notify("notebooks");
  }

  async redeemInvite(invite: string, relay: string | null = null): Promise<void> {
    const token = parseBase64url(invite.trim());
    if (token?.length !== inviteTokenBytes) {
      refuse("bad-input", "This is not an invitation: it has 22 letters and digits.");
    }
    const redeem = (at: RelayQuestions): Promise<Uint8Array> => at.redeem(token);
    const relayPub = await (relay === null
      ? this.#desk.visitOwn(redeem)
      : this.#desk.visit(relay, redeem));
    const documents = await this.#loadedDocuments();
    this.#store.transaction(() => this.#indices.keepAccessKey(documents, relayPub));
  }

  async status(): Promise<SyncStatus> {
    return this.#status();
  }

  #status(): SyncStatus {
    const { durable, servedBy = null } = this.#ports;
    const status = syncStatus({ store: this.#store, desk: this.#desk, durable, servedBy });
    return this.#endings.isRemoved ? { ...status, ...removedStatus } : status;
  }

  async storage(): Promise<StorageReport> {
    const disk = await this.#ports.disk?.();
    const index = this.#search.fileBytes();
    const { lists, ...use } = this.#store.storageUse();
    return {
      ...use,
      search: lists + index,
      files: disk?.used ?? this.#store.fileBytes() + index,
      free: disk?.free ?? null,
    };
  }

  relayInfo(relay: string | null = null): Promise<RelayInfo> {
    return this.#enquiry.ask(relay);
  }

  async tryStorage(): Promise<boolean> {
    return this.#storage.look();
  }

  /**
   * Resolves when everything here is acknowledged and everything there has been taken in, or, with
   * `false`, when `timeoutMs` have passed.
   */
  async settled(timeoutMs: number): Promise<boolean> {
    const look = (): true | null => {
      const isSettled = this.#background.idle && areUpToDate(this.#desk, this.#store);
      return isSettled ? true : null;
    };
    return (await this.#progress.until(look, timeoutMs)) ?? false;
  }

  /**
   * Sends what lists elsewhere are to show of the notes written here, for a process that ends; false where that took
   * longer than `withinMs`.
   */
  async sendCards(withinMs: number): Promise<boolean> {
    const { sessions } = this.#desk;
    const look = (): true | null => {
      const sent = sessions.map((session) => session.failing || session.sendCards());
      return sent.length > 0 && sent.every((isSent) => isSent) ? true : null;
    };
    return (await this.#progress.until(look, withinMs)) ?? false;
  }

  async syncLog(): Promise<readonly LogLine[]> {
    return logLines(this.#store);
  }

  async syncReport(): Promise<SyncReport> {
    const notes = this.#rows.list().filter(({ trashed }) => !trashed);
    return makeSyncReport(this.#store, this.#status(), notes);
  }

  async noteSync(id: string): Promise<NoteSync> {
    const { docId } = this.#notes.must(id);
    return noteSync(this.#store, docId, this.#rows.seenBy(docId));
  }

  async workOffline(offline: boolean): Promise<void> {
    saveWorkOffline(this.#store, offline);
    if (offline) this.#desk.disconnect();
    else if (this.#ports.connect === "always") this.connect();
    this.#progressed();
  }

  async conflicts(id?: string): Promise<readonly ConflictRow[]> {
    return this.#conflicts.rows(id === undefined ? undefined : this.#notes.must(id).docId);
  }

  async markReviewed(conflict: string): Promise<void> {
    this.#conflicts.markReviewed(conflict);
  }

  async shown(delays: readonly number[]): Promise<void> {
    for (const delay of delays) this.#store.metrics.measure("shown", delay);
  }

  async setOnline(online: boolean): Promise<void> {
    this.#desk.setOnline(online);
  }

  async setVisible(visible: boolean): Promise<void> {
    this.#desk.setVisible(visible);
  }

  async notes(): Promise<readonly NoteRow[]> {
    return this.#rows.list();
  }

  /** Derives every stale row now, for callers that read the list once. */
  async describeStale(): Promise<void> {
    await this.#background.settled();
    await this.#materialiser.all();
  }

  /**
   * Packs what has grown enough, beginning nothing after `mostMs`, and lets go what has been kept long enough: for a
   * process that ends.
   */
  async tidy(mostMs: number, scope: "everything" | "what-changed" = "everything"): Promise<void> {
    await this.#background.settled();
    try {
      await this.#compaction.now(mostMs, scope);
      this.#retention.now();
    } catch (error) {
      // What could not be packed or deleted stays as it is.
      if (!isDiskFull(error)) throw error;
    }
  }

  createNote(
    input: { notebook?: string; title?: string; body?: string },
    call?: CallName,
  ): Promise<{ id: string }> {
    return this.#notes.create(input, call);
  }

  openNote(id: string, session: string): Promise<OpenedNote> {
    return this.#notes.open(id, session);
  }

  async closeNote(id: string, session: string): Promise<void> {
    await this.setCursor(id, session, null);
  }

  draft(id: string, draft: Draft): Promise<void> {
    return this.#notes.draft(id, draft);
  }

  commit(id: string, commit: Commit): Promise<void> {
    return this.#notes.commit(id, commit);
  }

  /** The whole text of a note with the heads it stands at. */
  readNote(id: string): Promise<NoteText & { readonly id: string }> {
    return this.#notes.read(id);
  }

  /** The text a note had at `heads`. */
  readNoteAt(id: string, heads: readonly string[]): Promise<{ title: string; body: string }> {
    return this.#notes.readAt(id, heads);
  }

  /** Splices made against `heads`; what others wrote since stays. Resolves to the merged text. */
  spliceNote(
    id: string,
    heads: readonly string[],
    edits: readonly FieldSplice[],
  ): Promise<NoteText> {
    return this.#notes.splice(id, heads, edits);
  }

  trashNote(id: string): Promise<void> {
    return this.#notes.trash(id);
  }

  restoreNote(id: string): Promise<void> {
    return this.#notes.restore(id);
  }

  async trash(): Promise<readonly TrashedNote[]> {
    return this.#retention.trash();
  }

  async purgeNote(id: string, unsentToo: boolean): Promise<void> {
    this.#retention.purge(id, unsentToo);
  }

  async emptyTrash(unsentToo: boolean): Promise<EmptiedTrash> {
    return this.#retention.emptyTrash(unsentToo);
  }

  async retention(): Promise<RetentionSettings> {
    return this.#retention.settings();
  }

  async setRetention(settings: RetentionSettings): Promise<void> {
    this.#retention.set(settings);
  }

  async freeSpace(): Promise<{ bytes: number }> {
    return { bytes: this.#retention.freeSpace() };
  }

  search(typed: string, most: number): Promise<SearchAnswer> {
    return this.#search.find(typed, most);
  }

  /** Everything written up to now can be found when this resolves, for callers that search once. */
  async searchAll(typed: string, most: number): Promise<SearchAnswer> {
    await this.describeStale();
    await this.#search.catchUp();
    return this.#search.find(typed, most);
  }

  pinNote(id: string, pinned: boolean): Promise<void> {
    return this.#notes.pin(id, pinned);
  }

  async shareNote(id: string, call?: CallName): Promise<{ notebook: string; id: string }> {
    const name = this.#notes.must(id).row.title;
    const named = (part: string): CallName | undefined => call && `${call}/${part}`;
    const notebook = await this.createNotebook(name === "" ? "Note" : name, named("notebook"));
    const { id: moved } = await this.moveNote(id, notebook.id, named("note"));
    return { notebook: notebook.id, id: moved };
  }

  moveNote(id: string, notebook: string, call?: CallName): Promise<{ id: string }> {
    return this.#notes.move(id, notebook, call);
  }

  async notebooks(): Promise<readonly NotebookRow[]> {
    return this.#notebooks.list();
  }

  createNotebook(name: string, call?: CallName): Promise<{ id: string }> {
    return this.#notebooks.create(name, call);
  }

  renameNotebook(id: string, name: string): Promise<void> {
    return this.#notebooks.rename(id, name);
  }

  setNotebookColour(notebook: string, colour: number | null): Promise<void> {
    return this.#notebooks.setColour(notebook, colour);
  }

  setKeep(notebook: string, keep: Keep): Promise<void> {
    return this.#notebooks.setKeep(notebook, keep);
  }

  nestNotebook(notebook: string, parent: string | null): Promise<void> {
    return this.#notebooks.nest(notebook, parent);
  }

  sharing(notebook: string): Promise<Sharing> {
    return this.#people.sharing(notebook);
  }

  share(
    notebook: string,
    role: Role,
    terms: LinkTerms = {},
  ): Promise<{ readonly link: string; readonly id: string }> {
    return this.#admission.share(notebook, role, terms);
  }

  async revokeLink(notebook: string, link: string): Promise<void> {
    this.#people.revokeLink(notebook, link);
  }

  async removePerson(notebook: string, person: string): Promise<void> {
    this.#people.remove(notebook, person);
  }

  async setPersonRole(notebook: string, person: string, role: Role): Promise<void> {
    this.#people.setRole(notebook, person, role);
  }

  async setRenewal(notebook: string, everyDays: RenewalDays): Promise<void> {
    await this.#people.setRenewal(notebook, everyDays);
    this.#keyCare.soon();
  }

  leaveNotebook(notebook: string): Promise<void> {
    return this.#closing.leave(notebook);
  }

  deleteNotebook(notebook: string): Promise<void> {
    return this.#closing.delete(notebook);
  }

  restoreNotebook(notebook: string): Promise<void> {
    return this.#closing.restore(notebook);
  }

  async noteAuthors(id: string): Promise<readonly NoteAuthor[]> {
    const { docId, space } = this.#notes.must(id);
    return this.#authors.of(space, docId);
  }

  previewLink(link: string): Promise<LinkPreview> {
    return this.#admission.preview(link);
  }

  join(link: string): Promise<{ notebook: string }> {
    return this.#admission.join(link);
  }

  moveHome(notebook: string, relay: string): Promise<{ notebook: string }> {
    const address = relayAddress(relay);
    if (address === null) {
      refuse(
        "bad-relay",
        `“${relay}” is not the address of a relay. It looks like wss://notes.example.`,
      );
    }
    return this.#homes.move(notebook, address);
  }

  async words(): Promise<readonly string[] | null> {
    return this.#words.list();
  }

  async wordsCheck(): Promise<readonly number[]> {
    return this.#words.asked();
  }

  async confirmWords(answers?: WordAnswers): Promise<void> {
    this.#words.confirm(answers ?? null);
  }

  devices(): Promise<readonly DeviceRow[]> {
    return this.#ownDevices.list();
  }

  setDeviceName(name: string): Promise<void> {
    return this.#ownDevices.setName(name);
  }

  removeDevice(id: string): Promise<RemovedDevice> {
    return this.#removal.remove(id);
  }

  accessRenewal(): Promise<AccessRenewal> {
    return this.#renewal.report();
  }

  grantRenewal(notebook: string, renewed: string): Promise<void> {
    return this.#renewal.grant(notebook, renewed);
  }

  deviceLink(): Promise<{ link: string; expiresAt: number }> {
    return this.#deviceLinks.show();
  }

  async cancelDeviceLink(): Promise<void> {
    this.#deviceLinks.cancel();
  }

  /** Opens the vault that the words name and makes this device one of its own. */
  async restore(words: string): Promise<void> {
    this.#entered(await this.#vaultAccess.restore(words));
  }

  async becomeDevice(link: string): Promise<void> {
    this.#entered(await this.#vaultAccess.become(link));
  }

  previewWords(words: string): Promise<FoundByWords> {
    return previewWords(
      { ...this.#ports, openDocument: this.#openDocument, desk: this.#desk },
      words,
    );
  }

  async shutOthersOut(words: string): Promise<RemovedDevice> {
    await this.restore(words);
    await this.#vaultAccess.shutOthersOut(words);
    this.#entered("again");
    return this.#removal.outcome();
  }

  #entered(how: Awaited<ReturnType<VaultAccess["restore"]>>): void {
    if (how === "was-it-already") return;
    if (how === "another") this.#wake();
    else {
      this.#background.add(async () => {
        const documents = await this.#loadedDocuments();
        this.#store.transaction(() => this.#ownDevices.introduce(documents));
      });
    }
    this.#events.notify("notes");
    this.#events.notify("notebooks");
    this.#events.notify("devices");
  }

  async setCursor(
    id: string,
    session: string,
    cursor: { field: NoteField; anchor: string; head: string } | null,
  ): Promise<void> {
    const note = this.#notes.find(id);
    if (note === null) return;
    const caret = cursor === null ? null : { docId: note.docId, ...cursor };
    this.#carets.tell(note.space, session, caret);
  }

  /** A tab has gone without closing its notes: its caret leaves, its draft becomes a change. */
  tabGone(session: string): void {
    for (const space of this.#shelf.spaces()) this.#carets.tell(space, session, null);
    this.#background.add(() => this.#notes.recoverDrafts());
  }

  #sessionListener(): SessionListener {
    return {
      progress: () => this.#progressed(),
      journalled: (space, docId, isNews) => {
        if (!isIndexOf(space, docId)) this.#rows.markStale(space, docId, isNews);
      },
      listed: (space, docId, card) => {
        if (isIndexOf(space, docId) || space.kind === "vault") return;
        this.#rows.listed(space, docId, card);
      },
      fetching: () => this.#fetchingMoved(),
      changes: (space, docId, changes) => this.#received(space, docId, changes),
      members: (space) => {
        space.reload();
        this.#accessMoved(space);
        this.#events.notify("notebooks");
      },
      presence: (space) => this.#carets.changed(space),
      ended: (space) => this.#endings.ended(space),
      miskeyed: (space) => this.#miskeyed(space),
      displaced: (space, records) => this.#membership.writeAnew(space, records),
      unpack: () => this.#background.add(() => this.#compaction.unpackMarked()),
      builtUpon: (docId, hashes) => this.#culprits.readmit(docId, hashes),
      twin: (space, twin) => this.#meetTwin(space, twin),
      unvouched: (space) => this.#membership.vouch(space),
      forked: () => this.#forked(),
      madeGood: (changes) => this.#madeGood(changes),
      log: (level, text) => this.#log(level, text),
    };
  }

  #received(space: Space, docId: Uint8Array, changes: readonly Uint8Array[]): void {
    if (isIndexOf(space, docId)) {
      this.#background.add(async () => {
        const documents = await this.#loadedDocuments();
        this.#indices.reload(documents, space);
        this.#renewal.indexRead(documents, space);
        this.#homes.look(documents, space);
      });
      return;
    }
    const arrivedAt = this.#ports.clock.now();
    const id = documentIdToText(docId);
    this.#events.emit({ type: "changes", id, session: null, changes, arrivedAt });
    this.#materialiser.soon();
    this.#events.notify("notes");
  }

  #fetchingMoved(): void {
    this.#progress.moved();
    this.#events.notify("fetching");
    this.#events.notify("status");
    this.#events.notify("notes");
    this.#events.notify("notebooks");
  }

  /** Who may open a space, or what with, is not what it was. */
  #accessMoved(space: Space): void {
    if (space.kind !== "vault") {
      this.#renewal.changed(space);
      this.#keyCare.soon();
      return;
    }
    this.#ownDevices.logMoved();
    this.#events.notify("devices");
    this.#deviceLinks.moved();
  }

  /** Something of a note was set aside: whoever has it open opens it without that. */
  #mended(doc: Uint8Array): void {
    this.#events.emit({ type: "mended", id: documentIdToText(doc) });
    this.#events.notify("notes");
  }

  /**
   * A copy of this store goes on beside it. This one takes keys of its own, makes again what it wrote under a name that the
   * copy has used as well, and reads on.
   */
  #meetTwin({ id, hex }: Space, { collision }: Twin): void {
    if (this.#meetsTwin) return;
    this.#meetsTwin = true;
    this.#desk.disconnect();
    this.#background.add(async () => {
      const documents = await this.#loadedDocuments();
      try {
        this.#store.transaction(() => {
          readFirstFromNowOn(this.#store);
          const before = loadIdentity(this.#store);
          if (before !== null && collision === null) takeNewIncarnation(this.#ports, before);
          this.#shelf.reopen();
          const space = this.#shelf.get(id);
          if (space === undefined) throw new Error(`the space ${hex} is not open any more`);
          if (collision !== null) reAuthor({ ...this.#ports, documents }, space, collision);
        });
        this.#log(
          "warning",
          "These notes were copied or put back to an older state, and both copies were written in. This one goes on under a name of its own. Nothing is lost.",
        );
      } finally {
        this.#meetsTwin = false;
        this.#indices.forget();
        this.#desk.connect();
      }
      if (collision !== null) this.#mended(collision.doc);
    });
  }

  #miskeyed(space: Space): void {
    const rotation = space.records.findLast(({ record }) => record.body.type === "rotate");
    const signer = rotation === undefined ? "" : toHex(rotation.record.signerPub);
    const { members, name } = this.#shelf.facts(space.id);
    const who = members.find(({ cap }) => cap === signer)?.name ?? "whoever manages it";
    const text = `${name} cannot be opened further: ${who} gave this device a key that is not the notebook's. Ask them to renew its keys. What you had received is still on this device.`;
    if (this.#toldMiskeyed.has(space.hex)) return;
    this.#toldMiskeyed.add(space.hex);
    this.#log(
      "error",
      "A notebook's administrator gave this device a key that is not the notebook's.",
    );
    this.#events.emit({ type: "notice", text });
  }

  #forked(): void {
    const text =
      "The relay has shown different people different things in one notebook. Nothing of yours is lost: everything that came is kept. Tell whoever runs the relay.";
    this.#log("error", text);
    this.#events.emit({ type: "notice", text });
    this.#events.notify("status");
  }

  #madeGood(changes: number): void {
    if (changes === 0) {
      this.#log("info", "The relay had lost some recent data. Everything is there again.");
      return;
    }
    const text = "The relay lost some recent data. This device has put it back.";
    this.#log("warning", text);
    this.#events.emit({ type: "notice", text });
  }

  /** Something was written here: tell the lists, and the relay. */
  #changedHere(space: Space): void {
    // In a tab that was open before the notebook had a new home.
    if (this.#shelf.successorOf(space) !== null) this.#homes.goOnSoon();
    this.#desk.poke(space);
    this.#materialiser.soon();
    this.#progressed();
  }

  #progressed(): void {
    this.#homes.moved();
    this.#snapshots.soon();
    this.#moving.soon();
    this.#progress.moved();
    this.#ownDevices.moved();
    this.#endings.moved();
    this.#removal.moved();
    this.#renewal.moved();
    this.#compaction.soon();
    this.#events.notify("status");
    this.#events.notify("notes");
  }

  #nameOf(space: Space, dev: Uint8Array): string {
    return (
      this.#shelf.nameOfDevice(space, dev) ??
      this.#desk.sessionOf(space)?.presentName(space, dev) ??
      "somebody"
    );
  }

  #loadedDocuments(): Promise<DeviceDocuments> {
    const damaged = (docId: Uint8Array): void => this.#compaction.recover(docId);
    this.#documents ??= this.#ports.automerge().then((loaded) => {
      const ports = { ...this.#ports, damaged, culprits: this.#culprits };
      const documents = new DeviceDocuments(ports, loaded);
      for (const doc of this.#suspects.splice(0)) documents.loadWithCare(doc);
      return documents;
    });
    return this.#documents;
  }

  #log(level: "info" | "warning" | "error", text: string): void {
    this.#store.syncLog.add(level, text);
  }
}

function isIndexOf(space: Space, docId: Uint8Array): boolean {
  return equal(docId, space.indexId);
}
