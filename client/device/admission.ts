/** Letting people in: sharing by link, and following one. */
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import { capabilityFrom, type HeldCapability } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { formatLink, parseLink, type ShareLink } from "#client/crypto/link.ts";
import { join, keysFor, openMeta } from "#client/crypto/space-keys.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import { admitRecords, currentKey, topOf } from "./admitted-records.ts";
import type { LinkPreview, Role } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { loadDisplayName } from "./identity.ts";
import type { Indices } from "./indices.ts";
import { decodeLinkMeta, encodeLinkMeta, nothingKnown, type LinkMeta } from "./link-meta.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import type { Progress } from "./progress.ts";
import { Refusal, refuse } from "./refusal.ts";
import { appOf, hostOf, isMixedContent, relayOf, sameRelay } from "./relay-address.ts";
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
  readonly membership: Membership;
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
  async share(notebook: string, role: "read" | "edit"): Promise<string> {
    const { progress, shelf, desk, membership, ed, random } = this.#ports;
    const space = shelf.mustNotebook(notebook);
    const relay = desk.relayOf(space);
    if (relay === null) {
      refuse("bad-relay", "Sharing needs a relay, and this device knows none. Give it one first.");
    }
    if (!mayAdminister(space)) {
      refuse("no-access", "Only an administrator of this notebook can share it.");
    }
    const secret = random(32);
    const { sign, box } = capabilityFrom(ed, secret);
    const capability = {
      signPub: sign.publicKey,
      boxPub: box.publicKey,
      role: role === "edit" ? roles.edit : roles.read,
      kind: capabilityKinds.link,
      notAfter: 0,
      maxJoins: 0,
      meta: encodeLinkMeta({
        name: shelf.facts(space.id).name,
        from: loadDisplayName(this.#store),
        notes: this.#notesIn(space.id),
      }),
    };
    this.#store.transaction(() => membership.grant(space, capability));
    membership.send(space);
    // Whoever is handed the link opens it at once: it should be there. Offline it is not waited for.
    const look = (): true | null =>
      desk.sessionOf(space)?.connected !== true || this.#isPublished(space) ? true : null;
    await progress.until(look, publishWithinMs);
    const app = appOf(this.#ports.servedBy ?? relay);
    return formatLink(app, { role, secret, spaceId: space.id, relay });
  }

  /** Whether the relay has every control record and every change of a notebook. */
  #isPublished({ id }: Space): boolean {
    const records = this.#store.spaces.control(id);
    return records.every(({ pos }) => pos !== null) && this.#store.outbox.depth(id) === 0;
  }

  /** What following the link would do; changes nothing. */
  async preview(text: string): Promise<LinkPreview> {
    this.#ports.shelf.mustIdentity();
    const link = mustLink(text);
    const opened = await this.atRelayOf(link, text, (relay) => this.#read(relay, link));
    const meta = linkMeta(opened);
    return {
      notebook: toHex(link.spaceId),
      name: meta.name,
      from: meta.from,
      role: link.role,
      notes: Math.max(meta.notes, this.#notesIn(link.spaceId)),
      alreadyJoined: this.#ports.shelf.get(link.spaceId) !== undefined,
    };
  }

  /** Follows a link; again is harmless. A device without a relay takes the link's for its own. */
  async join(text: string): Promise<{ notebook: string }> {
    const { shelf } = this.#ports;
    shelf.mustIdentity();
    const link = mustLink(text);
    const notebook = toHex(link.spaceId);
    if (shelf.get(link.spaceId) !== undefined) return { notebook };
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
          meta: encodeLinkMeta({ name: "", from, notes: 0 }),
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
    const space = this.#store.transaction(() => {
      const joined = shelf.add("notebook", { genesis, capSecret, relay: desk.placeOf(relay.url) });
      joined.absorb(records, certificates);
      joined.certifyDevice();
      shelf.saveFacts(link.spaceId, { name: linkMeta(opened).name, members: [] });
      indices.listInVault(documents, joined);
      indices.introduce(documents, joined);
      return joined;
    });
    desk.add(space);
    events.notify("notebooks");
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
    const key = currentKey(log, capability.sign.publicKey, capability.box);
    if (key === null) {
      refuse(
        "link-spent",
        "This link does not open the notebook any more, or not yet. Ask for a new one.",
      );
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
