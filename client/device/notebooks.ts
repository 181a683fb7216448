/** What people do with notebooks: listing, founding and naming them. */
import type { Store } from "#crdt-store/store.ts";
import { parseHex, toHex } from "#relay/protocol/bytes.ts";
import { cleanName } from "#client/crypto/profile.ts";
import { loadKeep, saveKeep, type Keep } from "#client/sync/keep.ts";
import type { Space } from "#client/sync/space.ts";
import type { CallName, NotebookRow } from "./api.ts";
import { stateOf } from "./closing.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { notebookColours } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import { liesIn, loadParents, type Parents } from "./nesting.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import { mustWrite, roleName, type Shelf } from "./shelf.ts";

export interface NotebooksPorts {
  readonly store: Store;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly desk: RelayDesk;
  readonly events: DeviceEvents;
  readonly documents: () => Promise<DeviceDocuments>;
  readonly changedHere: (space: Space) => void;
}

export class Notebooks {
  readonly #ports: NotebooksPorts;
  readonly #store: Store;

  constructor(ports: NotebooksPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** The oldest first. */
  list(): readonly NotebookRow[] {
    const { shelf } = this.#ports;
    const hidden = shelf.hidden();
    const parents = loadParents(this.#store);
    const missing = new Map(
      this.#store.awaited.countBySpace().map((count) => [toHex(count.space), count.notes]),
    );
    const doubts = new Map(
      this.#ports.desk.sessions.flatMap(({ doubts }) =>
        doubts.map(({ space, doubt }) => [space.hex, doubt] as const),
      ),
    );
    const notes = new Map(
      this.#store.notes.countBySpace().map((count) => [toHex(count.space), count.notes]),
    );
    return this.#store.spaces.list().flatMap(({ id, kind, state, relayUrl }) => {
      const space = shelf.get(id);
      if (kind !== "notebook" || space === undefined || hidden.has(space.hex)) return [];
      const facts = shelf.facts(id);
      return {
        id: space.hex,
        name: facts.name,
        role: roleName(space),
        shared: shelf.isShared(space),
        members: shelf.members(space),
        notes: notes.get(space.hex) ?? 0,
        keep: loadKeep(this.#store, id),
        missing: missing.get(space.hex) ?? 0,
        colour: facts.colour ?? null,
        single: facts.single === true,
        parent: this.#parent(parents, space),
        relay: relayUrl,
        former: shelf.predecessorsOf(space).map(({ hex }) => hex),
        ...stateOf(space, state),
        doubt: doubts.get(space.hex) ?? null,
      };
    });
  }

  /** A notebook may lie in one that is not on this device any more: it is shown on its own then. */
  #parent(parents: Parents, space: Space): string | null {
    const { shelf } = this.#ports;
    const own = [space, ...shelf.predecessorsOf(space)];
    const parent = own.flatMap(({ hex }) => parents.get(hex) ?? []).at(0);
    const id = parent === undefined ? null : parseHex(parent);
    const held = id === null ? undefined : shelf.get(id);
    return held === undefined ? null : (shelf.successorOf(held) ?? held).hex;
  }

  create(name: string, call?: CallName): Promise<{ id: string }> {
    return this.#create(name, null, call);
  }

  /** For one note that is to be shared alone, which this person keeps where it was. */
  createSingle(name: string, keptIn: Space, call?: CallName): Promise<{ id: string }> {
    return this.#create(name, keptIn, call);
  }

  async #create(
    name: string,
    keptIn: Space | null,
    call: CallName | undefined,
  ): Promise<{ id: string }> {
    const { shelf, indices, desk, events, documents, changedHere } = this.#ports;
    const clean = mustName(name);
    const loaded = await documents();
    const found = (): string => {
      const founded = shelf.foundNotebook();
      indices.vault.list(loaded, founded);
      if (keptIn !== null) {
        indices.markSingle(loaded, founded);
        indices.vault.nest(loaded, founded, keptIn);
      }
      indices.nameNotebook(loaded, founded, clean);
      return founded.hex;
    };
    const id = this.#store.transaction(() => this.#store.answers.once(call, found));
    const space = shelf.mustNotebook(id);
    desk.add(space);
    changedHere(space);
    events.notify("notebooks");
    return { id };
  }

  async rename(id: string, name: string): Promise<void> {
    const { shelf, indices, events, documents, changedHere } = this.#ports;
    const space = shelf.mustNotebook(id);
    mustWrite(space);
    const clean = mustName(name);
    const loaded = await documents();
    this.#store.transaction(() => indices.nameNotebook(loaded, space, clean));
    changedHere(space);
    events.notify("notebooks");
  }

  async setColour(id: string, colour: number | null): Promise<void> {
    const { shelf, indices, events, documents, changedHere } = this.#ports;
    const space = shelf.mustNotebook(id);
    mustWrite(space);
    if (colour !== null && !(Number.isInteger(colour) && colour >= 0 && colour < notebookColours)) {
      refuse("bad-input", "A notebook has one of eight colours, or none.");
    }
    const loaded = await documents();
    this.#store.transaction(() => indices.colourNotebook(loaded, space, colour));
    changedHere(space);
    events.notify("notebooks");
  }

  async setKeep(id: string, keep: Keep): Promise<void> {
    const { shelf, desk, events } = this.#ports;
    const space = shelf.mustNotebook(id);
    saveKeep(this.#store, space.id, keep);
    desk.sessionOf(space)?.keepMoved(space);
    events.notify("notebooks");
  }

  async nest(id: string, parentId: string | null): Promise<void> {
    const { shelf, indices, events, documents } = this.#ports;
    const space = shelf.mustNotebook(id);
    const parent = parentId === null ? null : shelf.mustNotebook(parentId);
    const loaded = await documents();
    if (parent !== null && liesIn(loadParents(this.#store), parent.hex, space.hex)) {
      refuse("bad-input", "A notebook cannot be put into itself, or into one that lies in it.");
    }
    this.#store.transaction(() => indices.vault.nest(loaded, space, parent));
    events.notify("notebooks");
  }
}

function mustName(name: string): string {
  const clean = cleanName(name);
  return clean === "" ? refuse("bad-input", "A notebook needs a name.") : clean;
}
