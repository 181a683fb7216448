/** Copies of notebooks that this person keeps for themselves: when their access has ended, and what is here is to be gone on with. */
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { Copying } from "./copying.ts";
import type { DeviceDocuments } from "./documents.ts";
import { arrivalKey, packArrival } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import type { Notebooks } from "./notebooks.ts";
import type { Shelf } from "./shelf.ts";
import { Slices } from "./slices.ts";

export interface KeptCopiesPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly notebooks: Notebooks;
  readonly copying: Copying;
  readonly documents: () => Promise<DeviceDocuments>;
  readonly changedHere: (space: Space) => void;
}

export class KeptCopies {
  readonly #ports: KeptCopiesPorts;
  readonly #store: Store;

  constructor(ports: KeptCopiesPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /**
   * Every note that is here and not in the trash, in a notebook of this person's own; one that was shared alone needs none.
   * Again goes on with what was begun, and adds what has come since; resolves to how many notes the copy has.
   */
  async keep(notebook: string, name: string): Promise<{ notebook: string; notes: number }> {
    const { shelf, documents, changedHere } = this.#ports;
    const space = shelf.mustNotebook(notebook);
    const isSingle = shelf.facts(space.id).single === true;
    const target = isSingle
      ? shelf.firstNotebook()
      : (this.#begun(space) ?? (await this.#begin(space, name)));
    const loaded = await documents();
    const rows = this.#rowsOf(space);
    const slices = new Slices(this.#ports);
    for (const row of rows) {
      this.#copy(loaded, row, target);
      await slices.next();
    }
    changedHere(target);
    return { notebook: target.hex, notes: rows.length };
  }

  async #begin(space: Space, name: string): Promise<Space> {
    const { shelf, notebooks } = this.#ports;
    const { settings } = this.#store;
    // One that was made and not remembered is found again, one that was deleted is not.
    const before = toHex(settings.get(copyName(space)) ?? new Uint8Array());
    const { id } = await notebooks.create(name, `${copyName(space)} ${before}`);
    const target = shelf.mustNotebook(id);
    settings.put(copyName(space), target.id);
    return target;
  }

  #copy(documents: DeviceDocuments, row: StoredNote, target: Space): void {
    const { indices, copying } = this.#ports;
    const key = arrivalKey(toHex(row.doc));
    if (indices.read(documents, target)[key] !== undefined) return;
    this.#store.transaction(() => {
      const { doc, heads } = copying.copy(documents, row, target, null);
      indices.edit(documents, target, (index) => {
        index[key] = packArrival({ doc, old: heads, now: heads });
      });
      if (this.#store.pins.has(row.doc)) {
        indices.vault.pin(documents, doc, true);
        indices.vault.pin(documents, row.doc, false);
      }
      indices.project(target);
    });
  }

  #rowsOf(space: Space): readonly StoredNote[] {
    const { changes, notes } = this.#store;
    return notes
      .inSpace(space.id)
      .filter((row) => row.trashedAt === null && row.movedTo === null && changes.knows(row.doc));
  }

  /** A copy that was begun, and that is still to be written in. */
  #begun(space: Space): Space | null {
    const id = this.#store.settings.get(copyName(space));
    const copy = id === null ? undefined : this.#ports.shelf.get(id);
    return copy?.mayWrite === true && !copy.authority.deleted ? copy : null;
  }
}

function copyName({ hex }: Space): string {
  return `device/kept-copy/${hex}`;
}
