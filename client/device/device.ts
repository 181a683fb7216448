/**
 * A device: one installation with its store, its keys and its connection to a relay. The browser's
 * worker and the command line run this same class; neither a screen nor a platform is known here.
 * What it can do lives in its parts; here they are put together, woken and closed.
 */
import { isDiskFull } from "#crdt-store/store-error.ts";
import type { Store } from "#crdt-store/store.ts";
import { inviteTokenBytes } from "#relay/protocol/access.ts";
import { parseBase64url } from "#relay/protocol/bytes.ts";
import { wordsOf } from "#client/crypto/phrase.ts";
import { cleanName, personColours } from "#client/crypto/profile.ts";
import type { Keep } from "#client/sync/keep.ts";
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
import { assembleParts, type DeviceParts } from "./device-parts.ts";
import type { DevicePorts } from "./device-ports.ts";
import { loadDisplayName, loadEntropy, loadPersonColour } from "./identity.ts";
import { noteSync } from "./note-sync.ts";
import type { NoteText } from "./notes.ts";
import type { WordAnswers } from "./recovery-words.ts";
import { refuse } from "./refusal.ts";
import { relayAddress } from "./relay-address.ts";
import type { RelayQuestions } from "./relay-questions.ts";
import { areUpToDate } from "./relay-status.ts";
import { shareAlone } from "./single-notes.ts";
import { StorageWatch } from "./storage-watch.ts";
import { logLines, makeSyncReport } from "./sync-report.ts";
import type { VaultAccess } from "./vault-access.ts";
import { saveWorkOffline } from "./work-offline.ts";
import { previewWords } from "./words-preview.ts";

export class Device implements DeviceApi {
  readonly #ports: DevicePorts;
  readonly #store: Store;
  readonly #parts: DeviceParts;
  readonly #storage: StorageWatch;
  #closed = false;

  private constructor(ports: DevicePorts) {
    this.#ports = ports;
    this.#store = ports.store;
    this.#parts = assembleParts(ports);
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
    return this.#parts.shelf.vaultId !== null;
  }

  /** A new identity with its vault and a first notebook; works offline. Returns the 24 words. */
  create(): readonly string[] {
    if (this.hasIdentity) refuse("refused", "This device already has an identity.");
    const entropy = this.#ports.random(32);
    this.#parts.shelf.begin(entropy);
    this.#wake();
    return wordsOf(entropy);
  }

  /** Opens what the store holds, starts synchronising it and completes what was left open. */
  #wake(): void {
    for (const words of this.#parts.shelf.mend()) this.#store.syncLog.add("warning", words);
    this.#parts.documents.suspect(this.#parts.culprits.afterCrash());
    this.#parts.ownDevices.logMoved();
    if (this.#ports.connect === "always") this.connect();
    // A connection from before there was an identity knows no space yet.
    for (const space of this.#parts.shelf.spaces()) this.#parts.desk.add(space);
    this.#completeWhatIsOpen();
  }

  #completeWhatIsOpen(): void {
    this.#parts.background.add(async () => {
      await this.#parts.notes.recoverDrafts();
      const documents = await this.#parts.documents.loaded();
      if (this.#closed) return;
      this.#parts.indices.settle(documents);
      for (const space of this.#parts.shelf.spaces()) this.#parts.homes.look(documents, space);
      this.#store.transaction(() => {
        this.#parts.ownDevices.introduce(documents);
        this.#parts.indices.vault.keepBackupKey(documents);
      });
      for (const space of this.#parts.shelf.spaces()) this.#parts.reactions.accessMoved(space);
      // Whoever comes for one step only is not kept waiting by an index nobody may ask for.
      if (this.#ports.connect === "always") void this.#parts.search.begin(true);
    });
    this.#parts.trials.resume();
    this.#parts.background.add(() => this.#parts.compaction.unpackMarked());
    this.#parts.materialiser.soon();
    this.#parts.compaction.soon();
    this.#parts.retention.begin();
    if (this.#ports.connect !== "always") return;
    this.#parts.keyCare.begin();
    this.#parts.witnesses.begin();
  }

  #storageChanged(isFull: boolean): void {
    if (!isFull) {
      this.#store.syncLog.add(
        "warning",
        "This device was out of space for a while. It can write again.",
      );
      if (this.hasIdentity) this.#completeWhatIsOpen();
      this.#parts.desk.setOnline(true);
    }
    this.#parts.events.notify("status");
  }

  /** Where this device's own relay listens, null if it knows none. */
  get relayUrl(): string | null {
    return this.#parts.desk.url;
  }

  /** Starts synchronising, if a relay is known; again is harmless. */
  connect(): void {
    this.#parts.desk.connect();
  }

  /** This is the device's own relay from now on; refused where another is. */
  setRelay(url: string): void {
    this.#parts.desk.use(url);
  }

  /** Stops synchronising and settles what is under way. The store stays open: its owner closes it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#parts.desk.close();
    this.#store.metrics.save();
    this.#storage.close();
    this.#parts.materialiser.close();
    this.#parts.compaction.close();
    this.#parts.snapshots.close();
    this.#parts.moving.close();
    this.#parts.retention.close();
    this.#parts.removal.close();
    this.#parts.renewal.close();
    this.#parts.deviceLinks.close();
    this.#parts.keyCare.close();
    this.#parts.witnesses.close();
    this.#parts.events.close();
    this.#parts.opener.close();
    await this.#parts.trying.close();
    await this.#parts.background.close();
    await this.#parts.search.close();
  }

  subscribe(listener: (event: DeviceEvent) => void): () => void {
    return this.#parts.events.subscribe(listener);
  }

  async info(): Promise<DeviceInfo> {
    return {
      displayName: loadDisplayName(this.#store),
      colour: loadPersonColour(this.#store),
      words: loadEntropy(this.#store) === null ? "saved" : "unsaved",
      removed: this.#parts.endings.isRemoved,
      durable: this.#ports.durable,
    };
  }

  async setDisplayName(name: string): Promise<void> {
    const clean = cleanName(name);
    if (clean === "") refuse("bad-input", "A name needs at least one visible character.");
    const documents = await this.#parts.documents.loaded();
    this.#store.transaction(() => this.#parts.indices.renamePerson(documents, clean));
    this.#parts.desk.tellName();
    this.#parts.events.notify("notebooks");
  }

  async setColour(colour: number): Promise<void> {
    if (!(Number.isInteger(colour) && colour >= 0 && colour < personColours)) {
      refuse("bad-input", "There are eight colours, 0 to 7.");
    }
    const documents = await this.#parts.documents.loaded();
    this.#store.transaction(() => this.#parts.indices.colourPerson(documents, colour));
    this.#parts.events.notify("notebooks");
  }

  async redeemInvite(invite: string, relay: string | null = null): Promise<void> {
    const token = parseBase64url(invite.trim());
    if (token?.length !== inviteTokenBytes) {
      refuse("bad-input", "This is not an invitation: it has 22 letters and digits.");
    }
    const redeem = (at: RelayQuestions): Promise<Uint8Array> => at.redeem(token);
    const relayPub = await (relay === null
      ? this.#parts.desk.visitOwn(redeem)
      : this.#parts.desk.visit(relay, redeem));
    const documents = await this.#parts.documents.loaded();
    this.#store.transaction(() => this.#parts.indices.vault.keepAccessKey(documents, relayPub));
  }

  async status(): Promise<SyncStatus> {
    return this.#parts.status();
  }

  async storage(): Promise<StorageReport> {
    const disk = await this.#ports.disk?.();
    const index = this.#parts.search.fileBytes();
    const { lists, ...use } = this.#store.storageUse();
    return {
      ...use,
      search: lists + index,
      files: disk?.used ?? this.#store.fileBytes() + index,
      free: disk?.free ?? null,
    };
  }

  relayInfo(relay: string | null = null): Promise<RelayInfo> {
    return this.#parts.enquiry.ask(relay);
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
      const isIdle = this.#parts.background.idle && this.#parts.trying.idle;
      const isSettled = isIdle && areUpToDate(this.#parts.desk, this.#store);
      return isSettled ? true : null;
    };
    return (await this.#parts.progress.until(look, timeoutMs)) ?? false;
  }

  /**
   * Sends what lists elsewhere are to show of the notes written here, for a process that ends; false where that took
   * longer than `withinMs`.
   */
  async sendCards(withinMs: number): Promise<boolean> {
    const { sessions } = this.#parts.desk;
    const look = (): true | null => {
      const sent = sessions.map((session) => session.failing || session.sendCards());
      return sent.length > 0 && sent.every((isSent) => isSent) ? true : null;
    };
    return (await this.#parts.progress.until(look, withinMs)) ?? false;
  }

  async syncLog(): Promise<readonly LogLine[]> {
    return logLines(this.#store);
  }

  async syncReport(): Promise<SyncReport> {
    const notes = this.#parts.rows.list().filter(({ trashed }) => !trashed);
    return makeSyncReport(this.#store, this.#parts.status(), notes);
  }

  async noteSync(id: string): Promise<NoteSync> {
    const { docId } = this.#parts.notes.must(id);
    return noteSync(this.#store, docId, this.#parts.rows.seenBy(docId));
  }

  async workOffline(offline: boolean): Promise<void> {
    saveWorkOffline(this.#store, offline);
    if (offline) this.#parts.desk.disconnect();
    else if (this.#ports.connect === "always") this.connect();
    this.#parts.reactions.progressed();
  }

  async conflicts(id?: string): Promise<readonly ConflictRow[]> {
    return this.#parts.conflicts.rows(
      id === undefined ? undefined : this.#parts.notes.must(id).docId,
    );
  }

  async markReviewed(conflict: string): Promise<void> {
    this.#parts.conflicts.markReviewed(conflict);
  }

  async shown(delays: readonly number[]): Promise<void> {
    for (const delay of delays) this.#store.metrics.measure("shown", delay);
  }

  async setOnline(online: boolean): Promise<void> {
    this.#parts.desk.setOnline(online);
  }

  async setVisible(visible: boolean): Promise<void> {
    this.#parts.desk.setVisible(visible);
  }

  async notes(): Promise<readonly NoteRow[]> {
    return this.#parts.rows.list();
  }

  /** Derives every stale row now, for callers that read the list once. */
  async describeStale(): Promise<void> {
    await this.#parts.trying.settled();
    await this.#parts.background.settled();
    await this.#parts.materialiser.all();
  }

  /**
   * Packs what has grown enough, beginning nothing after `mostMs`, and lets go what has been kept long enough: for a
   * process that ends.
   */
  async tidy(mostMs: number, scope: "everything" | "what-changed" = "everything"): Promise<void> {
    await this.#parts.trying.settled();
    await this.#parts.background.settled();
    try {
      await this.#parts.compaction.now(mostMs, scope);
      this.#parts.retention.now();
    } catch (error) {
      // What could not be packed or deleted stays as it is.
      if (!isDiskFull(error)) throw error;
    }
  }

  createNote(
    input: { notebook?: string; title?: string; body?: string },
    call?: CallName,
  ): Promise<{ id: string }> {
    return this.#parts.notes.create(input, call);
  }

  openNote(id: string, session: string): Promise<OpenedNote> {
    return this.#parts.notes.open(id, session);
  }

  async closeNote(id: string, session: string): Promise<void> {
    await this.setCursor(id, session, null);
  }

  draft(id: string, draft: Draft): Promise<void> {
    return this.#parts.notes.draft(id, draft);
  }

  commit(id: string, commit: Commit): Promise<void> {
    return this.#parts.notes.commit(id, commit);
  }

  /** The whole text of a note with the heads it stands at. */
  readNote(id: string): Promise<NoteText & { readonly id: string }> {
    return this.#parts.notes.read(id);
  }

  /** The text a note had at `heads`. */
  readNoteAt(id: string, heads: readonly string[]): Promise<{ title: string; body: string }> {
    return this.#parts.notes.readAt(id, heads);
  }

  /** Splices made against `heads`; what others wrote since stays. Resolves to the merged text. */
  spliceNote(
    id: string,
    heads: readonly string[],
    edits: readonly FieldSplice[],
  ): Promise<NoteText> {
    return this.#parts.notes.splice(id, heads, edits);
  }

  trashNote(id: string): Promise<void> {
    return this.#parts.notes.trash(id);
  }

  restoreNote(id: string): Promise<void> {
    return this.#parts.notes.restore(id);
  }

  async trash(): Promise<readonly TrashedNote[]> {
    return this.#parts.retention.trash();
  }

  async purgeNote(id: string, unsentToo: boolean): Promise<void> {
    this.#parts.retention.purge(id, unsentToo);
  }

  async emptyTrash(unsentToo: boolean): Promise<EmptiedTrash> {
    return this.#parts.retention.emptyTrash(unsentToo);
  }

  async retention(): Promise<RetentionSettings> {
    return this.#parts.retention.settings();
  }

  async setRetention(settings: RetentionSettings): Promise<void> {
    this.#parts.retention.set(settings);
  }

  async freeSpace(): Promise<{ bytes: number }> {
    return { bytes: this.#parts.retention.freeSpace() };
  }

  search(typed: string, most: number): Promise<SearchAnswer> {
    return this.#parts.search.find(typed, most);
  }

  /** Everything written up to now can be found when this resolves, for callers that search once. */
  async searchAll(typed: string, most: number): Promise<SearchAnswer> {
    await this.describeStale();
    await this.#parts.search.catchUp();
    return this.#parts.search.find(typed, most);
  }

  pinNote(id: string, pinned: boolean): Promise<void> {
    return this.#parts.notes.pin(id, pinned);
  }

  shareNote(id: string, call?: CallName): Promise<{ notebook: string; id: string }> {
    return shareAlone(this.#parts, id, call);
  }

  moveNote(id: string, notebook: string, call?: CallName): Promise<{ id: string }> {
    return this.#parts.notes.move(id, notebook, call);
  }

  async notebooks(): Promise<readonly NotebookRow[]> {
    return this.#parts.notebooks.list();
  }

  createNotebook(name: string, call?: CallName): Promise<{ id: string }> {
    return this.#parts.notebooks.create(name, call);
  }

  renameNotebook(id: string, name: string): Promise<void> {
    return this.#parts.notebooks.rename(id, name);
  }

  setNotebookColour(notebook: string, colour: number | null): Promise<void> {
    return this.#parts.notebooks.setColour(notebook, colour);
  }

  setKeep(notebook: string, keep: Keep): Promise<void> {
    return this.#parts.notebooks.setKeep(notebook, keep);
  }

  nestNotebook(notebook: string, parent: string | null): Promise<void> {
    return this.#parts.notebooks.nest(notebook, parent);
  }

  sharing(notebook: string): Promise<Sharing> {
    return this.#parts.people.sharing(notebook);
  }

  share(
    notebook: string,
    role: Role,
    terms: LinkTerms = {},
  ): Promise<{ readonly link: string; readonly id: string }> {
    return this.#parts.admission.share(notebook, role, terms);
  }

  async revokeLink(notebook: string, link: string): Promise<void> {
    this.#parts.people.revokeLink(notebook, link);
  }

  async removePerson(notebook: string, person: string): Promise<void> {
    this.#parts.people.remove(notebook, person);
  }

  async setPersonRole(notebook: string, person: string, role: Role): Promise<void> {
    this.#parts.people.setRole(notebook, person, role);
  }

  async setRenewal(notebook: string, everyDays: RenewalDays): Promise<void> {
    await this.#parts.people.setRenewal(notebook, everyDays);
    this.#parts.keyCare.soon();
  }

  leaveNotebook(notebook: string): Promise<void> {
    return this.#parts.closing.leave(notebook);
  }

  deleteNotebook(notebook: string): Promise<void> {
    return this.#parts.closing.delete(notebook);
  }

  restoreNotebook(notebook: string): Promise<void> {
    return this.#parts.closing.restore(notebook);
  }

  keepCopy(notebook: string, name: string): Promise<{ notebook: string; notes: number }> {
    return this.#parts.keptCopies.keep(notebook, name);
  }

  async noteAuthors(id: string): Promise<readonly NoteAuthor[]> {
    const { docId, space } = this.#parts.notes.must(id);
    return this.#parts.authors.of(await this.#parts.documents.loaded(), space, docId);
  }

  previewLink(link: string): Promise<LinkPreview> {
    return this.#parts.admission.preview(link);
  }

  join(link: string): Promise<{ notebook: string }> {
    return this.#parts.admission.join(link);
  }

  moveHome(notebook: string, relay: string): Promise<{ notebook: string }> {
    const address = relayAddress(relay);
    if (address === null) {
      refuse(
        "bad-relay",
        `“${relay}” is not the address of a relay. It looks like wss://notes.example.`,
      );
    }
    return this.#parts.homes.move(notebook, address);
  }

  async words(): Promise<readonly string[] | null> {
    return this.#parts.words.list();
  }

  async wordsCheck(): Promise<readonly number[]> {
    return this.#parts.words.asked();
  }

  async confirmWords(answers?: WordAnswers): Promise<void> {
    this.#parts.words.confirm(answers ?? null);
  }

  devices(): Promise<readonly DeviceRow[]> {
    return this.#parts.ownDevices.list();
  }

  setDeviceName(name: string): Promise<void> {
    return this.#parts.ownDevices.setName(name);
  }

  removeDevice(id: string): Promise<RemovedDevice> {
    return this.#parts.removal.remove(id);
  }

  accessRenewal(): Promise<AccessRenewal> {
    return this.#parts.renewal.report();
  }

  grantRenewal(notebook: string, renewed: string): Promise<void> {
    return this.#parts.renewal.grant(notebook, renewed);
  }

  deviceLink(): Promise<{ link: string; expiresAt: number }> {
    return this.#parts.deviceLinks.show();
  }

  async cancelDeviceLink(): Promise<void> {
    this.#parts.deviceLinks.cancel();
  }

  /** Opens the vault that the words name and makes this device one of its own. */
  async restore(words: string): Promise<void> {
    this.#entered(await this.#parts.vaultAccess.restore(words));
  }

  async becomeDevice(link: string): Promise<void> {
    this.#entered(await this.#parts.vaultAccess.become(link));
  }

  previewWords(words: string): Promise<FoundByWords> {
    const { desk, opener, packing } = this.#parts;
    const { openDocument } = opener;
    const ports = { ...this.#ports, desk, openDocument, longHistory: packing.changes };
    return previewWords(ports, words);
  }

  async shutOthersOut(words: string): Promise<RemovedDevice> {
    await this.restore(words);
    await this.#parts.vaultAccess.shutOthersOut(words);
    this.#entered("again");
    return this.#parts.removal.outcome();
  }

  #entered(how: Awaited<ReturnType<VaultAccess["restore"]>>): void {
    if (how === "was-it-already") return;
    if (how === "another") this.#wake();
    else {
      this.#parts.background.add(async () => {
        const documents = await this.#parts.documents.loaded();
        this.#store.transaction(() => this.#parts.ownDevices.introduce(documents));
      });
    }
    this.#parts.events.notify("notes");
    this.#parts.events.notify("notebooks");
    this.#parts.events.notify("devices");
  }

  async setCursor(
    id: string,
    session: string,
    cursor: { field: NoteField; anchor: string; head: string } | null,
  ): Promise<void> {
    const note = this.#parts.notes.find(id);
    if (note === null) return;
    const caret = cursor === null ? null : { docId: note.docId, ...cursor };
    this.#parts.carets.tell(note.space, session, caret);
  }

  /** A tab has gone without closing its notes: its caret leaves, its draft becomes a change. */
  tabGone(session: string): void {
    for (const space of this.#parts.shelf.spaces()) this.#parts.carets.tell(space, session, null);
    this.#parts.background.add(() => this.#parts.notes.recoverDrafts());
  }
}
