/** Letting people in: sharing by link, and following one. */
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import { capabilityFrom, type HeldCapability } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { parseLink, type ShareLink } from "#client/crypto/link.ts";
import { join, keysFor, openMeta } from "#client/crypto/space-keys.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import { cleanName } from "#client/crypto/profile.ts";
import type { Space } from "#client/sync/space.ts";
import { admitRecords, currentKey, topOf } from "./admitted-records.ts";
import type { LinkPreview, LinkTerms, Role } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { loadDisplayName } from "./identity.ts";
import type { Indices } from "./indices.ts";
import { decodeLinkMeta, encodeLinkMeta, nothingKnown, type LinkMeta } from "./link-meta.ts";
import type { People } from "./people.ts";
import { linkState } from "./people-rows.ts";
import type { Progress } from "./progress.ts";
import { Refusal, refuse } from "./refusal.ts";
import { hostOf, isMixedContent, relayOf, sameRelay } from "./relay-address.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { ControlLog, RelayQuestions } from "./relay-questions.ts";
import type { Shelf } from "./shelf.ts";

/** How long making a link waits for the relay to know it. */
const publishWithinMs = 5_000;

export interface AdmissionPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly desk: RelayDesk;
  readonly people: People;
  readonly events: DeviceEvents;
  readonly progress: Progress;
  readonly documents: () => Promise<DeviceDocuments>;
  /** The relay whose app this is; null where none is. */
  readonly servedBy: string | null;
}

/** What a link opens. */
interface OpenedLink {
  readonly log: ControlLog;
  readonly capability: HeldCapability;
  /** Of the current epoch. */
  readonly key: Uint8Array;
}

export class Admission {
  readonly #ports: AdmissionPorts;
  readonly #store: Store;

  constructor(ports: AdmissionPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** A link that lets whoever holds it in. It opens once this device has reached the relay. */
  async share(
    notebook: string,
    role: Role,
    terms: LinkTerms,
  ): Promise<{ readonly link: string; readonly id: string }> {
    const { progress, desk, people } = this.#ports;
    const { link, id, space } = await people.share(notebook, role, terms, (shared) =>
      encodeLinkMeta({
        ...this.#called(shared),
        from: loadDisplayName(this.#store),
        notes: this.#notesIn(shared.id),
      }),
    );
    // Whoever is handed the link opens it at once: it should be there. Offline it is not waited for.
    const look = (): true | null => {
      const session = desk.sessionOf(space);
      const isReached = session?.connected === true || session?.connecting === true;
      return isReached && !this.#isPublished(space) ? null : true;
    };
    await progress.until(look, publishWithinMs);
    return { link, id };
  }

  /** What is shared, as those who follow the link are told. */
  #called({ id }: Space): Pick<LinkMeta, "name" | "single"> {
    const { name, single = false } = this.#ports.shelf.facts(id);
    const [note] = single ? this.#store.notes.inSpace(id) : [];
    return { single, name: cleanName(note?.title ?? "") || name };
  }

  /** Whether the relay has every control record and every change of a notebook. */
  #isPublished({ id }: Space): boolean {
    const records = this.#store.spaces.control(id);
    return records.every(({ pos }) => pos !== null) && this.#store.outbox.depth(id) === 0;
  }

  /** What following the link would do; changes nothing. */
  async preview(text: string): Promise<LinkPreview> {
    const link = mustLink(text);
    this.#ports.shelf.mustIdentity();
    const opened = await this.atRelayOf(link, text, (relay) => this.#read(relay, link));
    const meta = linkMeta(opened);
    return {
      notebook: toHex(link.spaceId),
      name: meta.name,
      from: meta.from,
      role: link.role,
      notes: Math.max(meta.notes, this.#notesIn(link.spaceId)),
      single: meta.single,
      alreadyJoined: this.#isIn(link.spaceId),
    };
  }

  /** Follows a link; again is harmless. A device without a relay takes the link's for its own. */
  async join(text: string): Promise<{ notebook: string }> {
    const link = mustLink(text);
    this.#ports.shelf.mustIdentity();
    const notebook = toHex(link.spaceId);
    if (this.#isIn(link.spaceId)) return { notebook };
    await this.atRelayOf(link, text, (relay) => this.#joinAt(relay, link));
    return { notebook };
  }

  async #joinAt(relay: RelayQuestions, link: ShareLink): Promise<void> {
    const { shelf, indices, desk, events, ed, random, clock } = this.#ports;
    const documents = await this.#ports.documents();
    const capSecret = random(32);
    const { sign, box } = capabilityFrom(ed, capSecret);
    const from = loadDisplayName(this.#store);
    const { opened, records } = await admitRecords(
      relay,
      async () => {
        const found = await this.#read(relay, link);
        const place = topOf(found.log, clock.now());
        const signed = join({ ed, random }, place, found.capability.sign, found.key, {
          signPub: sign.publicKey,
          boxPub: box.publicKey,
          meta: encodeLinkMeta({ ...nothingKnown, from }),
        });
        return { opened: found, log: found.log, signed: [signed] };
      },
      {
        refused: "The relay did not let you in",
        tooMany: "Others are changing who may open this notebook. Try again in a moment.",
      },
    );
    await this.#settleOnRelay(relay.url);
    const { genesis, certificates } = opened.log;
    const known = shelf.get(link.spaceId);
    const space = this.#store.transaction(() => {
      const place = { genesis, capSecret, relay: desk.placeOf(relay.url) };
      const joined = known ?? shelf.add("notebook", place);
      if (known !== undefined) shelf.takeAccess(known, capSecret);
      joined.absorb(records, certificates);
      joined.certifyDevice();
      const { name, single } = linkMeta(opened);
      shelf.saveFacts(link.spaceId, { name, single, members: [] });
      indices.vault.list(documents, joined);
      indices.introduce(documents, joined);
      return joined;
    });
    desk.restart(space);
    events.notify("notebooks");
  }

  /** Whoever was removed, or has left, comes in again like anybody. */
  #isIn(spaceId: Uint8Array): boolean {
    return (
      this.#ports.shelf.get(spaceId) !== undefined &&
      this.#store.spaces.get(spaceId)?.state === "active"
    );
  }

  /** Where the app came from need be no relay: one that never answered leaves its place to the first that did. */
  async #settleOnRelay(url: string): Promise<void> {
    const { desk } = this.#ports;
    if (desk.url !== null && !desk.isSettled) {
      await desk.visitOwn((own) => own.reach()).catch(passOver);
    }
    if (!desk.isSettled) desk.use(url);
  }

  /**
   * Talks to the relay that a link names. One relay has many addresses (a proxy, a name in a home network): where
   * the named one does not lead to the notebook from here, this device's own relay is asked.
   */
  async atRelayOf<T>(
    link: ShareLink,
    text: string,
    act: (relay: RelayQuestions) => Promise<T>,
  ): Promise<T> {
    const { desk, servedBy } = this.#ports;
    const own = desk.url;
    const named = link.relay ?? relayOf(text) ?? own;
    if (named === null) {
      refuse(
        "bad-relay",
        "This link does not say which relay it belongs to. Give this device a relay first.",
      );
    }
    if (own !== null && sameRelay(named, own)) return desk.visitOwn(act);
    try {
      if (isMixedContent(servedBy, named)) refuseMixedContent(named);
      return await desk.visit(named, async (relay) => {
        await relay.reach();
        const known = desk.knownAs(named);
        return known === null ? act(relay) : desk.visit(known, act);
      });
    } catch (error) {
      const isElsewhere = error instanceof Refusal && elsewhere.has(error.code);
      if (!isElsewhere || own === null) throw error;
      return this.#atOwn(error, named, act);
    }
  }

  async #atOwn<T>(
    failure: Refusal,
    named: string,
    act: (relay: RelayQuestions) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#ports.desk.visitOwn(act);
    } catch (error) {
      const isUnknown =
        error instanceof Refusal && (error.code === "bad-link" || error.code === "offline");
      if (!isUnknown) throw error;
      if (failure.code !== "offline") throw failure;
      return refuse(
        "offline",
        `The relay of this link (${hostOf(named)}) cannot be reached. Nothing was changed here; try again when it can.`,
      );
    }
  }

  async #read(relay: RelayQuestions, link: ShareLink): Promise<OpenedLink> {
    const log = await relay.controlLog(
      link.spaceId,
      "The notebook of this link is not at its relay: the link may be damaged, or its owner has not been online since making it.",
    );
    const capability = capabilityFrom(this.#ports.ed, link.secret);
    mustLive(log, capability.sign.publicKey, this.#ports.clock.now());
    const key = currentKey(log, capability.sign.publicKey, capability.box);
    if (key === null) {
      refuse("link-spent", "This link does not open the notebook. Ask for a new one.");
    }
    return { log, capability, key };
  }

  #notesIn(spaceId: Uint8Array): number {
    const counts = this.#store.notes.countBySpace();
    return counts.find(({ space }) => equal(space, spaceId))?.notes ?? 0;
  }
}

/** With these a link's relay may be the own one under another address. */
const elsewhere: ReadonlySet<Refusal["code"]> = new Set(["offline", "bad-link", "bad-relay"]);

function refuseMixedContent(relay: string): never {
  return refuse(
    "bad-relay",
    `This link belongs to the relay ${hostOf(relay)}, which is reached without encryption. A browser does not allow that from an app that was opened over https: open the link in the app of that relay, or ask for its wss:// address.`,
  );
}

/** Only whether it answers matters. */
function passOver(error: unknown): void {
  if (!(error instanceof Refusal)) throw error;
}

/** A link to a notebook. */
type NotebookLink = ShareLink & { readonly role: Role };

function mustLink(text: string): NotebookLink {
  const parsed = parseLink(text);
  if (!parsed.ok) refuse("bad-link", parsed.message);
  const { role } = parsed.link;
  if (role === "device") {
    refuse(
      "bad-link",
      "This link adds a device to somebody's own. Open it on the device that is to be added, while that is still empty.",
    );
  }
  return { ...parsed.link, role };
}

/** What a person reads whom a link does not let in. */
const endedLinkWords = {
  spent: "This link has let in as many people as it may. Ask for a new one.",
  expired: "This link has expired. Ask for a new one.",
  revoked: "This link has been withdrawn. Ask for a new one.",
  deleted: "The notebook of this link has been deleted.",
} as const;

/** Refuses with `link-spent` where the control log says that the link opens nothing any more. */
function mustLive({ verified: { authority } }: ControlLog, signPub: Uint8Array, now: number): void {
  const link = authority.capabilities.find((capability) => equal(capability.signPub, signPub));
  if (authority.deleted) refuse("link-spent", endedLinkWords.deleted);
  if (link === undefined) return;
  const state = linkState(link, now);
  // Whether its time is over the relay decides, whose clock it is, until somebody has ended it.
  const isOver = state === "spent" || (state !== "live" && link.role === roles.none);
  if (isOver) refuse("link-spent", endedLinkWords[state]);
}

/** What the sharer wrote with the link, sealed under the epoch of that time. */
function linkMeta({ log, capability }: OpenedLink): LinkMeta {
  const { authority, records } = log.verified;
  const signPub = capability.sign.publicKey;
  const granted = records.findLast(
    ({ record }) => record.body.type === "grant" && equal(record.body.signPub, signPub),
  );
  if (granted?.record.body.type !== "grant") return nothingKnown;
  const { epochAfter, body } = granted.record;
  const keys = keysFor(authority.spaceId, records, { signPub, box: capability.box });
  const key = keys.find(({ epoch }) => epoch === epochAfter);
  const plain = key === undefined ? null : openMeta(authority.spaceId, key.key, body.meta);
  return plain === null ? nothingKnown : decodeLinkMeta(plain);
}
