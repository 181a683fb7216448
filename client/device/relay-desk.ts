/**
 * The relays of this device: its own, where the person's list of notebooks is kept, and those to which single
 * notebooks belong. One session each; they share the store and nothing else, so that none waits for another.
 */
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { hasSamePin, loadPinnedKey } from "#client/sync/relay-pin.ts";
import type { SessionListener, SessionPorts } from "#client/sync/session-listener.ts";
import { SyncSession } from "#client/sync/session.ts";
import type { Space } from "#client/sync/space.ts";
import { loadDisplayName, loadRelay, saveRelay } from "./identity.ts";
import type { Progress } from "./progress.ts";
import { refuse } from "./refusal.ts";
import { hostOf, relayName, sameRelay } from "./relay-address.ts";
import { RelayQuestions } from "./relay-questions.ts";
import { isWorkingOffline } from "./work-offline.ts";

export interface RelayDeskPorts extends SessionPorts {
  readonly store: Store;
  /** Where this device's own relay listens, unless the store remembers another. */
  readonly relayUrl: string | null;
  readonly progress: Progress;
  /** The spaces to synchronise once a connection is wanted. */
  readonly spaces: () => readonly Space[];
}

/** A relay in use, and the spaces that belong to it. */
export interface RelayInUse {
  readonly url: string;
  /** Null while this device does not connect. */
  readonly session: SyncSession | null;
  readonly spaces: readonly Space[];
}

export class RelayDesk {
  readonly #ports: RelayDeskPorts;
  readonly #listener: SessionListener;
  /** By {@link relayName}. */
  readonly #sessions = new Map<string, SyncSession>();
  /** By space in hex: the session that carries it. */
  readonly #carriers = new Map<string, SyncSession>();
  /** How many steps are talking to a relay, in use or not, by {@link relayName}. */
  readonly #visits = new Map<string, number>();
  #isWanted = false;
  #isClosed = false;

  constructor(ports: RelayDeskPorts, listener: SessionListener) {
    this.#ports = ports;
    this.#listener = listener;
  }

  /** Where this device's own relay listens, null if it knows none. */
  get url(): string | null {
    return loadRelay(this.#ports.store) ?? this.#ports.relayUrl;
  }

  /** Whether the own relay was chosen or has ever answered; else it is only where the app came from. */
  get isSettled(): boolean {
    const { store, relayUrl } = this.#ports;
    if (loadRelay(store) !== null) return true;
    return relayUrl !== null && loadPinnedKey(store, relayUrl) !== null;
  }

  /** Of all connections there are or that are tried; none before the first {@link connect}. */
  get sessions(): readonly SyncSession[] {
    return [...this.#sessions.values()];
  }

  /** The connection to this device's own relay, null while there is none. */
  get own(): SyncSession | null {
    const { url } = this;
    return url === null ? null : this.sessionAt(url);
  }

  /** The connection that carries a space, null while there is none. */
  sessionOf(space: Space): SyncSession | null {
    return this.#carriers.get(space.hex) ?? null;
  }

  /** The connection to the relay at this address, null while there is none. */
  sessionAt(url: string): SyncSession | null {
    return this.#sessions.get(relayName(url)) ?? null;
  }

  /** Where the relay of a space listens: the address it came with, else this device's own. */
  relayOf(space: Space): string | null {
    return this.#ports.store.spaces.get(space.id)?.relayUrl ?? this.url;
  }

  /** What a space keeps of the address of its relay: null for this device's own. */
  placeOf(url: string): string | null {
    const own = this.url;
    return own !== null && sameRelay(own, url) ? null : url;
  }

  /** Every relay that a space belongs to, this device's own first. */
  inUse(): readonly RelayInUse[] {
    const spacesByName = new Map<string, { readonly url: string; readonly spaces: Space[] }>();
    const own = this.url;
    if (own !== null) spacesByName.set(relayName(own), { url: own, spaces: [] });
    const places = new Map(
      this.#ports.store.spaces.list().map(({ id, relayUrl }) => [toHex(id), relayUrl]),
    );
    for (const space of this.#ports.spaces()) {
      const url = places.get(space.hex) ?? own;
      if (url === null) continue;
      const known = spacesByName.get(relayName(url)) ?? { url, spaces: [] };
      known.spaces.push(space);
      spacesByName.set(relayName(url), known);
    }
    return [...spacesByName.values()].map(({ url, spaces }) => ({
      url,
      spaces,
      session: this.sessionAt(url),
    }));
  }

  /** Under which address in use the relay that was just met at `url` is known already, null if it is not. */
  knownAs(url: string): string | null {
    const { store } = this.#ports;
    const known = this.inUse().find(
      (relay) => sameRelay(relay.url, url) || hasSamePin(store, relay.url, url),
    );
    return known?.url ?? null;
  }

  /** This is the device's own relay from now on; refuses with `bad-relay` where another is. */
  use(url: string): void {
    const before = this.url;
    if (before !== null && this.isSettled && !sameRelay(before, url)) {
      refuse(
        "bad-relay",
        `This device's own relay is ${before}: your list of notebooks is kept there. A notebook on another relay is opened by its link.`,
      );
    }
    saveRelay(this.#ports.store, url);
    for (const space of this.#ports.spaces()) this.moved(space);
    this.connect();
    this.#closeUnused();
  }

  /** Starts synchronising with every relay that is known, unless the person works offline by choice; again is harmless. */
  connect(): void {
    if (this.#isClosed || isWorkingOffline(this.#ports.store)) return;
    this.#isWanted = true;
    const { url } = this;
    if (url !== null) this.#open(url);
    for (const space of this.#ports.spaces()) this.add(space);
  }

  /** Stops synchronising; {@link connect} begins anew, with nothing remembered. */
  disconnect(): void {
    this.#isWanted = false;
    for (const session of this.#sessions.values()) session.stop();
    this.#sessions.clear();
    this.#carriers.clear();
  }

  /** Ends every connection for good. */
  close(): void {
    this.#isClosed = true;
    this.disconnect();
  }

  #open(url: string): SyncSession {
    const known = this.sessionAt(url);
    if (known !== null) return known;
    const session = new SyncSession(url, this.#ports, {
      ...this.#listener,
      log: (level, text) => this.#listener.log(level, this.#named(url, text)),
    });
    session.displayName = loadDisplayName(this.#ports.store);
    this.#sessions.set(relayName(url), session);
    session.start();
    return session;
  }

  #closeUnused(): void {
    const names = new Set(this.inUse().map(({ url }) => relayName(url)));
    for (const [name, session] of this.#sessions) {
      if ((this.#isWanted && names.has(name)) || this.#visits.has(name)) continue;
      session.stop();
      this.#sessions.delete(name);
    }
  }

  /** Synchronises a space from now on; again is harmless. */
  add(space: Space): void {
    const url = this.#isWanted ? this.relayOf(space) : null;
    if (url === null || this.#carriers.has(space.hex)) return;
    const session = this.#open(url);
    this.#carriers.set(space.hex, session);
    session.add(space);
  }

  /** The relay of a space may be another than before. */
  moved(space: Space): void {
    const url = this.relayOf(space);
    const before = this.#carriers.get(space.hex);
    if (before === undefined || (url !== null && sameRelay(before.url, url))) return;
    before.remove(space);
    this.#carriers.delete(space.hex);
    this.add(space);
    this.#closeUnused();
  }

  /** A sentence of the log about the relay of a space: with several in use it names which. */
  about(space: Space, text: string): string {
    const url = this.relayOf(space);
    return url === null ? text : this.#named(url, text);
  }

  #named(url: string, text: string): string {
    return this.#sessions.size > 1 ? `${hostOf(url)}: ${text}` : text;
  }

  /** Does not synchronise a space any more. */
  forget(space: Space): void {
    this.sessionOf(space)?.remove(space);
    this.#carriers.delete(space.hex);
    this.#closeUnused();
  }

  /** Seals what waits, in the caller's transaction, if it can go at once. */
  sealAhead(space: Space): void {
    this.sessionOf(space)?.sealAhead(space);
  }

  /** Something of this space waits to be sent. */
  poke(space: Space): void {
    this.sessionOf(space)?.poke(space);
  }

  /** Everything there is of this space has been taken in. */
  isCurrent(space: Space): boolean {
    return this.sessionOf(space)?.isCurrent(space) === true;
  }

  /** Access to this space is another than before. */
  restart(space: Space): void {
    const session = this.sessionOf(space);
    if (session === null) this.add(space);
    else session.restart(space);
  }

  /** The cursor of this space was set back: its log is to be read from there. */
  readAgain(space: Space): void {
    this.sessionOf(space)?.readAgain(space);
  }

  setOnline(online: boolean): void {
    for (const session of this.#sessions.values()) session.setOnline(online);
  }

  setVisible(visible: boolean): void {
    for (const session of this.#sessions.values()) session.setVisible(visible);
  }

  /** The others here see the name this person has now. */
  tellName(): void {
    const name = loadDisplayName(this.#ports.store);
    for (const session of this.#sessions.values()) session.displayName = name;
  }

  /** An access key has come from another device: shows it, where it is for a relay that is connected. */
  accessKeyCame(): void {
    for (const session of this.#sessions.values()) void session.authenticate(null);
  }

  /** Talks to this device's own relay. Refuses with `bad-relay` where none is known. */
  visitOwn<T>(act: (relay: RelayQuestions) => Promise<T>): Promise<T> {
    const { url } = this;
    if (url === null) refuse("bad-relay", "This device knows no relay. Give it one first.");
    return this.visit(url, act);
  }

  /** Talks to a relay, in use or not: the connection outlasts `act` where a space belongs to it by then. */
  async visit<T>(url: string, act: (relay: RelayQuestions) => Promise<T>): Promise<T> {
    if (this.#isClosed) refuse("unavailable", "This device is being closed.");
    if (isWorkingOffline(this.#ports.store)) {
      refuse(
        "offline",
        "You chose to work offline, and this step needs the relay. Nothing was changed. Go online again, then repeat it.",
      );
    }
    this.connect();
    const name = relayName(url);
    this.#visits.set(name, (this.#visits.get(name) ?? 0) + 1);
    try {
      return await act(new RelayQuestions(this.#open(url), this.#ports));
    } finally {
      const left = (this.#visits.get(name) ?? 1) - 1;
      if (left === 0) this.#visits.delete(name);
      else this.#visits.set(name, left);
      this.#closeUnused();
    }
  }
}
