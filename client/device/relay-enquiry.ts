/** What a person may ask about the relay of this device: what it says, has proved and keeps, now or from last time. */
import type { Store } from "#crdt-store/store.ts";
import { isDiskFull } from "#crdt-store/store-error.ts";
import { loadAccessKey } from "#client/sync/relay-access.ts";
import { loadLastAck } from "#client/sync/last-ack.ts";
import { loadPinnedKey } from "#client/sync/relay-pin.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { RelayInfo, RelayStored } from "./api.ts";
import type { Progress } from "./progress.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { aboutAddress, parseAbout } from "./relay-about.ts";
import { appOf, sameRelay } from "./relay-address.ts";
import type { RelayDesk } from "./relay-desk.ts";
import { loadRelayRecord, saveRelayRecord, type RelayRecord } from "./relay-record.ts";
import { roleName, type Shelf } from "./shelf.ts";

/** Reads a page. Null if what answers has none there; rejects if nothing answers. */
export type ReadPage = (url: string) => Promise<string | null>;

export interface RelayEnquiryPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly readPage: ReadPage | null;
  /** Of the relay that served this program; null where none did. */
  readonly servedBy: string | null;
}

type Told = Pick<RelayInfo, "about" | "aboutAt" | "trouble">;

/** A connection on its way is waited for so long. */
const patienceMs = 5_000;

export class RelayEnquiry {
  readonly #ports: RelayEnquiryPorts;

  constructor(ports: RelayEnquiryPorts) {
    this.#ports = ports;
  }

  /** @param named a relay in use; null: this device's own */
  async ask(named: string | null): Promise<RelayInfo> {
    const { store, desk, shelf, servedBy } = this.#ports;
    const relay = named ?? desk.url;
    if (relay === null) return unknownRelay;
    const before = loadRelayRecord(store, relay);
    const [page, stored] = await Promise.all([
      this.#page(relay),
      this.#stored(relay, before.stored),
    ]);
    const key = loadPinnedKey(store, relay);
    const fingerprint = key === null ? null : fingerprintOf(key);
    const told = this.#told(page, before, fingerprint);
    const { about, aboutAt } = told;
    this.#remember(relay, { about, aboutAt, stored });
    // What was taken away is kept there for others.
    const notebooks = store.spaces
      .list()
      .filter(({ kind, state }) => kind === "notebook" && state === "active")
      .flatMap(({ id }) => shelf.get(id) ?? [])
      .filter((space) => sameRelay(desk.relayOf(space) ?? relay, relay));
    return {
      relay,
      address: appOf(relay),
      connected: desk.sessionAt(relay)?.connected ?? false,
      fingerprint,
      ...told,
      servesThisApp: servedBy !== null && sameRelay(servedBy, relay),
      notebooks: {
        all: notebooks.length,
        own: notebooks.filter((space) => roleName(space) === "admin").length,
      },
      holdsAccessKey: key !== null && loadAccessKey(store, key) !== null,
      stored,
      lastAckAt: loadLastAck(store, relay),
    };
  }

  /** Null where nothing answers. */
  async #page(relay: string): Promise<{ readonly text: string | null } | null> {
    try {
      const text = await this.#ports.readPage?.(aboutAddress(relay));
      return text === undefined ? null : { text };
    } catch {
      return null;
    }
  }

  #told(
    page: { readonly text: string | null } | null,
    before: RelayRecord,
    fingerprint: string | null,
  ): Told {
    const known = { about: before.about, aboutAt: before.aboutAt };
    if (page === null) {
      const what =
        before.about === null
          ? "what it says of itself is not known yet."
          : "this is what it said last time.";
      return {
        ...known,
        trouble: `The relay cannot be asked right now: ${what} Your notes are safe on this device.`,
      };
    }
    if (page.text === null) {
      return {
        ...known,
        trouble:
          "The relay does not say anything of itself. It may be an older one, or something in front of it keeps that page back; your notes are not affected.",
      };
    }
    const answer = parseAbout(page.text);
    if (answer.type === "nonsense") {
      return {
        ...known,
        trouble:
          "What stands at the relay's page is no description of a Sealeaf relay and is not shown. Your notes are sealed and not affected; whoever runs it should look.",
      };
    }
    const isOther = fingerprint !== null && answer.fingerprint !== fingerprint;
    return {
      about: answer.about,
      aboutAt: this.#ports.clock.now(),
      trouble: isOther
        ? "The page names another key than the relay has proved to this device. Your notes are sealed and safe; ask whoever runs it before you trust what the page says."
        : "",
    };
  }

  #remember(relay: string, record: RelayRecord): void {
    try {
      saveRelayRecord(this.#ports.store, relay, record);
    } catch (error) {
      // What is answered now is true all the same.
      if (!isDiskFull(error)) throw error;
    }
  }

  /** What it was last where it cannot be asked for all notebooks now. */
  async #stored(relay: string, before: RelayStored | null): Promise<RelayStored | null> {
    const { desk, progress, clock } = this.#ports;
    desk.connect();
    const session = desk.sessionAt(relay);
    if (session === null) return before;
    const look = (): "ready" | "not-now" | null =>
      session.listing === "soon" ? null : session.listing;
    if ((await progress.until(look, patienceMs)) !== "ready") return before;
    const bytes = await session.storedBytes();
    return bytes === null ? before : { bytes, at: clock.now() };
  }
}

const unknownRelay: RelayInfo = {
  relay: null,
  address: null,
  connected: false,
  fingerprint: null,
  about: null,
  aboutAt: null,
  trouble:
    "This device knows no relay yet. Everything is saved here; give it a relay to reach your other devices.",
  servesThisApp: false,
  notebooks: { all: 0, own: 0 },
  holdsAccessKey: false,
  stored: null,
  lastAckAt: null,
};
