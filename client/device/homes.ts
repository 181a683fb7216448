/**
 * A new home for a notebook: another space, on another relay. Its administrator founds it there with the same people,
 * fills it, and only when the relay has all of it says so in the old index (home-marker.ts). Whoever comes by there is
 * led over: the same secret opens the new space, what they wrote meanwhile goes along as a difference, and their list
 * shows one notebook. Every step is found again after a restart.
 *
 *   founded ─▶ filled ─▶ the relay has all of it ─▶ marker in the old index             (the administrator's device)
 *              marker seen ─▶ new space joined ─▶ all of it here ─▶ own edits carried over      (everybody else's)
 */
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { Home } from "#crdt-store/homes.ts";
import type { Store } from "#crdt-store/store.ts";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles, type RoleCode } from "#relay/protocol/control.ts";
import { roleOf } from "#relay/protocol/authority.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { openHome, signHome } from "#client/crypto/home-marker.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import { arrangeAlike, carryArrangement } from "./carry-arrangement.ts";
import { carryOver } from "./carry-over.ts";
import type { Copying } from "./copying.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { arrivalKey, homeKey, packArrival } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import type { Membership } from "./membership.ts";
import type { NoteRows } from "./note-rows.ts";
import type { Progress } from "./progress.ts";
import { refuse } from "./refusal.ts";
import { hostOf, sameRelay } from "./relay-address.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";
import { Slices } from "./slices.ts";

export interface HomesPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly indices: Indices;
  readonly membership: Membership;
  readonly copying: Copying;
  readonly rows: NoteRows;
  readonly events: DeviceEvents;
  readonly progress: Progress;
  readonly background: Background;
  readonly documents: () => Promise<DeviceDocuments>;
  readonly changedHere: (space: Space) => void;
}

/** How long a move waits for the new relay to have everything; it goes on by itself after that. */
const filledWithinMs = 120_000;
/** How long the old relay is waited for, so that the latest goes along. */
const latestWithinMs = 10_000;

export class Homes {
  readonly #ports: HomesPorts;
  readonly #store: Store;
  #isQueued = false;

  constructor(ports: HomesPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /**
   * Gives a notebook a new home on the relay at this address (ws:// or wss://). Refused before anything is changed where
   * that relay cannot be reached or does not keep notebooks of this person. Again goes on with what was begun.
   */
  async move(notebook: string, relay: string): Promise<{ notebook: string }> {
    const { shelf, desk, documents } = this.#ports;
    const space = shelf.mustNotebook(notebook);
    if (sameRelay(desk.relayOf(space) ?? "", relay)) return { notebook: space.hex };
    if (space.administrator === null || space.currentKey === null) {
      refuse("no-access", "Only an administrator of this notebook can give it a new home.");
    }
    const begun = this.#store.homes.get(space.id);
    if (begun === null) {
      await this.#found(space, relay);
    } else if (!sameRelay(desk.relayOf(this.#successor(begun.successor)) ?? "", relay)) {
      const host = hostOf(desk.relayOf(this.#successor(begun.successor)) ?? "");
      refuse("refused", `This notebook is on its way to ${host} already. It goes on by itself.`);
    }
    const next = this.#successor((this.#store.homes.get(space.id) ?? refuseAbsent()).successor);
    await this.#fill(space, next);
    const look = (): "filled" | "away" | null => {
      if (this.#isPublished(next)) return "filled";
      return desk.sessionOf(next)?.failing === true ? "away" : null;
    };
    if ((await this.#ports.progress.until(look, filledWithinMs)) !== "filled") {
      refuse(
        "offline",
        `${hostOf(relay)} has not got everything yet. The notebook stays where it is until then, and goes on by itself; or repeat this step.`,
      );
    }
    await this.#fill(space, next);
    this.#announce(await documents(), space, next);
    return { notebook: next.hex };
  }

  /** Nothing is made here before the relay has said that it would take it. */
  async #found(space: Space, relay: string): Promise<void> {
    const { desk, progress } = this.#ports;
    const isWhole = (): true | null =>
      desk.sessionOf(space)?.connected !== true || desk.sessionOf(space)?.isCurrent(space) === true
        ? true
        : null;
    await progress.until(isWhole, latestWithinMs);
    const { awaited, changes } = this.#store;
    const isWholeHere = this.#notesOf(space).every(
      ({ doc }) => changes.knows(doc) && !awaited.has(doc),
    );
    if (!isWholeHere) {
      refuse(
        "unavailable",
        "Some notes of this notebook have not arrived on this device yet. Try again when they are here, or from a device that has them all.",
      );
    }
    const place = await desk.visit(relay, async (there) => {
      await there.reach();
      if (!(await there.admitsSpaces())) {
        refuse(
          "refused",
          `${hostOf(relay)} keeps notebooks only of people whom its operator has let in. Redeem an invitation to it first; nothing was changed.`,
        );
      }
      return desk.placeOf(desk.knownAs(relay) ?? relay);
    });
    const next = this.#store.transaction(() => this.#foundHere(space, place));
    desk.add(next);
  }

  /** The same people with the same rights, by the keys that they have. */
  #foundHere(space: Space, relay: string | null): Space {
    const { shelf, membership } = this.#ports;
    const next = shelf.foundSuccessor(space, relay);
    this.#letIn(space, next, membership);
    shelf.saveFacts(next.id, shelf.facts(space.id));
    this.#store.homes.put({ space: space.id, successor: next.id, state: "moving" });
    return next;
  }

  /** Whoever is in the old space and not in the new one. Links are of the old one: new ones have to be made. */
  #letIn(space: Space, next: Space, membership: Membership): void {
    for (const { signPub, boxPub, role, kind } of space.authority.capabilities) {
      const isIn = next.authority.capabilities.some((known) => equal(known.signPub, signPub));
      if (isIn || role === roles.none || kind === capabilityKinds.link) continue;
      membership.grant(next, {
        signPub,
        boxPub,
        role,
        kind,
        notAfter: 0,
        maxJoins: 0,
        meta: new Uint8Array(0),
      });
    }
  }

  /** Every note that is not there; each is a step of its own that a restart does not repeat. */
  async #fill(space: Space, next: Space): Promise<void> {
    const { documents, changedHere } = this.#ports;
    const loaded = await documents();
    const slices = new Slices(this.#ports);
    for (const { doc } of this.#notesOf(space)) {
      const row = this.#store.notes.get(doc);
      if (row === null || !this.#store.changes.knows(doc)) continue;
      this.#bring(loaded, row, next);
      await slices.next();
    }
    changedHere(next);
  }

  /** A note of the old space into the new one, with its past, once. */
  #bring(documents: DeviceDocuments, row: StoredNote, next: Space): void {
    const { indices, copying } = this.#ports;
    const key = arrivalKey(toHex(row.doc));
    if (indices.read(documents, next)[key] !== undefined) return;
    this.#store.transaction(() => {
      const { doc, heads } = copying.copy(documents, row, next, row.trashedAt);
      indices.edit(documents, next, (index) => {
        index[key] = packArrival({ doc, old: heads, now: heads });
      });
      indices.project(next);
    });
  }

  #notesOf(space: Space): readonly StoredNote[] {
    return this.#rowsOf(space).filter((row) => row.listed && row.movedTo === null);
  }

  /** The new relay has every record and every change. */
  #isPublished({ id }: Space): boolean {
    const records = this.#store.spaces.control(id);
    return records.every(({ pos }) => pos !== null) && this.#store.outbox.depth(id) === 0;
  }

  /** From here on the members are led over. */
  #announce(documents: DeviceDocuments, space: Space, next: Space): void {
    const { ed, indices, membership, desk, events } = this.#ports;
    const signer = space.administrator;
    const relay = desk.relayOf(next);
    const isMoving = this.#store.homes.get(space.id)?.state === "moving";
    if (signer === null || relay === null || !isMoving) return;
    this.#store.transaction(() => {
      this.#letIn(space, next, membership);
      this.#endLinks(space, membership);
      this.#catchUp(documents, space, next);
      const marker = signHome(ed, signer.sign, space.id, { genesis: next.genesis, relay });
      indices.edit(documents, space, (index) => {
        index[homeKey] = marker;
      });
      this.#succeed(documents, space, next);
    });
    membership.send(space);
    membership.send(next);
    this.#ports.changedHere(next);
    this.#told(next, `is at ${hostOf(relay)} now. Links to it have to be made anew.`);
    events.notify("notes");
  }

  /**
   * What anybody has written in the old space since it was copied, as far as it is here. Nobody has seen the copies yet, so
   * from here on they stand for all of it: everybody brings along only what is not in it. In the caller's transaction.
   */
  #catchUp(documents: DeviceDocuments, space: Space, next: Space): void {
    const { indices, rows } = this.#ports;
    const { homes, notes } = this.#store;
    const arrivals = indices.arrivals(documents, next);
    const later = this.#rowsOf(space).flatMap((row) => {
      const arrival = arrivals.get(toHex(row.doc));
      return arrival === undefined ? [] : [{ row, arrival }];
    });
    const moved = later.flatMap(({ row, arrival }) => {
      const made = carryOver(this.#store, documents, row.doc, next, arrival, "everybody");
      if (made === null || made === "waiting") return [];
      rows.changed(arrival.doc, made.doc);
      documents.automerge.free(made.doc);
      const copy = notes.get(arrival.doc);
      if (copy !== null) notes.place(arrival.doc, { ...copy, updatedAt: row.updatedAt });
      const carried = homes.carried(row.doc);
      return carried === null ? [] : [{ key: arrivalKey(toHex(row.doc)), ...arrival, ...carried }];
    });
    arrangeAlike(documents, indices, space, next, later);
    const { changes } = this.#store;
    const index = { doc: next.indexId, old: changes.heads(space.indexId), now: [] };
    indices.edit(documents, next, (after) => {
      for (const { key, ...arrival } of moved) after[key] = packArrival(arrival);
      after[arrivalKey(toHex(space.indexId))] = packArrival(index);
    });
  }

  /** A link of the old space would admit to what nobody writes in any more. */
  #endLinks(space: Space, membership: Membership): void {
    const links = space.authority.capabilities.filter(
      ({ kind, role }) => kind === capabilityKinds.link && role !== roles.none,
    );
    if (links.length === 0) return;
    const none: RoleCode = roles.none;
    membership.renewKeys(
      space,
      links.map(({ signPub }) => ({ signPub, role: none })),
    );
  }

  /** The new space stands in the place of the old one, in the lists of this person's devices; in the caller's transaction. */
  #succeed(documents: DeviceDocuments, space: Space, next: Space): void {
    const { indices } = this.#ports;
    this.#store.homes.put({ space: space.id, successor: next.id, state: "led" });
    indices.vault.listSuccessor(documents, space, next);
    const arrivals = indices.arrivals(documents, next);
    for (const { doc } of this.#rowsOf(space)) {
      const arrival = arrivals.get(toHex(doc));
      if (arrival === undefined || !this.#store.pins.has(doc)) continue;
      indices.vault.pin(documents, arrival.doc, true);
      indices.vault.pin(documents, doc, false);
    }
    indices.project(space);
    indices.project(next);
  }

  /** An index has changed, or is read for the first time since this device was opened: follows what it says. */
  look(documents: DeviceDocuments, space: Space): void {
    const { indices, shelf, desk } = this.#ports;
    if (space.kind === "vault") {
      for (const { from, to } of indices.vault.successors(documents)) {
        const old = shelf.get(from);
        const next = shelf.get(to);
        if (old === undefined || next === undefined || this.#store.homes.get(from) !== null) {
          continue;
        }
        this.#store.homes.put({ space: from, successor: to, state: "leading" });
      }
      return;
    }
    const packed = indices.read(documents, space)[homeKey];
    const home = packed instanceof Uint8Array ? openHome(this.#ports.ed, space.id, packed) : null;
    if (home === null || roleOf(space.authority, home.capPub) !== roles.admin) return;
    const id = spaceIdOf(home.genesis);
    const known = this.#store.homes.get(space.id);
    const capSecret = this.#store.spaces.get(space.id)?.capSecret ?? null;
    const isKnown = known !== null && equal(known.successor, id);
    if (isKnown || capSecret === null || this.#leadsBack(id, space.id)) return;
    const next = this.#store.transaction(() => {
      const held = shelf.get(id);
      const joined =
        held ??
        shelf.add("notebook", {
          genesis: home.genesis,
          capSecret,
          relay: desk.placeOf(home.relay),
        });
      if (held === undefined) {
        joined.certifyDevice();
        shelf.saveFacts(id, shelf.facts(space.id));
      }
      this.#store.homes.put({ space: space.id, successor: id, state: "leading" });
      return joined;
    });
    desk.add(next);
    this.#told(
      next,
      `is moving to ${hostOf(home.relay)}: an administrator gave it a new home. It stays here as it is until everything has arrived.`,
    );
  }

  /** Whether following to `to` would come back to `from`. */
  #leadsBack(to: Uint8Array, from: Uint8Array): boolean {
    const seen = new Set<string>();
    for (let at: Uint8Array | undefined = to; at !== undefined;) {
      if (equal(at, from)) return true;
      if (seen.has(toHex(at))) return false;
      seen.add(toHex(at));
      at = this.#store.homes.get(at)?.successor;
    }
    return false;
  }

  /** Something has moved: goes on with what was begun, if it can now. */
  moved(): void {
    if (this.#store.homes.all().some((home) => this.#canGoOn(home))) this.goOnSoon();
  }

  /** All that the relay lists of the space is known here, and its index has come. */
  #isHere(space: Space): boolean {
    const { awaited, changes } = this.#store;
    const isIndexHere = changes.knows(space.indexId) && !awaited.has(space.indexId);
    return isIndexHere && this.#ports.desk.sessionOf(space)?.isCurrent(space) === true;
  }

  goOnSoon(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    this.#ports.background.add(async () => {
      this.#isQueued = false;
      await this.#goOn(await this.#ports.documents());
    });
  }

  #canGoOn({ space, successor, state }: Home): boolean {
    const { shelf } = this.#ports;
    const old = shelf.get(space);
    const next = shelf.get(successor);
    if (old === undefined || next === undefined) return false;
    if (state === "leading") return this.#isHere(next);
    return state === "moving" && this.#isPublished(next);
  }

  /** As far as it can now. */
  async #goOn(documents: DeviceDocuments): Promise<void> {
    for (const home of this.#store.homes.all()) {
      const space = this.#ports.shelf.get(home.space);
      const next = this.#ports.shelf.get(home.successor);
      if (space === undefined || next === undefined) continue;
      await this.#goOnWith(documents, home.state, space, next);
    }
  }

  async #goOnWith(
    documents: DeviceDocuments,
    state: Home["state"],
    space: Space,
    next: Space,
  ): Promise<void> {
    const { desk, indices } = this.#ports;
    if (state === "moving") {
      await this.#fill(space, next);
      if (this.#isPublished(next)) this.#announce(documents, space, next);
    } else if (state === "leading") {
      if (!this.#isHere(next)) return;
      indices.reload(documents, next);
      if (!this.#carry(documents, space, next)) return;
      this.#store.transaction(() => this.#succeed(documents, space, next));
      this.#told(next, `is at ${hostOf(desk.relayOf(next) ?? "")} now, with everything you wrote.`);
      this.#ports.events.notify("notes");
    } else this.#carry(documents, space, next);
  }

  /** What this device wrote in the old space and is not in the new one. False where some of it has to wait. */
  #carry(documents: DeviceDocuments, space: Space, next: Space): boolean {
    const { indices, rows, events, desk } = this.#ports;
    if (!next.mayWrite) return true;
    let isWhole = true;
    const arrivals = indices.arrivals(documents, next);
    for (const row of this.#rowsOf(space)) {
      const arrival = arrivals.get(toHex(row.doc));
      if (arrival === undefined) {
        // Whoever made a note brings it along; two devices would bring it twice.
        const origin = space.originOf(row.doc);
        const isOwn = origin !== null && equal(origin.devPub, space.device.publicKey);
        const isToCome = isOwn && row.listed && !this.#hasGone(documents, space, row.doc);
        if (isToCome) this.#bring(documents, row, next);
        continue;
      }
      const carried = this.#store.transaction(() => {
        const made = carryOver(this.#store, documents, row.doc, next, arrival, "own");
        if (made !== null && made !== "waiting") rows.changed(arrival.doc, made.doc);
        return made;
      });
      if (carried === "waiting") {
        isWhole = false;
        desk.sessionOf(next)?.want(next, arrival.doc);
        desk.sessionOf(space)?.want(space, row.doc);
        continue;
      }
      if (carried === null) continue;
      documents.automerge.free(carried.doc);
      const id = documentIdToText(arrival.doc);
      events.emit({ type: "changes", id, session: null, changes: carried.changes });
    }
    carryArrangement(this.#store, documents, indices, space, next);
    this.#ports.changedHere(next);
    return isWhole;
  }

  /** To another notebook than the new home. */
  #hasGone(documents: DeviceDocuments, space: Space, doc: Uint8Array): boolean {
    return this.#ports.indices.read(documents, space).moved[toHex(doc)] !== undefined;
  }

  /** Also of notes that went elsewhere. */
  #rowsOf(space: Space): readonly StoredNote[] {
    return this.#store.notes.inSpace(space.id);
  }

  #successor(id: Uint8Array): Space {
    return this.#ports.shelf.get(id) ?? refuseAbsent();
  }

  #told(space: Space, what: string): void {
    const { shelf, events } = this.#ports;
    // The log may be copied into a report: it names no notebook.
    this.#store.syncLog.add("info", `A notebook ${what}`);
    const { name } = shelf.facts(space.id);
    events.emit({ type: "notice", text: `“${name}” ${what}` });
    events.notify("notebooks");
  }
}

function refuseAbsent(): never {
  return refuse("no-such-notebook", "There is no such notebook on this device.");
}
