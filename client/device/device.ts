/**
 * A device: one installation with its store, its keys and its connection to a relay. The browser's
 * worker and the command line run this same class; neither a screen nor a platform is known here.
 */
import { parseChange } from "#crdt-store/chunks.ts";
import { documentIdToText, parseDocumentId } from "#crdt-store/document-id.ts";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, parseHex, toHex, utf8 } from "#relay/protocol/bytes.ts";
import {
  capabilityKinds,
  parseControl,
  roles,
  type SignedControl,
} from "#relay/protocol/control.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { documentIdOf, encodeGenesis, spaceIdOf } from "#relay/protocol/genesis.ts";
import { docNonceBytes, signOrigin } from "#client/crypto/authorship.ts";
import { boxKey, capabilityFrom, type HeldCapability } from "#client/crypto/capability.ts";
import { keyCommitOf, rootSecrets } from "#client/crypto/derive.ts";
import { signingKey, type Ed25519 } from "#client/crypto/ed25519.ts";
import { formatLink, parseLink, type ShareLink } from "#client/crypto/link.ts";
import { parsePhrase, wordsOf } from "#client/crypto/phrase.ts";
import { cleanName, openProfile, signProfile } from "#client/crypto/profile.ts";
import {
  foundSpace,
  grant,
  join,
  keysFor,
  openMeta,
  verifyLog,
  type VerifiedLog,
} from "#client/crypto/space-keys.ts";
import { plainPreview, plainTitle } from "#client/notes/markdown.ts";
import type { Clock, Dial, Random, Timers } from "#client/sync/ports.ts";
import { refusalWords, SyncSession, Unanswered } from "#client/sync/session.ts";
import { Space, type DeviceIdentity } from "#client/sync/space.ts";
import type {
  Commit,
  DeviceApi,
  DeviceEvent,
  DeviceInfo,
  Draft,
  FieldSplice,
  LinkPreview,
  NotebookRow,
  NoteDocument,
  NoteField,
  NoteRow,
  NoteState,
  OpenedNote,
  PeerCursor,
  Role,
  SyncStatus,
} from "./api.ts";
import { DeviceDocuments } from "./documents.ts";
import {
  destroyEntropy,
  loadEntropy,
  loadIdentity,
  loadRelay,
  saveEntropy,
  saveIdentity,
  saveRelay,
} from "./identity.ts";
import {
  notebookIndexGenesis,
  packMoment,
  packMove,
  packNotebook,
  unpackMoment,
  unpackMove,
  unpackNotebook,
  vaultIndexGenesis,
  type Automerge,
  type NotebookIndex,
  type VaultIndex,
} from "./index-document.ts";
import { Refusal, refuse } from "./refusal.ts";
import type * as AutomergeModule from "@automerge/automerge/slim";

type Doc<T> = AutomergeModule.Doc<T>;

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
  /** Where the relay listens (ws:// or wss://), unless the store remembers another. */
  readonly relayUrl: string | null;
  /** False where nothing outlives the window. */
  readonly durable: boolean;
  /** Stay connected from the start, or connect only when a step needs the relay. */
  readonly connect: "always" | "on-demand";
}

/** What the list shows of a notebook before its index document is loaded. */
interface NotebookFacts {
  readonly name: string;
  readonly members: readonly { readonly cap: string; readonly name: string }[];
}

/** How long a question to the relay waits for a connection. */
const connectWithinMs = 10_000;
/** Rows of notes nobody has open are derived this long after the last change: typing goes first. */
const materialiseAfterMs = 300;
const notifyAfterMs = 30;
const mostTriesAtConflict = 6;
const firstNotebookName = "Notes";

export class Device implements DeviceApi {
  readonly #ports: DevicePorts;
  readonly #store: Store;
  #identity: (DeviceIdentity & { readonly vault: Uint8Array }) | null;
  #session: SyncSession | null = null;
  #spaces = new Map<string, Space>();
  #documents: Promise<DeviceDocuments> | null = null;
  #indices = new Map<string, Doc<NotebookIndex>>();
  #vaultIndex: Doc<VaultIndex> | null = null;
  #listeners = new Set<(event: DeviceEvent) => void>();
  #notified = new Map<DeviceEvent["type"], () => void>();
  #materialising: (() => void) | null = null;
  #work: Promise<void> = Promise.resolve();
  #progressWaiters = new Set<() => void>();
  #closed = false;

  private constructor(ports: DevicePorts) {
    this.#ports = ports;
    this.#store = ports.store;
    this.#identity = loadIdentity(ports.store);
  }

  /** Takes the store as it is; a fresh one has no identity until {@link create} or {@link restore}. */
  static open(ports: DevicePorts): Device {
    const device = new Device(ports);
    if (device.#identity !== null) device.#wake();
    return device;
  }

  get hasIdentity(): boolean {
    return this.#identity !== null;
  }

  subscribe(listener: (event: DeviceEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops synchronising and settles what is under way. The store stays open: its owner closes it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#session?.stop();
    this.#materialising?.();
    for (const cancel of this.#notified.values()) cancel();
    this.#notified.clear();
    await this.#work;
  }

  // ── beginning ─────────────────────────────────────────────────────────────────────────────────

  /** A new identity with its vault and a first notebook; works offline. Returns the 24 words. */
  create(): readonly string[] {
    if (this.#identity !== null) refuse("refused", "This device already has an identity.");
    const { random } = this.#ports;
    const entropy = random(32);
    const identity = { secret: random(32), incarnation: random(16) };
    this.#store.transaction(() => {
      const vault = this.#foundVault(entropy, identity);
      saveIdentity(this.#store, identity, vault);
      saveEntropy(this.#store, entropy);
      this.#identity = { ...identity, vault };
      const found = this.#foundNotebook(identity);
      this.#store.settings.put("device/first-notebook", found);
      this.#saveFacts(found, { name: firstNotebookName, members: [] });
    });
    this.#wake();
    return wordsOf(entropy);
  }

  #foundVault(entropy: Uint8Array, identity: DeviceIdentity): Uint8Array {
    const { ed, random, clock } = this.#ports;
    const root = rootSecrets(entropy);
    const admin = signingKey(ed, root.vaultAdmin);
    const founded = foundSpace(
      { ed, random },
      "vault",
      {
        sign: admin,
        boxPub: boxKey(root.recoveryBox).publicKey,
        kind: capabilityKinds.recovery,
      },
      root.vaultNonce,
      clock.now(),
    );
    const capSecret = random(32);
    const capability = capabilityFrom(ed, capSecret);
    const admitted = grant(
      { ed, random },
      {
        authority: founded.authority,
        timeMs: clock.now(),
        seenPos: 0,
        seenChain: new Uint8Array(32),
      },
      admin,
      founded.epochKey,
      deviceGrant(capability),
    );
    this.#keepSpace(
      founded.genesis,
      "vault",
      capSecret,
      [...founded.records, admitted],
      founded.epochKey,
      identity,
    );
    return founded.spaceId;
  }

  #foundNotebook(identity: DeviceIdentity): Uint8Array {
    const { ed, random, clock } = this.#ports;
    const capSecret = random(32);
    const capability = capabilityFrom(ed, capSecret);
    const founded = foundSpace(
      { ed, random },
      "notebook",
      {
        sign: capability.sign,
        boxPub: capability.box.publicKey,
        kind: capabilityKinds.person,
      },
      random(16),
      clock.now(),
    );
    this.#keepSpace(
      founded.genesis,
      "notebook",
      capSecret,
      founded.records,
      founded.epochKey,
      identity,
    );
    return founded.spaceId;
  }

  /** Stores a space whose records wait to be pushed, with its first key and this device's certificate. */
  #keepSpace(
    genesis: Uint8Array,
    kind: "vault" | "notebook",
    capSecret: Uint8Array,
    records: readonly SignedControl[],
    epochKey: Uint8Array,
    identity: DeviceIdentity,
  ): void {
    const id = spaceIdOf(genesis);
    this.#store.transaction(() => {
      this.#putSpaceRow(id, genesis, kind, capSecret);
      for (const signed of records) {
        this.#store.spaces.addControl(id, signed.record.ctrlSeq, signed.bytes, null, signed.hash);
      }
      this.#store.spaces.putKey(id, keyCommitOf(id, 1, epochKey), 1, epochKey);
      this.#openSpace(id, genesis, capSecret, identity).certifyDevice();
    });
  }

  #putSpaceRow(
    id: Uint8Array,
    genesis: Uint8Array,
    kind: "vault" | "notebook",
    capSecret: Uint8Array,
  ): void {
    this.#store.spaces.put({
      id,
      kind,
      genesis,
      capSecret,
      role: "admin",
      state: "active",
      relayUrl: null,
      createdAt: this.#ports.clock.now(),
    });
  }

  #openSpace(
    id: Uint8Array,
    genesis: Uint8Array,
    capSecret: Uint8Array | null,
    identity: DeviceIdentity,
  ): Space {
    const known = this.#spaces.get(toHex(id));
    if (known !== undefined) return known;
    const { ed } = this.#ports;
    const capability = capSecret === null ? null : capabilityFrom(ed, capSecret);
    const space = new Space({ store: this.#store, ed, identity }, id, genesis, capability);
    this.#spaces.set(space.hex, space);
    return space;
  }

  /** Opens what the store holds and starts synchronising it. */
  #wake(): void {
    const identity = this.#mustIdentity();
    for (const row of this.#store.spaces.list()) {
      this.#openSpace(row.id, row.genesis, row.capSecret, identity);
    }
    if (this.#ports.connect === "always") this.connect();
    // A connection from before there was an identity knows no space yet.
    for (const space of this.#spaces.values()) this.#session?.add(space);
    this.#enqueue(async () => {
      await this.#recoverDrafts();
      await this.#settleIndices();
    });
    if (this.#store.notes.stale().length > 0) this.#materialiseSoon();
  }

  /** Where the relay of this device listens, null if it knows none. */
  get relayUrl(): string | null {
    return loadRelay(this.#store) ?? this.#ports.relayUrl;
  }

  /** Starts synchronising, if a relay is known; again is harmless. */
  connect(): void {
    const url = this.relayUrl;
    if (url === null || this.#session !== null) return;
    const { store, ed, clock, timers, random, chance, dial } = this.#ports;
    const session = new SyncSession(
      url,
      { store, ed, clock, timers, random, chance, dial },
      {
        progress: () => this.#progressed(),
        journalled: (space, docId) => this.#markStale(space, docId),
        changes: (space, docId, changes) => this.#received(space, docId, changes),
        members: (space) => this.#membersChanged(space),
        presence: (space) => this.#presenceChanged(space),
        ended: (space) => this.#spaceEnded(space),
        displaced: (space, records) => this.#writeAnew(space, records),
        putBack: (space) => this.#putBack(space),
        log: (level, text) => this.#log(level, text),
      },
    );
    this.#session = session;
    session.displayName = this.#displayName();
    for (const space of this.#spaces.values()) session.add(space);
    session.start();
  }

  /** Uses this relay from now on; refused where another is in use. */
  setRelay(url: string): void {
    const before = this.relayUrl;
    if (before !== null && !sameRelay(before, url)) {
      refuse(
        "bad-relay",
        `This device already uses ${before}. Several relays on one device come later.`,
      );
    }
    saveRelay(this.#store, url);
    this.connect();
  }

  // ── about this device ─────────────────────────────────────────────────────────────────────────

  async info(): Promise<DeviceInfo> {
    return {
      displayName: this.#displayName(),
      words: loadEntropy(this.#store) === null ? "saved" : "unsaved",
      durable: this.#ports.durable,
    };
  }

  async setDisplayName(name: string): Promise<void> {
    const clean = cleanName(name);
    if (clean === "") refuse("bad-input", "A name needs at least one visible character.");
    const documents = await this.#loadedDocuments();
    this.#store.transaction(() => {
      this.#store.settings.put("device/name", utf8(clean));
      this.#editVault(documents, (vault) => {
        vault.displayName = new documents.automerge.ImmutableString(clean);
      });
      for (const space of this.#spaces.values()) this.#introduce(documents, space);
    });
    if (this.#session !== null) this.#session.displayName = clean;
    this.#notify("notebooks");
  }

  #displayName(): string {
    const bytes = this.#store.settings.get("device/name");
    return bytes === null ? "" : new TextDecoder().decode(bytes);
  }

  async status(): Promise<SyncStatus> {
    const session = this.#session;
    const waiting = this.#store.outbox.depth();
    return {
      ...this.#statusWord(session, waiting),
      waiting,
      relay: session?.url ?? null,
      connected: session?.connected ?? false,
      lastAckAt: session?.lastAckAt ?? null,
      durable: this.#ports.durable,
    };
  }

  #statusWord(session: SyncSession | null, waiting: number): Pick<SyncStatus, "word" | "detail"> {
    if (session === null) return { word: "saved-here", detail: "" };
    const refused = session.refusedCode;
    if (session.connected && refused !== null) {
      const word = refused >= 500 && refused < 600 ? "limited" : "needs-you";
      return {
        word,
        detail: `The relay does not take more: ${refusalWords(refused)}. Everything is saved here.`,
      };
    }
    if (session.connected && session.stuck.length > 0) {
      return {
        word: "needs-you",
        detail:
          "A notebook cannot be synchronised right now. It is tried again when the connection is renewed.",
      };
    }
    if (!session.connected) {
      if (!session.failing) return { word: "saved-here", detail: "" };
      const why = session.lastFailure === null ? "" : ` (${session.lastFailure})`;
      return {
        word: "offline",
        detail: `You are offline${why}. Everything you write is saved on this device and will be sent later.`,
      };
    }
    if (waiting > 0) return { word: "sending", detail: "" };
    return session.upToDate
      ? { word: "up-to-date", detail: "" }
      : { word: "saved-here", detail: "" };
  }

  /**
   * Resolves when everything here is acknowledged and everything there has been taken in, or, with
   * `false`, when `timeoutMs` have passed or the relay cannot be reached.
   */
  settled(timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (done: boolean): void => {
        cancel();
        this.#progressWaiters.delete(check);
        resolve(done);
      };
      const check = (): void => {
        void this.#work.then(() => {
          if (this.#session?.upToDate === true && this.#store.outbox.depth() === 0) finish(true);
        });
      };
      const cancel = this.#ports.timers.after(timeoutMs, () => finish(false));
      this.#progressWaiters.add(check);
      check();
    });
  }

  async syncLog(): Promise<
    readonly { at: number; level: "info" | "warn" | "error"; text: string }[]
  > {
    return this.#store.syncLog.all().map((row) => ({
      at: row.at,
      level: row.level === "warning" ? ("warn" as const) : row.level,
      text: row.text,
    }));
  }

  async setOnline(online: boolean): Promise<void> {
    this.#session?.setOnline(online);
  }

  async setVisible(visible: boolean): Promise<void> {
    this.#session?.setVisible(visible);
  }

  // ── notes ─────────────────────────────────────────────────────────────────────────────────────

  async notes(): Promise<readonly NoteRow[]> {
    const quarantined = new Map<string, number>();
    for (const item of this.#store.inbox.quarantined()) {
      if (item.doc === null) continue;
      const key = toHex(item.doc);
      quarantined.set(key, (quarantined.get(key) ?? 0) + 1);
    }
    const waiting = new Set(this.#store.outbox.waitingDocuments().map(toHex));
    const rows = [...this.#store.notes.list(), ...this.#store.notes.list({ trashed: true })];
    return rows
      .filter((row) => row.movedTo === null)
      .map((row) => this.#noteRow(row, waiting, quarantined));
  }

  #noteRow(
    row: StoredNote,
    waitingDocuments: ReadonlySet<string>,
    quarantined: ReadonlyMap<string, number>,
  ): NoteRow {
    const { pos, unplaced } = this.#store.changes.lastPositions(row.doc);
    const waiting = waitingDocuments.has(toHex(row.doc)) ? Math.max(1, unplaced) : 0;
    const space = this.#spaces.get(toHex(row.space));
    const seenBy =
      space === undefined || waiting > 0 || pos === null ? [] : this.#devicesAt(space, pos);
    const state: NoteState =
      waiting > 0 || pos === null
        ? "saved-here"
        : seenBy.length > 0
          ? "seen-elsewhere"
          : "on-relay";
    return {
      id: documentIdToText(row.doc),
      title: row.title,
      preview: row.preview,
      notebook: toHex(row.space),
      createdAt: row.createdAt,
      updatedAt: row.updatedAt,
      trashed: row.trashedAt !== null,
      state,
      waiting,
      seenBy,
      quarantined: quarantined.get(toHex(row.doc)) ?? 0,
    };
  }

  /** Names of other devices that are known to have read the log of the space up to `pos`. */
  #devicesAt(space: Space, pos: number): readonly string[] {
    const names = this.#store.inbox
      .frontiers(space.id)
      .filter((frontier) => frontier.pos >= pos && !equal(frontier.dev, space.device.publicKey))
      .map((frontier) => this.#nameOfDevice(space, frontier.dev));
    return [...new Set(names)];
  }

  #nameOfDevice(space: Space, dev: Uint8Array): string {
    const cap = space.capabilityOf(dev);
    const own = space.capability?.sign.publicKey;
    if (cap !== null && own !== undefined && equal(cap, own)) return "another device";
    const member = this.#facts(space.id).members.find(
      (known) => cap !== null && known.cap === toHex(cap),
    );
    return member?.name ?? this.#session?.presentName(space, dev) ?? "somebody";
  }

  async createNote(input: {
    notebook?: string;
    title?: string;
    body?: string;
  }): Promise<{ id: string }> {
    const space =
      input.notebook === undefined ? this.#firstNotebook() : this.#mustNotebook(input.notebook);
    this.#mustWrite(space);
    const documents = await this.#loadedDocuments();
    const doc = this.#store.transaction(() =>
      this.#writeNote(documents, space, {
        title: oneLine(input.title ?? ""),
        body: newlines(input.body ?? ""),
        createdAt: this.#ports.clock.now(),
      }),
    );
    this.#changedHere(space);
    return { id: documentIdToText(doc) };
  }

  /** A new document with its origin, its row and its place in the index; in the caller's transaction. */
  #writeNote(
    documents: DeviceDocuments,
    space: Space,
    note: { readonly title: string; readonly body: string; readonly createdAt: number },
  ): Uint8Array {
    const { ed, random, clock } = this.#ports;
    const docNonce = random(docNonceBytes);
    const docId = documentIdOf(space.id, space.device.publicKey, docNonce);
    const composed = documents.compose(documents.newActor(space, docId, "device"), note);
    const [root] = documents.automerge.getAllChanges(composed);
    if (root === undefined) throw new Error("a new note has no first change");
    const parsed = parseChange(root);
    if (parsed.type === "failed")
      throw new Error(`a new note's first change is ${parsed.failure.type}`);
    this.#store.documents.add({
      doc: docId,
      space: space.id,
      kind: "note",
      origin: signOrigin(ed, space.device, docId, docNonce, [parsed.change.hash]),
    });
    documents.journal(space, docId, documents.automerge.getAllChanges(composed));
    this.#store.notes.upsert({
      doc: docId,
      space: space.id,
      title: plainTitle(note),
      preview: plainPreview(note),
      createdAt: note.createdAt,
      updatedAt: clock.now(),
      trashedAt: null,
      movedTo: null,
      listed: true,
      stale: false,
    });
    this.#editIndex(documents, space, (index) => {
      index.notes[toHex(docId)] = packMoment(note.createdAt);
    });
    return docId;
  }

  async openNote(id: string, session: string): Promise<OpenedNote> {
    const { docId, row, space } = this.#mustNote(id);
    await this.#recoverDraftsOf(docId);
    const documents = await this.#loadedDocuments();
    const snapshot = this.#store.snapshots.latest(docId);
    const changes = this.#store.changes.bytesOfDocument(docId);
    if (snapshot === null && changes.length === 0) {
      refuse(
        "unavailable",
        "This note has not arrived on this device yet. It opens as soon as it is here.",
      );
    }
    return {
      id,
      chunks: snapshot === null ? changes : [snapshot.bytes, ...changes],
      actor: documents.newActor(space, docId, session),
      notebook: space.hex,
      role: roleName(space),
      trashed: row.trashedAt !== null,
    };
  }

  async closeNote(id: string, session: string): Promise<void> {
    await this.setCursor(id, session, null);
  }

  async draft(id: string, draft: Draft): Promise<void> {
    const { docId, space } = this.#mustNote(id);
    this.#mustWrite(space);
    this.#store.drafts.put({
      doc: docId,
      session: draft.session,
      actor: mustHex(draft.actor),
      heads: draft.heads.map(mustHex),
      edits: JSON.stringify(draft.edits),
      at: this.#ports.clock.now(),
    });
  }

  async commit(id: string, commit: Commit): Promise<void> {
    const { docId, row, space } = this.#mustNote(id);
    this.#mustWrite(space);
    const documents = await this.#loadedDocuments();
    const added = this.#store.transaction(() => {
      const fresh = documents.journal(space, docId, commit.changes);
      this.#store.drafts.remove(docId, commit.session);
      this.#store.notes.upsert({
        ...(this.#store.notes.get(docId) ?? row),
        title: commit.title,
        preview: commit.preview,
        updatedAt: this.#ports.clock.now(),
        // The tab described the note without what has come from elsewhere meanwhile.
        stale: commit.changes.length === 0 || this.#store.changes.heads(docId).length > 1,
      });
      return fresh;
    });
    if (added.length > 0) {
      this.#emit({ type: "changes", id, session: commit.session, changes: added });
    }
    if (this.#store.notes.get(docId)?.stale === true) this.#materialiseSoon();
    this.#changedHere(space);
  }

  /** The whole text of a note with the heads it stands at. */
  async readNote(
    id: string,
  ): Promise<{ id: string; title: string; body: string; heads: readonly string[] }> {
    const { docId } = this.#mustNote(id);
    await this.#recoverDraftsOf(docId);
    const documents = await this.#loadedDocuments();
    const doc = documents.load<NoteDocument>(docId);
    if (typeof doc.body !== "string") {
      refuse("unavailable", "This note has not arrived on this device yet.");
    }
    return { id, title: doc.title, body: doc.body, heads: documents.automerge.getHeads(doc) };
  }

  /** Splices made against `heads`; what others wrote since stays. Resolves to the merged text. */
  async spliceNote(
    id: string,
    heads: readonly string[],
    edits: readonly FieldSplice[],
  ): Promise<{ title: string; body: string; heads: readonly string[] }> {
    const { docId, space } = this.#mustNote(id);
    this.#mustWrite(space);
    const documents = await this.#loadedDocuments();
    const made = this.#store.transaction(() => {
      const spliced = documents.spliceAt(space, docId, heads, edits);
      if (spliced !== null) this.#describe(docId, spliced.doc);
      return spliced;
    });
    if (made === null) {
      refuse(
        "bad-input",
        "This note never stood at the version you name (--base). Read it again and repeat the edit.",
      );
    }
    this.#emit({ type: "changes", id, session: null, changes: made.changes });
    this.#changedHere(space);
    return {
      title: made.doc.title,
      body: made.doc.body,
      heads: documents.automerge.getHeads(made.doc),
    };
  }

  /** The text a note had at `heads`. */
  async readNoteAt(id: string, heads: readonly string[]): Promise<{ title: string; body: string }> {
    const { docId } = this.#mustNote(id);
    if (heads.some((head) => !this.#store.changes.has(docId, mustHex(head)))) {
      refuse(
        "bad-input",
        "This note never stood at the version you name (--base). Read it again and repeat the edit.",
      );
    }
    const documents = await this.#loadedDocuments();
    const { title, body } = documents.automerge.view(documents.load<NoteDocument>(docId), [
      ...heads,
    ]);
    return { title, body };
  }

  async trashNote(id: string): Promise<void> {
    await this.#setTrashed(id, this.#ports.clock.now());
  }

  async restoreNote(id: string): Promise<void> {
    await this.#setTrashed(id, null);
  }

  async #setTrashed(id: string, at: number | null): Promise<void> {
    const { docId, space } = this.#mustNote(id);
    this.#mustWrite(space);
    const documents = await this.#loadedDocuments();
    this.#store.transaction(() => {
      this.#editIndex(documents, space, (index) => {
        if (at === null) delete index.trash[toHex(docId)];
        else index.trash[toHex(docId)] = packMoment(at);
      });
      this.#projectIndex(space);
    });
    this.#changedHere(space);
  }

  // ── notebooks ─────────────────────────────────────────────────────────────────────────────────

  async notebooks(): Promise<readonly NotebookRow[]> {
    const notes = this.#store.notes.list().filter((row) => row.movedTo === null);
    return this.#store.spaces
      .list()
      .filter((row) => row.kind === "notebook")
      .toSorted((a, b) => a.createdAt - b.createdAt)
      .flatMap((row) => {
        const space = this.#spaces.get(toHex(row.id));
        if (space === undefined) return [];
        const others = space.authority.capabilities.filter(
          ({ signPub, role }) =>
            role !== roles.none &&
            !equal(signPub, space.capability?.sign.publicKey ?? new Uint8Array(0)),
        );
        return [
          {
            id: space.hex,
            name: this.#facts(row.id).name,
            role: roleName(space),
            shared: others.length > 0,
            members: this.#members(space),
            notes: notes.filter((note) => equal(note.space, row.id)).length,
            state: row.state === "ended" ? ("ended" as const) : ("active" as const),
          },
        ];
      });
  }

  #members(space: Space): NotebookRow["members"] {
    const { members } = this.#facts(space.id);
    const own = space.capability?.sign.publicKey;
    return space.authority.capabilities
      .filter(({ kind, role }) => kind !== capabilityKinds.link && role !== roles.none)
      .map(({ signPub }) => {
        const self = own !== undefined && equal(signPub, own);
        const name = members.find((known) => known.cap === toHex(signPub))?.name;
        return { name: name ?? (self ? this.#displayName() : "somebody"), self };
      });
  }

  async createNotebook(name: string): Promise<{ id: string }> {
    const clean = cleanName(name);
    if (clean === "") refuse("bad-input", "A notebook needs a name.");
    const documents = await this.#loadedDocuments();
    const identity = this.#mustIdentity();
    const space = this.#store.transaction(() => {
      const id = this.#foundNotebook(identity);
      const founded = this.#mustSpace(toHex(id));
      this.#listInVault(documents, founded);
      this.#nameNotebook(documents, founded, clean);
      return founded;
    });
    this.#session?.add(space);
    this.#changedHere(space);
    this.#notify("notebooks");
    return { id: space.hex };
  }

  async renameNotebook(id: string, name: string): Promise<void> {
    const space = this.#mustNotebook(id);
    this.#mustWrite(space);
    const clean = cleanName(name);
    if (clean === "") refuse("bad-input", "A notebook needs a name.");
    const documents = await this.#loadedDocuments();
    this.#store.transaction(() => this.#nameNotebook(documents, space, clean));
    this.#changedHere(space);
    this.#notify("notebooks");
  }

  #nameNotebook(documents: DeviceDocuments, space: Space, name: string): void {
    this.#editIndex(documents, space, (index) => {
      index.name = new documents.automerge.ImmutableString(name);
    });
    this.#introduce(documents, space);
    this.#projectIndex(space);
  }

  async moveNote(id: string, notebook: string): Promise<{ id: string }> {
    const { docId, row, space } = this.#mustNote(id);
    const target = this.#mustNotebook(notebook);
    this.#mustWrite(space);
    this.#mustWrite(target);
    if (target === space) return { id };
    const { title, body } = await this.readNote(id);
    const documents = await this.#loadedDocuments();
    const moved = this.#store.transaction(() => {
      const copy = this.#writeNote(documents, target, { title, body, createdAt: row.createdAt });
      this.#editIndex(documents, space, (index) => {
        index.moved[toHex(docId)] = packMove(target.id, copy);
      });
      this.#projectIndex(space);
      return copy;
    });
    this.#changedHere(target);
    this.#changedHere(space);
    return { id: documentIdToText(moved) };
  }

  // ── sharing ───────────────────────────────────────────────────────────────────────────────────

  async share(notebook: string, role: "read" | "edit"): Promise<{ link: string }> {
    const space = this.#mustNotebook(notebook);
    const { ed, random, clock } = this.#ports;
    const relay = this.relayUrl;
    if (relay === null) {
      refuse("bad-relay", "Sharing needs a relay, and this device knows none. Give it one first.");
    }
    const key = space.currentKey;
    if (space.role < roles.admin || space.capability === null || key === null) {
      refuse("no-access", "Only an administrator of this notebook can share it.");
    }
    const secret = random(32);
    const capability = capabilityFrom(ed, secret);
    const signed = grant(
      { ed, random },
      space.controlPlace(clock.now()),
      space.capability.sign,
      key.key,
      {
        signPub: capability.sign.publicKey,
        boxPub: capability.box.publicKey,
        role: role === "edit" ? roles.edit : roles.read,
        kind: capabilityKinds.link,
        notAfter: 0,
        maxJoins: 0,
        meta: encodeLinkMeta({
          name: this.#facts(space.id).name,
          from: this.#displayName(),
          notes: this.#listedNotes(space.id),
        }),
      },
    );
    this.#store.spaces.addControl(space.id, signed.record.ctrlSeq, signed.bytes, null, signed.hash);
    space.reload();
    this.#session?.poke(space);
    this.#notify("notebooks");
    return { link: formatLink(appOf(relay), { role, secret, spaceId: space.id, relay: null }) };
  }

  async previewLink(text: string): Promise<LinkPreview> {
    const link = mustLink(text);
    const opened = await this.#openLink(link, text);
    const meta = this.#linkMeta(opened);
    return {
      notebook: toHex(link.spaceId),
      name: meta.name,
      from: meta.from,
      role: link.role,
      notes: Math.max(meta.notes, this.#listedNotes(link.spaceId)),
      alreadyJoined: this.#spaces.has(toHex(link.spaceId)),
    };
  }

  async join(text: string): Promise<{ notebook: string }> {
    const link = mustLink(text);
    const hex = toHex(link.spaceId);
    if (this.#spaces.has(hex)) return { notebook: hex };
    const documents = await this.#loadedDocuments();
    const { ed, random, clock } = this.#ports;
    const capSecret = random(32);
    const own = capabilityFrom(ed, capSecret);
    for (let tries = 0; tries < mostTriesAtConflict; tries += 1) {
      const opened = await this.#openLink(link, text);
      const signed = join(
        { ed, random },
        {
          authority: opened.log.authority,
          timeMs: clock.now(),
          seenPos: 0,
          seenChain: new Uint8Array(32),
        },
        opened.link.sign,
        opened.key,
        {
          signPub: own.sign.publicKey,
          boxPub: own.box.publicKey,
          meta: encodeLinkMeta({ name: "", from: this.#displayName(), notes: 0 }),
        },
      );
      const answer = await this.#ask({
        type: "controlPush",
        genesis: opened.genesis,
        records: [signed.bytes],
      });
      const status = answer.type === "controlAck" ? answer.status : errorOf(answer);
      if (status === refusals.CTRL_CONFLICT.code) continue;
      if (answer.type !== "controlAck" || status !== 0) {
        if (status === refusals.LINK_SPENT.code) {
          refuse(
            "link-spent",
            "This link has been used up, withdrawn or has expired. Ask for a new one.",
          );
        }
        refuse("refused", `The relay did not let you in: ${refusalWords(status)}.`);
      }
      const space = this.#store.transaction(() => {
        this.#putSpaceRow(link.spaceId, opened.genesis, "notebook", capSecret);
        const joined = this.#openSpace(
          link.spaceId,
          opened.genesis,
          capSecret,
          this.#mustIdentity(),
        );
        joined.absorb([...opened.records, ...answer.records], opened.certificates);
        joined.certifyDevice();
        this.#saveFacts(link.spaceId, { name: this.#linkMeta(opened).name, members: [] });
        this.#listInVault(documents, joined);
        this.#introduce(documents, joined);
        return joined;
      });
      this.#session?.add(space);
      this.#notify("notebooks");
      return { notebook: hex };
    }
    return refuse(
      "refused",
      "Others are changing who may open this notebook. Try again in a moment.",
    );
  }

  /** What a link opens: its control log, verified, and the key that is sealed to it. */
  async #openLink(link: ShareLink, text: string): Promise<OpenedLink> {
    this.#mustIdentity();
    this.#meetRelayOf(link, text);
    const { genesis, records, certificates } = await this.#fetchControl(
      link.spaceId,
      "The notebook of this link is not at its relay: the link may be damaged, or its owner has not been online since making it.",
    );
    const log = this.#verifiedLog(genesis, link.spaceId, records);
    const capability = capabilityFrom(this.#ports.ed, link.secret);
    const key = keysFor(link.spaceId, log.records, {
      signPub: capability.sign.publicKey,
      box: capability.box,
    }).find(({ epoch }) => epoch === log.authority.epoch);
    if (key === undefined) {
      refuse(
        "link-spent",
        "This link does not open the notebook any more, or not yet. Ask for a new one.",
      );
    }
    return { genesis, records, certificates, log, link: capability, key: key.key };
  }

  #listedNotes(space: Uint8Array): number {
    const rows = this.#store.notes.list().filter((row) => row.movedTo === null);
    return rows.filter((row) => equal(row.space, space)).length;
  }

  #linkMeta(opened: OpenedLink): LinkMeta {
    const granted = opened.log.records.findLast(
      ({ record }) =>
        record.body.type === "grant" && equal(record.body.signPub, opened.link.sign.publicKey),
    );
    if (granted?.record.body.type !== "grant") return nothingKnown;
    const keys = keysFor(opened.log.authority.spaceId, opened.log.records, {
      signPub: opened.link.sign.publicKey,
      box: opened.link.box,
    });
    const key = keys.find(({ epoch }) => epoch === granted.record.epochAfter);
    const plain =
      key === undefined
        ? null
        : openMeta(opened.log.authority.spaceId, key.key, granted.record.body.meta);
    return plain === null ? nothingKnown : decodeLinkMeta(plain);
  }

  /** A link of another relay than ours cannot be followed yet; a device without one takes the link's. */
  #meetRelayOf(link: ShareLink, text: string): void {
    const relay = link.relay ?? relayOf(text);
    const own = this.relayUrl;
    if (own !== null) {
      if (relay !== null && !sameRelay(relay, own)) {
        refuse(
          "bad-relay",
          `This link belongs to another relay (${relay}); this device uses ${own}. Open the link in the app of its own relay.`,
        );
      }
      return;
    }
    if (relay === null)
      refuse(
        "bad-relay",
        "This link does not say which relay it belongs to. Give this device a relay first.",
      );
    this.setRelay(relay);
  }

  #verifiedLog(
    genesis: Uint8Array,
    spaceId: Uint8Array,
    rows: readonly { readonly pos: number; readonly bytes: Uint8Array }[],
  ): Extract<VerifiedLog, { ok: true }> {
    const log = rows.flatMap(({ pos, bytes }) => {
      const parsed = parseControl(bytes);
      return parsed.ok ? [{ signed: parsed.value, pos }] : [];
    });
    const verified = verifyLog(this.#ports.ed, genesis, log);
    if (!equal(spaceIdOf(genesis), spaceId) || log.length !== rows.length || !verified.ok) {
      refuse(
        "bad-relay",
        "The relay gave a record of access that is not genuine. Nothing was changed here.",
      );
    }
    return verified;
  }

  /** The control log of a space from its first record, all pages. */
  async #fetchControl(
    spaceId: Uint8Array,
    absent: string,
  ): Promise<{
    readonly genesis: Uint8Array;
    readonly records: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
    readonly certificates: readonly Uint8Array[];
  }> {
    const records: { readonly pos: number; readonly bytes: Uint8Array }[] = [];
    const certificates: Uint8Array[] = [];
    for (;;) {
      const answer = await this.#ask({ type: "controlGet", spaceId, fromSeq: records.length + 1 });
      if (answer.type !== "controlData") {
        if (errorOf(answer) === refusals.NO_SPACE.code) refuse("bad-link", absent);
        refuse(
          "refused",
          `The relay did not answer as expected: ${refusalWords(errorOf(answer))}.`,
        );
      }
      records.push(...answer.records);
      certificates.push(...answer.certificates);
      if (!answer.more || answer.records.length === 0) {
        return { genesis: answer.genesis, records, certificates };
      }
    }
  }

  async #ask(message: Parameters<SyncSession["request"]>[0]): ReturnType<SyncSession["request"]> {
    this.connect();
    const session = this.#session;
    if (session === null) {
      refuse("bad-relay", "This device knows no relay. Give it one first.");
    }
    await this.#connected(session);
    try {
      return await session.request(message);
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
      return refuse(
        "offline",
        "The connection to the relay broke. Nothing was changed; try again.",
      );
    }
  }

  #connected(session: SyncSession): Promise<void> {
    if (session.connected) return Promise.resolve();
    session.setOnline(true);
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        cancel();
        this.#progressWaiters.delete(check);
        settle();
      };
      const check = (): void => {
        if (session.connected) finish(resolve);
        else if (session.failing) fail();
      };
      const fail = (): void =>
        finish(() =>
          reject(
            new Refusal({
              code: "offline",
              message: `${sentence(session.lastFailure ?? "the relay cannot be reached")} This step needs it; nothing was changed. Try again when you are online.`,
            }),
          ),
        );
      const cancel = this.#ports.timers.after(connectWithinMs, fail);
      this.#progressWaiters.add(check);
      check();
    });
  }

  // ── the words ─────────────────────────────────────────────────────────────────────────────────

  async words(): Promise<readonly string[] | null> {
    const entropy = loadEntropy(this.#store);
    return entropy === null ? null : wordsOf(entropy);
  }

  async confirmWords(): Promise<void> {
    destroyEntropy(this.#store);
  }

  /** Opens the vault that the words name and makes this device one of its own. */
  async restore(typed: string): Promise<void> {
    const phrase = parsePhrase(typed);
    if (!phrase.ok) refuse("bad-words", phrase.message);
    this.#mustBeReplaceable();
    const { ed, random, clock } = this.#ports;
    const root = rootSecrets(phrase.entropy);
    const admin = signingKey(ed, root.vaultAdmin);
    const genesis = encodeGenesis({
      kind: "vault",
      adminPub: admin.publicKey,
      nonce: root.vaultNonce,
    });
    const spaceId = spaceIdOf(genesis);
    if (this.#identity !== null && equal(this.#identity.vault, spaceId)) return;
    const capSecret = random(32);
    const capability = capabilityFrom(ed, capSecret);
    for (let tries = 0; tries < mostTriesAtConflict; tries += 1) {
      const held = await this.#fetchControl(
        spaceId,
        "These words are well formed, but nothing was found under them at this relay. Is it the right relay? Nothing was created.",
      );
      const log = this.#verifiedLog(genesis, spaceId, held.records);
      const key = keysFor(spaceId, log.records, {
        signPub: admin.publicKey,
        box: boxKey(root.recoveryBox),
      }).find(({ epoch }) => epoch === log.authority.epoch);
      if (key === undefined)
        refuse("bad-relay", "The relay's record of your vault cannot be opened with these words.");
      const place = {
        authority: log.authority,
        timeMs: clock.now(),
        seenPos: 0,
        seenChain: new Uint8Array(32),
      };
      const admitted = grant({ ed, random }, place, admin, key.key, deviceGrant(capability));
      const answer = await this.#ask({ type: "controlPush", genesis, records: [admitted.bytes] });
      const status = answer.type === "controlAck" ? answer.status : errorOf(answer);
      if (status === refusals.CTRL_CONFLICT.code) continue;
      if (answer.type !== "controlAck" || status !== 0) {
        refuse("refused", `The relay did not admit this device: ${refusalWords(status)}.`);
      }
      this.#becomeDeviceOf(
        spaceId,
        genesis,
        capSecret,
        [...held.records, ...answer.records],
        held.certificates,
      );
      return;
    }
    refuse("refused", "Another device is being admitted at this moment. Try again.");
  }

  #becomeDeviceOf(
    vault: Uint8Array,
    genesis: Uint8Array,
    capSecret: Uint8Array,
    records: readonly { readonly pos: number; readonly bytes: Uint8Array }[],
    certificates: readonly Uint8Array[],
  ): void {
    const { random } = this.#ports;
    const identity = { secret: random(32), incarnation: random(16) };
    this.#session?.stop();
    this.#session = null;
    this.#store.transaction(() => {
      const relay = loadRelay(this.#store);
      this.#store.clear();
      if (relay !== null) saveRelay(this.#store, relay);
      saveIdentity(this.#store, identity, vault);
      this.#identity = { ...identity, vault };
      this.#spaces.clear();
      this.#indices.clear();
      this.#vaultIndex = null;
      this.#putSpaceRow(vault, genesis, "vault", capSecret);
      const space = this.#openSpace(vault, genesis, capSecret, identity);
      space.absorb(records, certificates);
      space.certifyDevice();
    });
    this.#wake();
    this.#notify("notes");
    this.#notify("notebooks");
  }

  /** Only a device that holds nothing of its own may become another one. */
  #mustBeReplaceable(): void {
    const rows = [...this.#store.notes.list(), ...this.#store.notes.list({ trashed: true })];
    const written = rows.some((row) => row.title !== "" || row.preview !== "");
    const shared = this.#store.spaces.list().filter((row) => row.kind === "notebook").length > 1;
    if (written || shared || this.#store.drafts.all().length > 0) {
      refuse(
        "refused",
        "This device already has notes, and restoring would replace them. Use another browser profile or another home directory for the words.",
      );
    }
  }

  // ── presence ──────────────────────────────────────────────────────────────────────────────────

  async setCursor(
    id: string,
    session: string,
    cursor: { field: NoteField; anchor: string; head: string } | null,
  ): Promise<void> {
    const docId = parseDocumentId(id);
    const row = docId === undefined ? null : this.#store.notes.get(docId);
    const space = row === null ? undefined : this.#spaces.get(toHex(row.space));
    if (docId === undefined || space === undefined) return;
    this.#session?.tellCursor(space, presenceSessionOf(session), {
      type: "cursor",
      cursor: cursor === null ? null : { docId, ...cursor },
    });
  }

  #presenceChanged(space: Space): void {
    const peersByNote = new Map<string, PeerCursor[]>();
    for (const peer of this.#session?.peers(space) ?? []) {
      if (peer.cursor === null) continue;
      const id = documentIdToText(peer.cursor.docId);
      const cap = space.capabilityOf(peer.devPub);
      const list = peersByNote.get(id) ?? [];
      list.push({
        peer: peer.id,
        name: peer.name === "" ? this.#nameOfDevice(space, peer.devPub) : peer.name,
        hue: (cap?.[0] ?? 0) % 8,
        field: peer.cursor.field,
        anchor: peer.cursor.anchor,
        head: peer.cursor.head,
      });
      peersByNote.set(id, list);
    }
    for (const id of this.#notesWithPeers.get(space.hex) ?? []) {
      if (!peersByNote.has(id)) this.#emit({ type: "presence", id, peers: [] });
    }
    this.#notesWithPeers.set(space.hex, new Set(peersByNote.keys()));
    for (const [id, peers] of peersByNote) this.#emit({ type: "presence", id, peers });
  }

  readonly #notesWithPeers = new Map<string, ReadonlySet<string>>();

  /** A tab has gone without closing its notes: its caret leaves, its draft becomes a change. */
  tabGone(session: string): void {
    for (const space of this.#spaces.values()) {
      this.#session?.tellCursor(space, presenceSessionOf(session), {
        type: "cursor",
        cursor: null,
      });
    }
    this.#enqueue(() => this.#recoverDrafts());
  }

  // ── what arrives ──────────────────────────────────────────────────────────────────────────────

  /** The note's row is to be derived anew, also after a crash right behind this. */
  #markStale(space: Space, docId: Uint8Array): void {
    if (equal(docId, space.indexId)) return;
    const row = this.#store.notes.get(docId);
    const now = this.#ports.clock.now();
    if (row === null) {
      this.#store.notes.upsert({
        doc: docId,
        space: space.id,
        title: "",
        preview: "",
        createdAt: now,
        updatedAt: now,
        trashedAt: null,
        movedTo: null,
        listed: false,
        stale: true,
      });
    } else this.#store.notes.upsert({ ...row, updatedAt: now, stale: true });
  }

  #received(space: Space, docId: Uint8Array, changes: readonly Uint8Array[]): void {
    if (equal(docId, space.indexId)) {
      this.#enqueue(() => this.#indexChanged(space));
      return;
    }
    this.#emit({ type: "changes", id: documentIdToText(docId), session: null, changes });
    this.#materialiseSoon();
    this.#notify("notes");
  }

  async #indexChanged(space: Space): Promise<void> {
    const documents = await this.#loadedDocuments();
    try {
      if (space.kind === "vault") {
        this.#vaultIndex = documents.load(space.indexId, vaultIndexGenesis(documents.automerge));
        this.#projectVault();
      } else {
        this.#indices.set(
          space.hex,
          documents.load(space.indexId, notebookIndexGenesis(documents.automerge)),
        );
        this.#projectIndex(space);
        this.#introduce(documents, space);
      }
    } catch (error) {
      this.#log(
        "error",
        `A list of notes could not be read in full (${messageOf(error)}). Its notes are still here.`,
      );
    }
  }

  /** Rows of the list as the index document has them. */
  #projectIndex(space: Space): void {
    const index = this.#indices.get(space.hex);
    if (index === undefined) return;
    this.#store.transaction(() => {
      for (const [key, packed] of Object.entries(index.notes)) {
        const doc = parseHex(key);
        const createdAt = unpackMoment(packed);
        if (doc?.length !== 16 || createdAt === null) continue;
        this.#projectNote(space, index, doc, createdAt);
      }
      for (const row of [
        ...this.#store.notes.list(),
        ...this.#store.notes.list({ trashed: true }),
      ]) {
        if (equal(row.space, space.id) && index.notes[toHex(row.doc)] === undefined) {
          this.#projectNote(space, index, row.doc, row.createdAt);
        }
      }
      const members = Object.entries(index.members).flatMap(([cap, profile]) => {
        const capPub = parseHex(cap);
        const name =
          capPub?.length === 32 ? openProfile(this.#ports.ed, capPub, space.id, profile) : null;
        return name === null ? [] : [{ cap, name }];
      });
      const before = this.#facts(space.id);
      const name = textOf(index.name) === "" ? before.name : textOf(index.name);
      this.#saveFacts(space.id, { name, members });
    });
    this.#notify("notes");
    this.#notify("notebooks");
  }

  #projectNote(space: Space, index: NotebookIndex, doc: Uint8Array, createdAt: number): void {
    const key = toHex(doc);
    const trash = index.trash[key];
    const moved = index.moved[key];
    const row = this.#store.notes.get(doc);
    if (row !== null && !equal(row.space, space.id)) return;
    this.#store.notes.upsert({
      ...(row ?? {
        doc,
        space: space.id,
        title: "",
        preview: "",
        updatedAt: createdAt,
        stale: this.#store.changes.heads(doc).length > 0,
      }),
      createdAt,
      trashedAt: trash === undefined ? null : (unpackMoment(trash) ?? createdAt),
      movedTo: moved === undefined ? null : (unpackMove(moved)?.doc ?? null),
      listed: index.notes[key] !== undefined,
    });
  }

  /** Notebooks another device of the same person has put into the vault. */
  #projectVault(): void {
    const vault = this.#vaultIndex;
    if (vault === null) return;
    const identity = this.#mustIdentity();
    const name = textOf(vault.displayName);
    if (name !== "") {
      this.#store.settings.put("device/name", utf8(name));
      if (this.#session !== null) this.#session.displayName = name;
    }
    for (const packed of Object.values(vault.notebooks)) {
      const notebook = unpackNotebook(packed);
      if (notebook === null) continue;
      const id = spaceIdOf(notebook.genesis);
      if (this.#spaces.has(toHex(id))) continue;
      const space = this.#store.transaction(() => {
        this.#putSpaceRow(id, notebook.genesis, "notebook", notebook.capSecret);
        const opened = this.#openSpace(id, notebook.genesis, notebook.capSecret, identity);
        opened.certifyDevice();
        return opened;
      });
      this.#session?.add(space);
    }
    this.#notify("notebooks");
  }

  #membersChanged(space: Space): void {
    space.reload();
    this.#notify("notebooks");
  }

  #spaceEnded(space: Space): void {
    this.#store.spaces.update(space.id, { state: "ended" });
    this.#log(
      "warning",
      `You no longer have access to ${this.#facts(space.id).name}. What you had received is still on this device.`,
    );
    this.#notify("notebooks");
  }

  /** Grants of ours that another administrator's record overtook, written anew on top of it. */
  #writeAnew(space: Space, records: readonly SignedControl[]): void {
    const { ed, random, clock } = this.#ports;
    for (const { record } of records) {
      const key = space.currentKey;
      if (record.body.type !== "grant" || space.capability === null || key === null) continue;
      const keyThen = space.keyOf(record.epochAfter);
      const meta = keyThen === null ? null : openMeta(space.id, keyThen, record.body.meta);
      const signed = grant(
        { ed, random },
        space.controlPlace(clock.now()),
        space.capability.sign,
        key.key,
        {
          ...record.body,
          meta: meta ?? new Uint8Array(0),
        },
      );
      this.#store.spaces.addControl(
        space.id,
        signed.record.ctrlSeq,
        signed.bytes,
        null,
        signed.hash,
      );
      space.reload();
    }
  }

  /** The relay has lost a space: its control log, its certificates and our changes go there again. */
  #putBack(space: Space): void {
    this.#store.transaction(() => {
      this.#store.spaces.unconfirmControl(space.id);
      this.#store.spaces.unpushCertificates(space.id);
      this.#store.inbox.rewind(space.id, 0, chainStart(space.id));
      for (const { doc } of this.#store.documents.ofSpace(space.id)) {
        this.#store.outbox.add(space.id, doc, this.#writtenHere(doc));
      }
      space.reload();
    });
    this.#log("warning", "The relay lost some recent data. This device has put it back.");
    this.#emit({
      type: "notice",
      text: "The relay lost some recent data. This device has put it back.",
    });
  }

  /** Each device gives back what it wrote itself: that it can sign for. */
  #writtenHere(doc: Uint8Array): readonly Uint8Array[] {
    return this.#store.changes.ofDocument(doc).flatMap((row) => (row.local ? [row.hash] : []));
  }

  // ── rows of notes nobody has open ─────────────────────────────────────────────────────────────

  #materialiseSoon(): void {
    if (this.#closed) return;
    this.#materialising?.();
    this.#materialising = this.#ports.timers.after(materialiseAfterMs, () => {
      this.#materialising = null;
      this.#enqueue(() => this.#materialise());
    });
  }

  /** Derives every stale row now, for callers that read the list once. */
  async describeStale(): Promise<void> {
    await this.#work;
    for (let left = this.#store.notes.stale(); left.length > 0; left = this.#store.notes.stale()) {
      for (const doc of left) await this.#describeRow(doc);
    }
  }

  /** Derives the row of one stale note, then gives way; the rest follows. */
  async #materialise(): Promise<void> {
    const [doc, ...rest] = this.#store.notes.stale();
    if (doc === undefined || this.#closed) return;
    await this.#describeRow(doc);
    this.#notify("notes");
    if (rest.length > 0) {
      this.#ports.timers.after(0, () => this.#enqueue(() => this.#materialise()));
    }
  }

  async #describeRow(doc: Uint8Array): Promise<void> {
    const documents = await this.#loadedDocuments();
    try {
      const loaded = documents.load<NoteDocument>(doc);
      this.#describe(doc, loaded);
      documents.automerge.free(loaded);
    } catch (error) {
      const row = this.#store.notes.get(doc);
      if (row !== null) this.#store.notes.upsert({ ...row, stale: false });
      this.#log(
        "error",
        `A note could not be read for the list (${messageOf(error)}). Its changes are kept.`,
      );
    }
  }

  /** Title and preview of a document into its row. */
  #describe(doc: Uint8Array, note: Doc<NoteDocument>): void {
    const row = this.#store.notes.get(doc);
    if (row === null) return;
    const arrived = typeof note.body === "string" && typeof note.title === "string";
    this.#store.notes.upsert({
      ...row,
      ...(arrived ? { title: plainTitle(note), preview: plainPreview(note) } : {}),
      updatedAt: row.stale ? row.updatedAt : this.#ports.clock.now(),
      stale: false,
    });
  }

  // ── drafts left behind ────────────────────────────────────────────────────────────────────────

  /** Drafts whose tab is gone become changes: a crash loses nothing that was shown as saved. */
  async #recoverDrafts(): Promise<void> {
    const documents = new Map(
      this.#store.drafts.all().map((draft) => [toHex(draft.doc), draft.doc]),
    );
    for (const doc of documents.values()) await this.#recoverDraftsOf(doc);
  }

  async #recoverDraftsOf(docId: Uint8Array): Promise<void> {
    for (const draft of this.#store.drafts.of(docId)) {
      if (await this.#ports.sessionAlive(draft.session)) continue;
      const row = this.#store.notes.get(docId);
      const space = row === null ? undefined : this.#spaces.get(toHex(row.space));
      if (row === null || space === undefined) continue;
      const documents = await this.#loadedDocuments();
      const made = this.#store.transaction(() => {
        // Asked again: another opening may have recovered it in the meantime.
        const current = this.#store.drafts
          .of(docId)
          .find((other) => other.session === draft.session);
        if (current === undefined) return null;
        const edits = JSON.parse(current.edits) as readonly FieldSplice[]; // written by draft() above
        const spliced = documents.spliceAt(space, docId, current.heads.map(toHex), edits);
        if (spliced === null) return null;
        this.#store.drafts.remove(docId, draft.session);
        this.#describe(docId, spliced.doc);
        return spliced.changes;
      });
      if (made === null) continue;
      this.#emit({ type: "changes", id: documentIdToText(docId), session: null, changes: made });
      this.#changedHere(space);
    }
  }

  // ── index documents ───────────────────────────────────────────────────────────────────────────

  /** Loads every index once and completes what creation left open (first notebook, own profile). */
  async #settleIndices(): Promise<void> {
    const documents = await this.#loadedDocuments();
    if (this.#closed) return;
    this.#store.transaction(() => {
      this.#vault(documents);
      for (const space of this.#spaces.values()) {
        if (space.kind === "vault") continue;
        this.#index(documents, space);
        this.#projectIndex(space);
      }
      this.#projectVault();
      const first = this.#store.settings.get("device/first-notebook");
      const space = first === null ? undefined : this.#spaces.get(toHex(first));
      if (space !== undefined && this.#vault(documents).notebooks[space.hex] === undefined) {
        this.#listInVault(documents, space);
        this.#nameNotebook(documents, space, firstNotebookName);
      }
    });
    for (const space of this.#spaces.values()) this.#session?.poke(space);
    this.#notify("notebooks");
  }

  #index(documents: DeviceDocuments, space: Space): Doc<NotebookIndex> {
    const held = this.#indices.get(space.hex);
    if (held !== undefined) return held;
    const loaded = documents.load(space.indexId, notebookIndexGenesis(documents.automerge));
    this.#indices.set(space.hex, loaded);
    return loaded;
  }

  #vault(documents: DeviceDocuments): Doc<VaultIndex> {
    if (this.#vaultIndex !== null) return this.#vaultIndex;
    const space = this.#mustSpace(toHex(this.#mustIdentity().vault));
    this.#vaultIndex = documents.load(space.indexId, vaultIndexGenesis(documents.automerge));
    return this.#vaultIndex;
  }

  /** One change to a notebook's index; in the caller's transaction. */
  #editIndex(documents: DeviceDocuments, space: Space, edit: (index: NotebookIndex) => void): void {
    this.#indices.set(space.hex, this.#edit(documents, space, this.#index(documents, space), edit));
  }

  #editVault(documents: DeviceDocuments, edit: (vault: VaultIndex) => void): void {
    const space = this.#mustSpace(toHex(this.#mustIdentity().vault));
    this.#vaultIndex = this.#edit(documents, space, this.#vault(documents), edit);
    this.#session?.poke(space);
  }

  #edit<T>(
    documents: DeviceDocuments,
    space: Space,
    before: Doc<T>,
    edit: (doc: T) => void,
  ): Doc<T> {
    const { automerge } = documents;
    this.#store.documents.add({ doc: space.indexId, space: space.id, kind: "index", origin: null });
    const own = this.#store.documents.actor(space.indexId, mustHex(automerge.getActorId(before)));
    const based =
      own === null
        ? automerge.clone(before, { actor: documents.newActor(space, space.indexId, "device") })
        : before;
    const after = automerge.change(
      based,
      { time: Math.floor(this.#ports.clock.now() / 1000) },
      edit,
    );
    documents.record(space, space.indexId, based, after);
    return after;
  }

  #listInVault(documents: DeviceDocuments, space: Space): void {
    const row = this.#store.spaces.get(space.id);
    if (row === null || row.capSecret === null) return;
    const { genesis, capSecret, createdAt } = row;
    this.#editVault(documents, (vault) => {
      vault.notebooks[space.hex] = packNotebook({ genesis, capSecret, addedAt: createdAt });
    });
  }

  /** This person's name in the notebook's member list, signed; only when it is not there already. */
  #introduce(documents: DeviceDocuments, space: Space): void {
    const name = this.#displayName();
    const { capability } = space;
    if (space.kind === "vault" || name === "" || capability === null || !space.mayWrite) return;
    const cap = toHex(capability.sign.publicKey);
    const held = this.#index(documents, space).members[cap];
    const { ed } = this.#ports;
    if (held !== undefined && openProfile(ed, capability.sign.publicKey, space.id, held) === name)
      return;
    this.#editIndex(documents, space, (index) => {
      index.members[cap] = signProfile(ed, capability.sign, space.id, name);
    });
    this.#projectIndex(space);
    this.#session?.poke(space);
  }

  #facts(space: Uint8Array): NotebookFacts {
    const bytes = this.#store.settings.get(`notebook/${toHex(space)}`);
    if (bytes === null) return { name: "", members: [] };
    return JSON.parse(new TextDecoder().decode(bytes)) as NotebookFacts; // written by #saveFacts alone
  }

  #saveFacts(space: Uint8Array, facts: NotebookFacts): void {
    this.#store.settings.put(`notebook/${toHex(space)}`, utf8(JSON.stringify(facts)));
  }

  // ── small things ──────────────────────────────────────────────────────────────────────────────

  #loadedDocuments(): Promise<DeviceDocuments> {
    const { store, random, clock, automerge } = this.#ports;
    this.#documents ??= automerge().then(
      (loaded) => new DeviceDocuments(store, random, () => clock.now(), loaded),
    );
    return this.#documents;
  }

  #mustIdentity(): DeviceIdentity & { readonly vault: Uint8Array } {
    return (
      this.#identity ??
      refuse("refused", "This device has no identity yet. Create one or restore from your words.")
    );
  }

  #mustSpace(hex: string): Space {
    return (
      this.#spaces.get(hex) ??
      refuse("no-such-notebook", "There is no such notebook on this device.")
    );
  }

  #mustNotebook(id: string): Space {
    const space = this.#mustSpace(id);
    if (space.kind !== "notebook")
      refuse("no-such-notebook", "There is no such notebook on this device.");
    return space;
  }

  #firstNotebook(): Space {
    const notebooks = this.#store.spaces
      .list()
      .filter((row) => row.kind === "notebook" && row.state === "active")
      .toSorted((a, b) => a.createdAt - b.createdAt);
    const first = notebooks
      .map((row) => this.#spaces.get(toHex(row.id)))
      .find((space) => space !== undefined && space.role === roles.admin && space.mayWrite);
    return (
      first ??
      refuse(
        "no-such-notebook",
        "This device has no notebook to write in yet. Its notebooks are still arriving.",
      )
    );
  }

  #mustNote(id: string): {
    readonly docId: Uint8Array;
    readonly row: StoredNote;
    readonly space: Space;
  } {
    const docId = parseDocumentId(id);
    const row = docId === undefined ? null : this.#store.notes.get(docId);
    const space = row === null ? undefined : this.#spaces.get(toHex(row.space));
    if (docId === undefined || row === null || space === undefined) {
      return refuse("no-such-note", "There is no such note on this device.");
    }
    return { docId, row, space };
  }

  #mustWrite(space: Space): void {
    if (!space.mayWrite) {
      refuse("no-access", "You can read this notebook but not change it.");
    }
  }

  /** Something was written here: tell the lists, and the relay. */
  #changedHere(space: Space): void {
    this.#session?.poke(space);
    this.#notify("notes");
    this.#progressed();
  }

  #progressed(): void {
    for (const waiter of this.#progressWaiters) waiter();
    this.#notify("status");
    this.#notify("notes");
  }

  /** Events of one kind that come together are told once. */
  #notify(type: "notes" | "notebooks" | "status"): void {
    if (this.#closed || this.#notified.has(type) || this.#listeners.size === 0) return;
    const cancel = this.#ports.timers.after(notifyAfterMs, () => {
      this.#notified.delete(type);
      if (type !== "status") this.#emit({ type });
      else {
        void this.status().then((status) => this.#emit({ type, status }));
      }
    });
    this.#notified.set(type, cancel);
  }

  #emit(event: DeviceEvent): void {
    if (this.#closed) return;
    for (const listener of this.#listeners) listener(event);
  }

  #log(level: "info" | "warning" | "error", text: string): void {
    this.#store.syncLog.add(level, text);
  }

  /** Background work, one piece after another; a failure is told in the log and does not stop the rest. */
  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work
      .then(() => (this.#closed ? undefined : work()))
      .catch((error: unknown) => {
        if (!this.#closed)
          this.#log("error", `Something went wrong in the background: ${messageOf(error)}.`);
      })
      .then(() => {
        for (const waiter of this.#progressWaiters) waiter();
      });
  }
}

interface OpenedLink {
  readonly genesis: Uint8Array;
  readonly records: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
  readonly certificates: readonly Uint8Array[];
  readonly log: Extract<VerifiedLog, { ok: true }>;
  readonly link: HeldCapability;
  readonly key: Uint8Array;
}

function deviceGrant(capability: HeldCapability): Parameters<typeof grant>[4] {
  return {
    signPub: capability.sign.publicKey,
    boxPub: capability.box.publicKey,
    role: roles.admin,
    kind: capabilityKinds.device,
    notAfter: 0,
    maxJoins: 0,
    meta: new Uint8Array(0),
  };
}

function roleName(space: Space): Role {
  if (space.role === roles.admin) return "admin";
  return space.role === roles.edit ? "edit" : "read";
}

/** What a link tells before it is used, sealed under the notebook's key. */
interface LinkMeta {
  readonly name: string;
  readonly from: string;
  /** How many notes went along when the link was made. */
  readonly notes: number;
}

const nothingKnown: LinkMeta = { name: "", from: "", notes: 0 };

function encodeLinkMeta({ name, from, notes }: LinkMeta): Uint8Array {
  return utf8(JSON.stringify([name, from, notes]));
}

/** Written by whoever made the link: any shape is possible. */
function decodeLinkMeta(bytes: Uint8Array): LinkMeta {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!Array.isArray(value)) return nothingKnown;
    const [name, from, notes] = value as readonly unknown[];
    return {
      name: typeof name === "string" ? cleanName(name) : "",
      from: typeof from === "string" ? cleanName(from) : "",
      notes: typeof notes === "number" && Number.isSafeInteger(notes) && notes > 0 ? notes : 0,
    };
  } catch {
    return nothingKnown;
  }
}

function mustLink(text: string): ShareLink {
  const parsed = parseLink(text);
  return parsed.ok ? parsed.link : refuse("bad-link", parsed.message);
}

/** `ws://host/v1` ⇄ `http://host/`: the relay serves the app from its own address. */
function appOf(relay: string): string {
  return relay.replace(/^ws/, "http").replace(/\/v1$/, "/");
}

function relayOf(link: string): string | null {
  const app = /^https?:\/\/[^#]*/.exec(link.trim())?.[0];
  return app === undefined ? null : `${app.replace(/^http/, "ws").replace(/\/*$/, "")}/v1`;
}

function sameRelay(a: string, b: string): boolean {
  const host = (url: string): string =>
    url.replace(/\/\/(localhost|127\.0\.0\.1)(?=[:/])/, "//localhost");
  return host(a) === host(b);
}

/** A tab's presence session from its name: stable for the tab, told apart from other tabs. */
function presenceSessionOf(session: string): Uint8Array {
  const hash = new Uint8Array(8);
  for (const [ix, byte] of utf8(session).entries()) {
    const at = ix % 8;
    hash[at] = ((hash[at] ?? 0) * 31 + byte + ix) & 255;
  }
  return hash;
}

function errorOf(message: { readonly type: string; readonly code?: number }): number {
  return message.type === "error"
    ? (message.code ?? refusals.INTERNAL.code)
    : refusals.INTERNAL.code;
}

function mustHex(text: string): Uint8Array {
  return (
    parseHex(text) ?? refuse("bad-input", "A version or an author is not written as hex digits.")
  );
}

function textOf(value: AutomergeModule.ImmutableString | string): string {
  return typeof value === "string" ? value : value.val;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function newlines(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
