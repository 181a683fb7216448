/**
 * The index documents this device holds, the vault's and one per notebook: loading and editing them,
 * and what they say put into rows and facts. Every edit belongs into the caller's transaction.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { docIdBytes, spaceIdBytes, spaceIdOf } from "#relay/protocol/genesis.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { openColour, openProfile, signColour, signProfile } from "#client/crypto/profile.ts";
import type { Clock } from "#client/sync/ports.ts";
import { loadAccessKey, saveAccessKey } from "#client/sync/relay-access.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { failureWords } from "./failure-words.ts";
import {
  formerKey,
  formerPrefix,
  packFormer,
  unpackFormer,
  type FormerAccess,
} from "./former-access.ts";
import {
  loadBackupKey,
  loadDisplayName,
  loadPersonColour,
  saveBackupKey,
  saveDisplayName,
  savePersonColour,
} from "./identity.ts";
import {
  accessKeyName,
  accessPrefix,
  arrivalsIn,
  leftKey,
  memberColourKey,
  notebookIndexGenesis,
  packColour,
  packMoment,
  packNotebook,
  packParent,
  parentKey,
  pinKey,
  pinPrefix,
  successorKey,
  successorPrefix,
  unpackArrival,
  unpackColour,
  unpackMoment,
  unpackMove,
  unpackNotebook,
  vaultIndexGenesis,
  type Arrival,
  type NotebookIndex,
  type VaultNotebook,
  type VaultIndex,
} from "./index-document.ts";
import { parentsIn, saveParents } from "./nesting.ts";
import { pendingCopies } from "./pending-moves.ts";
import type { RelayDesk } from "./relay-desk.ts";
import { renewalsIn, signRenewal, type RenewalRequest } from "./renewal-request.ts";
import { firstNotebookName, type Shelf } from "./shelf.ts";

type Doc<T> = AutomergeModule.Doc<T>;
type NewNote = Omit<StoredNote, "version">;

export interface IndicesPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly events: DeviceEvents;
  /** What opens a space may not be what it was. */
  readonly accessChanged: (space: Space) => void;
}

export class Indices {
  readonly #ports: IndicesPorts;
  readonly #store: Store;
  readonly #notebooks = new Map<string, Doc<NotebookIndex>>();
  #vault: Doc<VaultIndex> | null = null;

  constructor(ports: IndicesPorts) {
    this.#ports = ports;
    this.#store = ports.store;
    // An edit that was not journalled must not be built upon.
    ports.store.onRollback(() => this.forget());
  }

  /** Loads everything anew when it is next needed. */
  forget(): void {
    this.#notebooks.clear();
    this.#vault = null;
  }

  /** Loads every index once and completes what creation left open (first notebook, own profile). */
  settle(documents: DeviceDocuments): void {
    const { shelf, desk, events } = this.#ports;
    this.#store.transaction(() => {
      this.vault(documents);
      for (const space of shelf.spaces()) {
        if (space.kind === "vault") continue;
        this.#loaded(documents, space);
        this.project(space);
      }
      this.#projectVault();
      const first = shelf.firstFounded;
      if (first !== null && this.vault(documents).notebooks[first.hex] === undefined) {
        this.listInVault(documents, first);
        this.nameNotebook(documents, first, firstNotebookName);
      }
    });
    for (const space of shelf.spaces()) desk.poke(space);
    events.notify("notebooks");
  }

  /** Takes in what has arrived of the index of a space. */
  reload(documents: DeviceDocuments, space: Space): void {
    try {
      this.#reload(documents, space);
    } catch (error) {
      this.#store.syncLog.add(
        "error",
        `A list of notes could not be read in full (${failureWords(error)}). Its notes are still here.`,
      );
    }
  }

  #reload(documents: DeviceDocuments, space: Space): void {
    if (space.kind === "vault") {
      this.#vault = loadVault(documents, space);
      this.#projectVault();
    } else {
      this.#notebooks.set(space.hex, loadNotebook(documents, space));
      this.project(space);
      this.introduce(documents, space);
    }
  }

  /** One change to a notebook's index. Rows follow with {@link project}. */
  edit(documents: DeviceDocuments, space: Space, change: (index: NotebookIndex) => void): void {
    const before = this.#loaded(documents, space);
    this.#notebooks.set(space.hex, this.#changed(documents, space, before, change));
  }

  /** The index as it is held; not to be kept. */
  read(documents: DeviceDocuments, space: Space): Doc<NotebookIndex> {
    return this.#loaded(documents, space);
  }

  nameOf(documents: DeviceDocuments, space: Space): string {
    return textOf(this.#loaded(documents, space).name);
  }

  /** The documents that came into a notebook from its old home, by their ids there in hex. */
  arrivals(documents: DeviceDocuments, space: Space): ReadonlyMap<string, Arrival> {
    return arrivalsOf(this.#loaded(documents, space));
  }

  /** The person's other devices, and those to come, take the new home of a notebook for it. */
  listSuccessor(documents: DeviceDocuments, space: Space, next: Space): void {
    this.listInVault(documents, next);
    const key = successorKey(space.hex);
    if (this.vault(documents)[key] !== undefined) return;
    this.editVault(documents, (vault) => {
      vault[key] = next.id;
    });
  }

  /** What {@link listSuccessor} has listed, on whichever device. */
  successors(documents: DeviceDocuments): readonly { from: Uint8Array; to: Uint8Array }[] {
    return successorsIn(this.vault(documents));
  }

  nameNotebook(documents: DeviceDocuments, space: Space, name: string): void {
    this.edit(documents, space, (index) => {
      index.name = new documents.automerge.ImmutableString(name);
    });
    this.introduce(documents, space);
    this.project(space);
  }

  colourNotebook(documents: DeviceDocuments, space: Space, colour: number | null): void {
    this.edit(documents, space, (index) => {
      if (colour === null) delete index.colour;
      else index.colour = packColour(colour);
    });
    this.project(space);
  }

  /** The person keeps a notebook in another one, or (null) not any more. */
  nest(documents: DeviceDocuments, space: Space, parent: Space | null): void {
    const key = parentKey(space.hex);
    this.editVault(documents, (vault) => {
      if (parent === null) delete vault[key];
      else vault[key] = packParent(parent.id);
    });
    saveParents(this.#store, parentsIn(this.vault(documents)));
  }

  /** The person's other devices find the notebook from now on. */
  listInVault(documents: DeviceDocuments, space: Space): void {
    const row = this.#store.spaces.get(space.id);
    if (row === null || row.capSecret === null) return;
    const { genesis, capSecret, createdAt, relayUrl } = row;
    this.editVault(documents, (vault) => {
      vault.notebooks[space.hex] = packNotebook({
        genesis,
        capSecret,
        addedAt: createdAt,
        relay: relayUrl,
      });
      if (vault[leftKey(space.hex)] !== undefined) delete vault[leftKey(space.hex)];
    });
  }

  /** Fresh access to notebooks, for the person's other devices, beside what it replaces; before it is taken here. */
  renewAccess(
    documents: DeviceDocuments,
    renewed: readonly { readonly space: Space; readonly capSecret: Uint8Array }[],
  ): void {
    for (let at = 0; at < renewed.length; at += mostRenewedAtOnce) {
      this.editVault(documents, (vault) => {
        for (const { space, capSecret } of renewed.slice(at, at + mostRenewedAtOnce)) {
          const row = this.#store.spaces.get(space.id);
          if (row === null) continue;
          const { genesis, createdAt: addedAt, capSecret: former, relayUrl: relay } = row;
          vault.notebooks[space.hex] = packNotebook({ genesis, capSecret, addedAt, relay });
          if (former === null) continue;
          const { publicKey } = capabilityFrom(this.#ports.ed, former).sign;
          const packed = packFormer({ space: space.id, capSecret: former });
          vault[formerKey(toHex(publicKey))] = packed;
        }
      });
    }
  }

  /** Asks those who manage a notebook to let in what this person is to use from now on; again is harmless. */
  askForRenewal(documents: DeviceDocuments, space: Space): void {
    const { ed, desk } = this.#ports;
    const [next] = space.held;
    const { capability } = space;
    if (next === undefined || capability === null || next === capability || !space.mayWrite) return;
    const [key, request] = signRenewal(ed, space.id, capability, next);
    if (this.#loaded(documents, space)[key] !== undefined) return;
    this.#store.transaction(() =>
      this.edit(documents, space, (index) => {
        index[key] = request;
      }),
    );
    desk.poke(space);
  }

  /** What was asked for is granted; in the caller's transaction. */
  forgetRenewal(documents: DeviceDocuments, space: Space, { key }: RenewalRequest): void {
    this.edit(documents, space, (index) => {
      delete index[key];
    });
  }

  /** What members of a notebook ask of those who manage it. */
  renewalRequests(documents: DeviceDocuments, space: Space): readonly RenewalRequest[] {
    return renewalsIn(this.#ports.ed, space.authority, { ...this.#loaded(documents, space) });
  }

  /** The person's new name, for their other devices and for the members of every notebook. */
  renamePerson(documents: DeviceDocuments, name: string): void {
    saveDisplayName(this.#store, name);
    this.editVault(documents, (vault) => {
      vault.displayName = new documents.automerge.ImmutableString(name);
    });
    for (const space of this.#ports.shelf.spaces()) this.introduce(documents, space);
  }

  /** The person's new hue, in the same way. */
  colourPerson(documents: DeviceDocuments, colour: number): void {
    savePersonColour(this.#store, colour);
    this.editVault(documents, (vault) => {
      vault.personColour = packColour(colour);
    });
    for (const space of this.#ports.shelf.spaces()) this.introduce(documents, space);
  }

  /** This person's devices do not follow the notebook any more, from now on. */
  noteLeft(documents: DeviceDocuments, space: Space): void {
    this.editVault(documents, (vault) => {
      delete vault.notebooks[space.hex];
      vault[leftKey(space.hex)] = packMoment(this.#ports.clock.now());
    });
  }

  hasLeft(documents: DeviceDocuments, space: Space): boolean {
    return hasLeft(this.vault(documents), space);
  }

  /** The person's other devices enter that relay with the same key. */
  keepAccessKey(documents: DeviceDocuments, relayPub: Uint8Array): void {
    const secret = loadAccessKey(this.#store, relayPub);
    const key = accessKeyName(toHex(relayPub));
    if (secret === null || this.vault(documents)[key] !== undefined) return;
    this.editVault(documents, (vault) => {
      vault[key] = secret;
    });
  }

  /** What opens this person's backups, for devices that never see the words; in the caller's transaction. */
  keepBackupKey(documents: DeviceDocuments): void {
    const own = loadBackupKey(this.#store);
    const { backup } = this.vault(documents);
    if (own === null || backup !== undefined || !this.#ports.shelf.vault.mayWrite) return;
    this.editVault(documents, (vault) => {
      vault.backup = own;
    });
  }

  #projectBackupKey({ backup }: VaultIndex): void {
    if (!(backup instanceof Uint8Array) || backup.length !== 32) return;
    if (loadBackupKey(this.#store) === null) saveBackupKey(this.#store, backup);
  }

  /** The first key that was kept for a relay is this person's on every device. */
  #projectAccessKeys(vault: VaultIndex): void {
    const come = Object.entries(vault).flatMap(([key, secret]) => {
      const relayPub = key.startsWith(accessPrefix)
        ? parseHex(key.slice(accessPrefix.length))
        : null;
      if (relayPub === null || !(secret instanceof Uint8Array) || secret.length !== 32) return [];
      const held = loadAccessKey(this.#store, relayPub);
      return held !== null && equal(held, secret) ? [] : [{ relayPub, secret }];
    });
    for (const { relayPub, secret } of come) saveAccessKey(this.#store, relayPub, secret);
    if (come.length > 0) this.#ports.desk.accessKeyCame();
  }

  /** The person wants a note in front, or not any more. */
  pin(documents: DeviceDocuments, doc: Uint8Array, pinned: boolean): void {
    const key = pinKey(toHex(doc));
    if ((this.vault(documents)[key] !== undefined) === pinned) return;
    this.editVault(documents, (vault) => {
      if (pinned) vault[key] = packMoment(this.#ports.clock.now());
      else delete vault[key];
    });
    this.#projectPins(this.vault(documents));
  }

  #projectPins(vault: VaultIndex): void {
    const changed = this.#store.pins.replace(pinnedIn(vault));
    for (const doc of changed) this.#store.notes.tell(doc);
    if (changed.length > 0) this.#ports.events.notify("notes");
  }

  /** This person's name and hue in the notebook's member list, signed; only what is not there already. */
  introduce(documents: DeviceDocuments, space: Space): void {
    const { ed, desk } = this.#ports;
    const name = loadDisplayName(this.#store);
    const hue = loadPersonColour(this.#store);
    const { capability } = space;
    if (space.kind === "vault" || capability === null || !space.mayWrite) return;
    const { publicKey } = capability.sign;
    const cap = toHex(publicKey);
    const hueKey = memberColourKey(cap);
    const { [cap]: heldName, [hueKey]: heldHue } = this.#loaded(documents, space).members;
    const isNamed =
      name === "" ||
      (heldName !== undefined && openProfile(ed, publicKey, space.id, heldName) === name);
    const isColoured =
      hue === null ||
      (heldHue !== undefined && openColour(ed, publicKey, space.id, heldHue) === hue);
    if (isNamed && isColoured) return;
    this.edit(documents, space, ({ members }) => {
      if (!isNamed) members[cap] = signProfile(ed, capability.sign, space.id, name);
      if (!isColoured) members[hueKey] = signColour(ed, capability.sign, space.id, hue);
    });
    this.project(space);
    desk.poke(space);
  }

  #loaded(documents: DeviceDocuments, space: Space): Doc<NotebookIndex> {
    const held = this.#notebooks.get(space.hex) ?? loadNotebook(documents, space);
    this.#notebooks.set(space.hex, held);
    return held;
  }

  /** What this person's devices tell each other. */
  vault(documents: DeviceDocuments): Doc<VaultIndex> {
    this.#vault ??= loadVault(documents, this.#ports.shelf.vault);
    return this.#vault;
  }

  /** One change to it. */
  editVault(documents: DeviceDocuments, change: (vault: VaultIndex) => void): void {
    const { shelf, desk } = this.#ports;
    const before = this.vault(documents);
    this.#vault = this.#changed(documents, shelf.vault, before, change);
    desk.poke(shelf.vault);
  }

  #changed<T>(
    documents: DeviceDocuments,
    space: Space,
    before: Doc<T>,
    change: (doc: T) => void,
  ): Doc<T> {
    const { automerge } = documents;
    this.#store.documents.add({ doc: space.indexId, space: space.id, kind: "index", origin: null });
    const actor = parseHex(automerge.getActorId(before));
    const isOurs = actor !== null && this.#store.documents.actor(space.indexId, actor) !== null;
    const based = isOurs
      ? before
      : automerge.clone(before, { actor: documents.newActor(space, space.indexId, "device") });
    const time = Math.floor(this.#ports.clock.now() / 1000);
    const after = automerge.change(based, { time }, change);
    documents.record(space, space.indexId, based, after);
    return after;
  }

  /** Rows of the list, name and members as the index document has them. */
  project(space: Space): void {
    const { desk, events } = this.#ports;
    const index = this.#notebooks.get(space.hex);
    if (index === undefined) return;
    const isPutBack = this.#store.transaction(() => {
      const putBack = this.#takeBack(space, index);
      this.#projectNotes(space, index);
      this.#projectFacts(space, index);
      return putBack;
    });
    if (isPutBack) desk.readAgain(space);
    // What came from there is shown here.
    for (const old of this.#ports.shelf.predecessorsOf(space)) this.project(old);
    events.notify("notes");
    events.notify("notebooks");
  }

  /**
   * Notes that were deleted here for ever, and that another device has put back from the trash since: the whole log is
   * read again, since what came of them meanwhile was left there. Whether there are any.
   */
  #takeBack(space: Space, index: NotebookIndex): boolean {
    const { trash, inbox, syncLog } = this.#store;
    const back = trash.purgedIn(space.id).filter((doc) => {
      const key = toHex(doc);
      const isGone = index.trash[key] !== undefined || index.moved[key] !== undefined;
      return index.notes[key] !== undefined && !isGone;
    });
    if (back.length === 0) return false;
    for (const doc of back) trash.unbury(doc);
    inbox.rewind(space.id, 0, chainStart(space.id));
    syncLog.add(
      "info",
      "A note that was deleted here has been put back from the trash on another device. It is fetched again.",
    );
    return true;
  }

  #projectNotes(space: Space, index: NotebookIndex): void {
    const copies = pendingCopies(this.#store);
    const { notes } = this.#store;
    const { shelf } = this.#ports;
    const held = new Map(
      [...notes.list(), ...notes.list({ trashed: true })].map((row) => [toHex(row.doc), row]),
    );
    const purged = new Set(this.#store.trash.purgedIn(space.id).map(toHex));
    const went = this.#wentFrom(space);
    for (const [key, packed] of Object.entries(index.notes)) {
      const doc = parseHex(key);
      const createdAt = unpackMoment(packed);
      if (doc?.length !== docIdBytes || createdAt === null || purged.has(toHex(doc))) continue;
      const row = held.get(toHex(doc));
      // A row of another space is that space's affair, whatever this index says; a row of none is damaged.
      const isAstray = row !== undefined && shelf.get(row.space) === undefined;
      if (row !== undefined && !equal(row.space, space.id) && !isAstray) continue;
      const kept = row ?? this.#blankRow(space, doc, createdAt);
      const after = this.#settledRow(
        listedRow(index, { ...kept, space: space.id }, createdAt, copies),
        went,
      );
      this.#keepRow(isAstray ? undefined : row, after);
    }
    for (const row of held.values()) {
      if (!equal(row.space, space.id) || index.notes[toHex(row.doc)] !== undefined) continue;
      this.#keepRow(row, this.#settledRow(listedRow(index, row, row.createdAt, copies), went));
    }
  }

  /** Where the documents of a notebook went that has a new home, by their hex; none before all is there. */
  #wentFrom(space: Space): ReadonlyMap<string, Arrival> {
    const next = this.#ports.shelf.successorOf(space);
    const index = next === null ? undefined : this.#notebooks.get(next.hex);
    return index === undefined ? new Map() : arrivalsOf(index);
  }

  #settledRow(row: NewNote, went: ReadonlyMap<string, Arrival>): NewNote {
    const arrival = went.get(toHex(row.doc));
    return arrival === undefined ? row : { ...row, movedTo: arrival.doc };
  }

  #blankRow(space: Space, doc: Uint8Array, createdAt: number): NewNote {
    return {
      doc,
      space: space.id,
      title: "",
      preview: "",
      tags: [],
      createdAt,
      updatedAt: createdAt,
      trashedAt: null,
      movedTo: null,
      listed: false,
      stale: this.#store.changes.heads(doc).length > 0,
    };
  }

  /** An index has thousands of rows and an edit of it changes one. */
  #keepRow(before: StoredNote | undefined, after: NewNote): void {
    const isSame =
      before !== undefined &&
      before.createdAt === after.createdAt &&
      before.trashedAt === after.trashedAt &&
      before.listed === after.listed &&
      toHex(before.movedTo ?? nowhere) === toHex(after.movedTo ?? nowhere);
    if (before === undefined) this.#store.notes.upsert(after);
    else if (!isSame) this.#store.notes.place(after.doc, after);
  }

  #projectFacts(space: Space, index: NotebookIndex): void {
    const { shelf, ed } = this.#ports;
    const members = Object.entries(index.members).flatMap(([cap, profile]) => {
      const capPub = parseHex(cap);
      const name = capPub?.length === 32 ? openProfile(ed, capPub, space.id, profile) : null;
      return name === null ? [] : [{ cap, name }];
    });
    const name = textOf(index.name);
    const colour = index.colour === undefined ? null : unpackColour(index.colour);
    const known = name === "" ? shelf.facts(space.id).name : name;
    shelf.saveFacts(space.id, { name: known, members, hues: this.#huesIn(space, index), colour });
  }

  #huesIn(space: Space, { members }: NotebookIndex): Readonly<Record<string, number>> {
    return Object.fromEntries(
      space.authority.capabilities.flatMap(({ signPub }) => {
        const cap = toHex(signPub);
        const packed = members[memberColourKey(cap)];
        const hue =
          packed === undefined ? null : openColour(this.#ports.ed, signPub, space.id, packed);
        return hue === null ? [] : [[cap, hue] as const];
      }),
    );
  }

  /** A notebook belongs to the relay that the vault says. */
  #place(space: Space, relay: string | null): void {
    if (this.#store.spaces.get(space.id)?.relayUrl === relay) return;
    this.#store.spaces.update(space.id, { relayUrl: relay });
    this.#ports.desk.moved(space);
  }

  /** Notebooks another device of the same person has put into the vault, and the person's name. */
  #projectVault(): void {
    const { shelf, desk, events } = this.#ports;
    if (this.#vault === null) return;
    events.notify("devices");
    const name = textOf(this.#vault.displayName);
    if (name !== "") {
      saveDisplayName(this.#store, name);
      desk.tellName();
    }
    const { personColour } = this.#vault;
    const hue = personColour === undefined ? null : unpackColour(personColour);
    if (hue !== null) savePersonColour(this.#store, hue);
    saveParents(this.#store, parentsIn(this.#vault));
    this.#projectPins(this.#vault);
    this.#projectAccessKeys(this.#vault);
    this.#projectBackupKey(this.#vault);
    const formers = formersIn(this.#vault);
    const left = new Set(successorsIn(this.#vault).map(({ from }) => toHex(from)));
    for (const packed of Object.values(this.#vault.notebooks)) {
      const access = unpackNotebook(packed);
      if (access === null) continue;
      // Nobody is there any more, and this device has written nothing there.
      const id = spaceIdOf(access.genesis);
      if (shelf.get(id) === undefined && left.has(toHex(id))) continue;
      this.#projectAccess(access, formers);
    }
    this.#projectLeft(this.#vault);
    events.notify("notebooks");
  }

  #projectLeft(vault: VaultIndex): void {
    const { shelf, desk } = this.#ports;
    for (const space of shelf.spaces()) {
      // Where this person's own access is being ended, that has to reach the relay first.
      const isUnderWay = this.#store.spaces.hasUnconfirmedControl(space.id);
      if (hasLeft(vault, space) && space.capability !== null && !isUnderWay) {
        this.#store.transaction(() => shelf.leave(space));
        desk.forget(space);
      }
    }
  }

  /** A notebook, or another secret for one, that came with another device of this person. */
  #projectAccess(access: VaultNotebook, formers: readonly FormerAccess[]): void {
    const { shelf, desk } = this.#ports;
    const id = spaceIdOf(access.genesis);
    const known = shelf.get(id);
    const isRenewed = known !== undefined && !shelf.uses(known, access.capSecret);
    const space = this.#store.transaction(() => {
      const held = known ?? shelf.add("notebook", access);
      if (isRenewed) shelf.takeAccess(held, access.capSecret);
      for (const former of formers) {
        if (equal(former.space, id)) shelf.keepFormer(held, former.capSecret);
      }
      held.certifyDevice();
      return held;
    });
    if (known === undefined) desk.add(space);
    else this.#place(space, access.relay);
    if (isRenewed) desk.restart(space);
    this.#ports.accessChanged(space);
  }
}

const nowhere = new Uint8Array(0);
/** One edit of the vault is one entry, which the relay takes up to a size. */
const mostRenewedAtOnce = 200;

function formersIn(vault: VaultIndex): readonly FormerAccess[] {
  return Object.entries(vault).flatMap(([key, packed]) => {
    if (!key.startsWith(formerPrefix) || !(packed instanceof Uint8Array)) return [];
    return unpackFormer(packed) ?? [];
  });
}

function hasLeft(vault: Readonly<VaultIndex>, { hex }: Space): boolean {
  return vault[leftKey(hex)] !== undefined && vault.notebooks[hex] === undefined;
}

/** The documents that a vault has pinned. */
function pinnedIn(vault: VaultIndex): Uint8Array[] {
  return Object.keys(vault).flatMap((key) => {
    const doc = key.startsWith(pinPrefix) ? parseHex(key.slice(pinPrefix.length)) : null;
    return doc?.length === docIdBytes ? [doc] : [];
  });
}

function arrivalsOf(index: NotebookIndex): ReadonlyMap<string, Arrival> {
  return new Map(
    arrivalsIn(index).flatMap(([doc, packed]) => {
      const arrival = unpackArrival(packed);
      return arrival === null ? [] : [[doc, arrival] as const];
    }),
  );
}

function successorsIn(vault: VaultIndex): readonly { from: Uint8Array; to: Uint8Array }[] {
  return Object.entries(vault).flatMap(([key, to]) => {
    const from = key.startsWith(successorPrefix)
      ? parseHex(key.slice(successorPrefix.length))
      : null;
    const isSound = from?.length === spaceIdBytes && to instanceof Uint8Array;
    return isSound && to.length === spaceIdBytes ? [{ from, to }] : [];
  });
}

/** @param copies of notes whose marker waits, by their ids in hex */
function listedRow(
  index: NotebookIndex,
  row: NewNote,
  createdAt: number,
  copies: ReadonlyMap<string, Uint8Array>,
): NewNote {
  const key = toHex(row.doc);
  const trash = index.trash[key];
  const moved = index.moved[key];
  return {
    ...row,
    createdAt,
    trashedAt: trash === undefined ? null : (unpackMoment(trash) ?? createdAt),
    movedTo: (moved === undefined ? copies.get(key) : unpackMove(moved)?.doc) ?? null,
    listed: index.notes[key] !== undefined,
  };
}

function loadNotebook(documents: DeviceDocuments, space: Space): Doc<NotebookIndex> {
  return documents.load(space.indexId, notebookIndexGenesis(documents.automerge));
}

function loadVault(documents: DeviceDocuments, space: Space): Doc<VaultIndex> {
  return documents.load(space.indexId, vaultIndexGenesis(documents.automerge));
}

function textOf(value: AutomergeModule.ImmutableString | string): string {
  return typeof value === "string" ? value : value.val;
}
