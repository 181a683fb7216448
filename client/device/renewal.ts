/**
 * Fresh access to this person's notebooks, after one of their devices was removed: it knew every secret the vault held.
 * What is to be done follows from what there is, so that any device can go on where another stopped:
 *
 * ```
 * new secret in the vault, beside the former ─▶ GRANT for it, by the former ─▶ both at the relay ─▶ ROTATE: the former ends
 * ```
 *
 * Where this person does not manage the notebook, somebody who does is asked for the second and the third step.
 */
import type { Store } from "#crdt-store/store.ts";
import { indexOfCapability, roleOf } from "#relay/protocol/authority.ts";
import { concat, equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import { spaceIdBytes } from "#relay/protocol/genesis.ts";
import type { HeldCapability } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { Random, Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import type { AccessRenewal, RemovedDevice } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { Indices } from "./indices.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import { refuse } from "./refusal.ts";
import type { Shelf } from "./shelf.ts";

export interface RenewalPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly timers: Timers;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly membership: Membership;
  readonly events: DeviceEvents;
  readonly background: Background;
  readonly documents: () => Promise<DeviceDocuments>;
}

/** Notebooks whose access is being renewed, by who has to do the next step. */
export interface RenewalState {
  readonly underWay: readonly Space[];
  /** Somebody who manages them has to let the new access in, and end the former. */
  readonly waiting: readonly Space[];
}

type Step = "done" | "grant" | "wait" | "end-former" | "ask";

/** What this device has begun it goes on with at once; what another has begun, when that seems to have stopped. */
const helpAfterMs = 60_000;
/** Spaces whose renewal was begun here, 32 bytes each. */
const begunSetting = "renewal/begun";

export class Renewal {
  readonly #ports: RenewalPorts;
  readonly #store: Store;
  /** Spaces in hex that are looked at when something moves. */
  #open: ReadonlySet<string> = new Set();
  /** What each space was used by when it was looked at last. */
  readonly #usedBy = new Map<string, string>();
  #helpDue: (() => void) | null = null;
  #helps = false;
  #closed = false;
  /** Where it was asked for, and what was asked of this person, since this device was opened. */
  readonly #asked = new Set<string>();
  readonly #toldOf = new Set<string>();

  constructor(ports: RenewalPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** Fresh secrets for these notebooks, here and in the vault; in the caller's transaction. */
  begin(documents: DeviceDocuments, spaces: readonly Space[]): void {
    const { indices, random, shelf } = this.#ports;
    const renewed = spaces.map((space) => ({ space, capSecret: random(32) }));
    indices.vault.renewAccess(documents, renewed);
    for (const { space, capSecret } of renewed) {
      shelf.takeAccess(space, capSecret);
      this.changed(space);
    }
    this.#saveBegun([...this.#begun(), ...spaces.map(({ hex }) => hex)]);
  }

  /** The log or the secrets of a space are not what they were. */
  changed(space: Space): void {
    if (space.kind === "vault") return;
    const used = space.capability === null ? "" : toHex(space.capability.sign.publicKey);
    const before = this.#usedBy.get(space.hex);
    this.#usedBy.set(space.hex, used);
    if (before !== undefined && before !== used) this.#useAnother(space);
    const open = new Set(this.#open);
    if (isOpen(space)) open.add(space.hex);
    else open.delete(space.hex);
    this.#open = open;
  }

  /** This device's entries and this person's name count by the new access from now on. */
  #useAnother(space: Space): void {
    const { indices, background, documents } = this.#ports;
    if (space.role === roles.none) return;
    space.certifyDevice();
    background.add(async () => indices.introduce(await documents(), space));
  }

  /** Something has moved: does what can be done now. */
  moved(): void {
    if (this.#open.size === 0 || this.#closed) return;
    const begun = new Set(this.#begun());
    let isOthers = false;
    for (const space of this.#spaces()) {
      if (begun.has(space.hex) || this.#helps) this.#go(space);
      else isOthers = true;
    }
    if (isOthers) this.#helpLater();
    const left = [...begun].filter((hex) => this.#open.has(hex));
    if (left.length < begun.size) this.#saveBegun(left);
  }

  /** For whoever removed a device: what is done, and what somebody else has to do. */
  outcome(): RemovedDevice {
    const { shelf } = this.#ports;
    const { waiting } = this.state();
    const renewed = shelf
      .spaces()
      .filter((space) => space.kind === "notebook" && space.held.length > 1 && !isOpen(space));
    return {
      notebooks: renewed.length,
      waiting: waiting.map((space) => shelf.facts(space.id).name),
    };
  }

  /** What is left to do, here and by others. */
  async report(): Promise<AccessRenewal> {
    const { shelf, indices } = this.#ports;
    const documents = await this.#ports.documents();
    const { underWay, waiting } = this.state();
    const managed = shelf
      .spaces()
      .filter(
        (space) => space.kind === "notebook" && mayAdminister(space) && !space.authority.deleted,
      );
    return {
      underWay: underWay.length,
      waiting: waiting.map((space) => ({
        notebook: space.hex,
        name: shelf.facts(space.id).name,
        fingerprint: fingerprintOf(space.held[0]?.sign.publicKey ?? new Uint8Array()),
        asked: space.role >= roles.edit,
      })),
      requests: managed.flatMap((space) =>
        indices.renewalRequests(documents, space).map(({ former, signPub }) => ({
          notebook: space.hex,
          person: toHex(former),
          name: nameOf(shelf, space, former),
          renewed: toHex(signPub),
          fingerprint: fingerprintOf(signPub),
        })),
      ),
    };
  }

  /** The index of a notebook was read: whoever manages it is told, once, of what is asked there. */
  indexRead(documents: DeviceDocuments, space: Space): void {
    const { shelf, indices, events } = this.#ports;
    if (space.kind !== "notebook" || !mayAdminister(space)) return;
    for (const { former, signPub } of indices.renewalRequests(documents, space)) {
      const key = toHex(signPub);
      if (this.#toldOf.has(key)) continue;
      this.#toldOf.add(key);
      const who = nameOf(shelf, space, former) || "Somebody";
      const { name } = shelf.facts(space.id);
      const text = `${who} has removed one of their devices and asks you to renew their access to ${name}.`;
      events.emit({ type: "notice", text });
      events.notify("devices");
    }
  }

  /** Lets in what somebody is to use from now on, and ends what they used before. Refused where nobody asks for it. */
  async grant(notebook: string, renewed: string): Promise<void> {
    const { shelf, indices, membership } = this.#ports;
    const documents = await this.#ports.documents();
    const space = shelf.mustNotebook(notebook);
    const request = indices
      .renewalRequests(documents, space)
      .find(({ signPub }) => toHex(signPub) === renewed);
    if (request === undefined) refuse("bad-input", "Nobody asks for this any more.");
    const { former, role, signPub, boxPub } = request;
    this.#store.transaction(() => {
      membership.grant(space, {
        signPub,
        boxPub,
        role,
        kind: capabilityKinds.person,
        notAfter: 0,
        maxJoins: 0,
        meta: new Uint8Array(0),
      });
      const lowered = endedWith(space, [former]);
      membership.renewKeys(
        space,
        lowered.map((key) => ({ signPub: key, role: roles.none })),
      );
      indices.forgetRenewal(documents, space, request);
    });
    membership.send(space);
  }

  state(): RenewalState {
    const spaces = this.#spaces();
    const waiting = spaces.filter((space) => this.#nextStep(space) === "ask");
    return { underWay: spaces.filter((space) => !waiting.includes(space)), waiting };
  }

  close(): void {
    this.#closed = true;
    this.#helpDue?.();
  }

  #spaces(): readonly Space[] {
    const { shelf } = this.#ports;
    return shelf.spaces().filter(({ hex }) => this.#open.has(hex));
  }

  #helpLater(): void {
    this.#helpDue ??= this.#ports.timers.after(helpAfterMs, () => {
      this.#helpDue = null;
      this.#helps = true;
      try {
        this.moved();
      } finally {
        this.#helps = false;
      }
    });
  }

  #go(space: Space): void {
    const { membership, background, documents, indices } = this.#ports;
    const [next] = space.held;
    if (next === undefined) return;
    switch (this.#nextStep(space)) {
      case "grant":
        this.#store.transaction(() =>
          membership.grant(space, {
            signPub: next.sign.publicKey,
            boxPub: next.box.publicKey,
            role: roles.admin,
            kind: capabilityKinds.person,
            notAfter: 0,
            maxJoins: 0,
            meta: new Uint8Array(0),
          }),
        );
        this.changed(space);
        membership.send(space);
        break;
      case "end-former": {
        const formers = space.held.slice(1).map(({ sign }) => sign.publicKey);
        const lowered = endedWith(space, formers).map((signPub) => ({ signPub, role: roles.none }));
        this.#store.transaction(() => membership.renewKeys(space, lowered));
        this.changed(space);
        membership.send(space);
        break;
      }
      case "ask":
        if (this.#asked.has(space.hex)) break;
        this.#asked.add(space.hex);
        background.add(async () => indices.askForRenewal(await documents(), space));
        break;
      case "wait":
      case "done":
        break;
    }
  }

  #nextStep(space: Space): Step {
    if (!isOpen(space)) return "done";
    const { authority, records } = space;
    const [next] = space.held;
    if (next === undefined || authority.deleted || records.length === 0) return "wait";
    // Two ways into a notebook have met in the vault: what may do more is used again, soon.
    if (this.#ports.shelf.strongerFormer(space) !== null) return "wait";
    const { publicKey } = next.sign;
    if (indexOfCapability(authority, publicKey) === null) {
      if (space.role < roles.admin) return "ask";
      return mayAdminister(space) ? "grant" : "wait";
    }
    if (roleOf(authority, publicKey) < roles.admin) return "ask";
    return this.#isSent(space) && mayAdminister(space) ? "end-former" : "wait";
  }

  /** Whether the relays have all that this person's other devices need to follow. */
  #isSent(space: Space): boolean {
    const { spaces, outbox } = this.#store;
    return (
      !spaces.hasUnconfirmedControl(space.id) && outbox.depth(this.#ports.shelf.vault.id) === 0
    );
  }

  #begun(): readonly string[] {
    const packed = this.#store.settings.get(begunSetting) ?? new Uint8Array();
    return Array.from({ length: packed.length / spaceIdBytes }, (_, ix) =>
      toHex(packed.slice(spaceIdBytes * ix, spaceIdBytes * (ix + 1))),
    );
  }

  #saveBegun(spaces: readonly string[]): void {
    const ids = [...new Set(spaces)].flatMap((hex) => parseHex(hex) ?? []);
    if (ids.length === 0) this.#store.settings.remove(begunSetting);
    else this.#store.settings.put(begunSetting, concat(...ids));
  }
}

/** Whether something that this person used before still opens the space, or may do so: its log is not here yet. */
function isOpen(space: Space): boolean {
  const isUnknown = space.records.length === 0 && space.held.length > 1;
  return isUnknown || liveFormers(space).length > 0;
}

function liveFormers({ held, authority }: Space): readonly HeldCapability[] {
  return held.slice(1).filter(({ sign }) => roleOf(authority, sign.publicKey) > roles.none);
}

function nameOf(shelf: Shelf, space: Space, cap: Uint8Array): string {
  return shelf.facts(space.id).members.find((member) => member.cap === toHex(cap))?.name ?? "";
}

/** The former access, and the links made with it: a device that is gone may know them. */
function endedWith(
  { authority, records }: Space,
  formers: readonly Uint8Array[],
): readonly Uint8Array[] {
  const links = records.flatMap(({ record: { body, signerPub } }) =>
    body.type === "grant" &&
    body.kind === capabilityKinds.link &&
    formers.some((former) => equal(former, signerPub))
      ? [body.signPub]
      : [],
  );
  return [...formers, ...links].filter((signPub) => roleOf(authority, signPub) > roles.none);
}
