/**
 * The index documents of the notebooks this device holds: loading and editing them, and what they say put into rows
 * and facts. Every edit belongs into the caller's transaction.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { Store } from "#crdt-store/store.ts";
import { parseHex, toHex } from "#relay/protocol/bytes.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { openColour, openProfile, signColour, signProfile } from "#client/crypto/profile.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceDocuments } from "./documents.ts";
import { failureWords } from "./failure-words.ts";
import {
  loadDisplayName,
  loadPersonColour,
  saveDisplayName,
  savePersonColour,
} from "./identity.ts";
import {
  arrivalsIn,
  memberColourKey,
  notebookIndexGenesis,
  packColour,
  packMark,
  textOf,
  unpackArrival,
  unpackColour,
  type Arrival,
  type NotebookIndex,
} from "./index-document.ts";
import { editedIndex } from "./index-edit.ts";
import { projectRows } from "./index-rows.ts";
import { renewalsIn, signRenewal, type RenewalRequest } from "./renewal-request.ts";
import { firstNotebookName } from "./shelf.ts";
import { Vault, type VaultPorts } from "./vault.ts";

type Doc<T> = AutomergeModule.Doc<T>;

export class Indices {
  readonly #ports: VaultPorts;
  readonly #store: Store;
  readonly #notebooks = new Map<string, Doc<NotebookIndex>>();
  /** The one index that is this person's alone. */
  readonly vault: Vault;

  constructor(ports: VaultPorts) {
    this.#ports = ports;
    this.#store = ports.store;
    this.vault = new Vault(ports);
    // An edit that was not journalled must not be built upon.
    ports.store.onRollback(() => this.forget());
  }

  /** Loads everything anew when it is next needed. */
  forget(): void {
    this.#notebooks.clear();
    this.vault.forget();
  }

  /** Loads every index once and completes what creation left open (first notebook, own profile). */
  settle(documents: DeviceDocuments): void {
    const { shelf, desk, events } = this.#ports;
    this.#store.transaction(() => {
      this.vault.read(documents);
      for (const space of shelf.spaces()) {
        if (space.kind === "vault") continue;
        this.#loaded(documents, space);
        this.project(space);
      }
      this.vault.project();
      const first = shelf.firstFounded;
      if (first !== null && this.vault.read(documents).notebooks[first.hex] === undefined) {
        this.vault.list(documents, first);
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
      const name = loadDisplayName(this.#store);
      const hue = loadPersonColour(this.#store);
      this.vault.reload(documents);
      const isRenamed = name !== "" && loadDisplayName(this.#store) !== name;
      const isRecoloured = hue !== null && loadPersonColour(this.#store) !== hue;
      // Where this device introduced itself as it was before.
      if (isRenamed || isRecoloured) this.#introduceAnew(documents);
    } else {
      this.#notebooks.set(space.hex, loadNotebook(documents, space));
      this.project(space);
      this.#introduce(documents, space, "where unknown");
    }
  }

  /** One change to a notebook's index. Rows follow with {@link project}. */
  edit(documents: DeviceDocuments, space: Space, change: (index: NotebookIndex) => void): void {
    const before = this.#loaded(documents, space);
    this.#notebooks.set(space.hex, editedIndex(this.#ports, documents, space, before, change));
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

  nameNotebook(documents: DeviceDocuments, space: Space, name: string): void {
    this.edit(documents, space, (index) => {
      index.name = new documents.automerge.ImmutableString(name);
    });
    this.introduce(documents, space);
    this.project(space);
  }

  /** It was made for one note. */
  markSingle(documents: DeviceDocuments, space: Space): void {
    this.edit(documents, space, (index) => {
      index.single = packMark();
    });
    this.project(space);
  }

  colourNotebook(documents: DeviceDocuments, space: Space, colour: number | null): void {
    this.edit(documents, space, (index) => {
      if (colour === null) delete index.colour;
      else index.colour = packColour(colour);
    });
    this.project(space);
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
    this.vault.edit(documents, (vault) => {
      vault.displayName = new documents.automerge.ImmutableString(name);
    });
    this.#introduceAnew(documents);
  }

  /** The person's new hue, in the same way. */
  colourPerson(documents: DeviceDocuments, colour: number): void {
    savePersonColour(this.#store, colour);
    this.vault.edit(documents, (vault) => {
      vault.personColour = packColour(colour);
    });
    this.#introduceAnew(documents);
  }

  #introduceAnew(documents: DeviceDocuments): void {
    for (const space of this.#ports.shelf.spaces()) this.introduce(documents, space);
  }

  /** This person's name and hue in the notebook's member list, signed; only what is not there already. */
  introduce(documents: DeviceDocuments, space: Space): void {
    this.#introduce(documents, space, "anew");
  }

  /**
   * What came from elsewhere is not corrected: two devices of one person, of which one has not heard of the other's new name
   * yet, would write theirs in turns, without end.
   */
  #introduce(documents: DeviceDocuments, space: Space, how: "anew" | "where unknown"): void {
    const { ed, desk } = this.#ports;
    const name = loadDisplayName(this.#store);
    const hue = loadPersonColour(this.#store);
    const { capability } = space;
    if (space.kind === "vault" || capability === null || !space.mayWrite) return;
    const { publicKey } = capability.sign;
    const cap = toHex(publicKey);
    const hueKey = memberColourKey(cap);
    const { [cap]: heldName, [hueKey]: heldHue } = this.#loaded(documents, space).members;
    const toldName = heldName === undefined ? null : openProfile(ed, publicKey, space.id, heldName);
    const toldHue = heldHue === undefined ? null : openColour(ed, publicKey, space.id, heldHue);
    const isNamed = name === "" || (how === "anew" ? toldName === name : toldName !== null);
    const isColoured = hue === null || (how === "anew" ? toldHue === hue : toldHue !== null);
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

  /** Rows of the list, name and members as the index document has them. */
  project(space: Space): void {
    const { desk, events } = this.#ports;
    const index = this.#notebooks.get(space.hex);
    if (index === undefined) return;
    const isPutBack = this.#store.transaction(() => {
      const putBack = this.#takeBack(space, index);
      projectRows(this.#ports, space, index, this.#wentFrom(space));
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

  /** Where the documents of a notebook went that has a new home, by their hex; none before all is there. */
  #wentFrom(space: Space): ReadonlyMap<string, Arrival> {
    const next = this.#ports.shelf.successorOf(space);
    const index = next === null ? undefined : this.#notebooks.get(next.hex);
    return index === undefined ? new Map() : arrivalsOf(index);
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
    const before = shelf.facts(space.id);
    // Before the index has come, the link has told.
    const known = name === "" ? before.name : name;
    const single = index.single !== undefined || (name === "" && before.single === true);
    shelf.saveFacts(space.id, {
      name: known,
      members,
      hues: this.#huesIn(space, index),
      colour,
      single,
    });
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
}

function arrivalsOf(index: NotebookIndex): ReadonlyMap<string, Arrival> {
  return new Map(
    arrivalsIn(index).flatMap(([doc, packed]) => {
      const arrival = unpackArrival(packed);
      return arrival === null ? [] : [[doc, arrival] as const];
    }),
  );
}

function loadNotebook(documents: DeviceDocuments, space: Space): Doc<NotebookIndex> {
  return documents.load(space.indexId, notebookIndexGenesis(documents.automerge));
}
