/** The spaces this device holds, the vault among them, and what is known of each without its index. */
import type { Store } from "#crdt-store/store.ts";
import { concat, equal, toHex, utf8 } from "#relay/protocol/bytes.ts";
import { roleOf } from "#relay/protocol/authority.ts";
import { capabilityKinds, roles, type SignedControl } from "#relay/protocol/control.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import { boxKey, capabilityFrom, type HeldCapability } from "#client/crypto/capability.ts";
import { keyCommitOf, rootSecrets } from "#client/crypto/derive.ts";
import { signingKey, type Ed25519 } from "#client/crypto/ed25519.ts";
import { foundSpace, grant, type NewCapability } from "#client/crypto/space-keys.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import { Space, type DeviceIdentity } from "#client/sync/space.ts";
import type { NotebookRow, Role } from "./api.ts";
import {
  damagedIdentity,
  loadDisplayName,
  loadIdentity,
  saveBackupKey,
  saveEntropy,
  saveIdentity,
} from "./identity.ts";
import { refuse } from "./refusal.ts";

export interface ShelfPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
}

/** What the list shows of a notebook before its index document is loaded. */
interface NotebookFacts {
  readonly name: string;
  /** Their capability keys in hex. */
  readonly members: readonly { readonly cap: string; readonly name: string }[];
  /** The hues members chose, by capability key. */
  readonly hues?: Readonly<Record<string, number>>;
  /** 0..7. */
  readonly colour?: number | null;
  /** Made for one note that is shared alone. */
  readonly single?: boolean;
}

/** What opens a space: enough to hold it on a device. */
interface SpaceAccess {
  readonly genesis: Uint8Array;
  readonly capSecret: Uint8Array;
  /** Where its relay listens; null for the one that keeps this person's vault. */
  readonly relay: string | null;
}

/** A space as its founder has it: records that wait to be pushed, and the first key. */
type FoundedSpace = Pick<ReturnType<typeof foundSpace>, "genesis" | "records" | "epochKey">;

export const firstNotebookName = "Notes";
/** Reason of what the journal set aside. */
const damagedRow = "damaged-row";
const firstNotebookSetting = "device/first-notebook";
const formerSecretsSetting = (space: string): string => `notebook-access/${space}`;
const mostFormerSecrets = 8;

export class Shelf {
  readonly #ports: ShelfPorts;
  readonly #store: Store;
  readonly #spaces = new Map<string, Space>();
  #identity: (DeviceIdentity & { readonly vault: Uint8Array }) | null;

  constructor(ports: ShelfPorts) {
    this.#ports = ports;
    this.#store = ports.store;
    this.#identity = loadIdentity(ports.store);
    ports.store.onRollback(() => this.#readAgain());
  }

  /** The space id of the vault, null before this device has an identity. */
  get vaultId(): Uint8Array | null {
    return this.#identity?.vault ?? null;
  }

  mustIdentity(): DeviceIdentity & { readonly vault: Uint8Array } {
    return (
      this.#identity ??
      refuse("refused", "This device has no identity yet. Create one or restore from your words.")
    );
  }

  /** A new identity with its vault and a first notebook. */
  begin(entropy: Uint8Array): void {
    const identity = this.#newIdentity();
    this.#store.transaction(() => {
      const { capSecret, founded } = this.#vaultOf(entropy);
      this.#identify(identity, spaceIdOf(founded.genesis));
      this.#keepFounded("vault", capSecret, founded);
      saveEntropy(this.#store, entropy);
      saveBackupKey(this.#store, rootSecrets(entropy).backup);
      const first = this.foundNotebook();
      this.#store.settings.put(firstNotebookSetting, first.id);
      this.saveFacts(first.id, { name: firstNotebookName, members: [] });
    });
  }

  /** Makes this device one of those that share the vault; in the caller's transaction, on an emptied store. */
  beginIn(vault: SpaceAccess): Space {
    this.#spaces.clear();
    this.#identify(this.#newIdentity(), spaceIdOf(vault.genesis));
    return this.add("vault", vault);
  }

  /** Opens everything anew: this device has taken other keys. */
  reopen(): void {
    this.#spaces.clear();
    this.#identity = loadIdentity(this.#store);
    this.openAll();
  }

  #newIdentity(): DeviceIdentity {
    const { random } = this.#ports;
    return { secret: random(32), incarnation: random(16), former: [] };
  }

  #identify(identity: DeviceIdentity, vault: Uint8Array): void {
    saveIdentity(this.#store, identity, vault);
    this.#identity = { ...identity, vault };
  }

  #vaultOf(entropy: Uint8Array): {
    readonly capSecret: Uint8Array;
    readonly founded: FoundedSpace;
  } {
    const { ed, random, clock } = this.#ports;
    const root = rootSecrets(entropy);
    const admin = signingKey(ed, root.vaultAdmin);
    const boxPub = boxKey(root.recoveryBox).publicKey;
    const founded = foundSpace(
      { ed, random },
      "vault",
      { sign: admin, boxPub, kind: capabilityKinds.recovery },
      root.vaultNonce,
      clock.now(),
    );
    const capSecret = random(32);
    const admitted = grant(
      { ed, random },
      {
        authority: founded.authority,
        timeMs: clock.now(),
        seenPos: 0,
        seenChain: new Uint8Array(32),
      },
      admin,
      founded.epochKey,
      deviceGrant(capabilityFrom(ed, capSecret)),
    );
    return { capSecret, founded: { ...founded, records: [...founded.records, admitted] } };
  }

  /** A notebook of this person alone, not named and not listed anywhere yet. */
  foundNotebook(): Space {
    const { ed, random, clock } = this.#ports;
    const capSecret = random(32);
    const { sign, box } = capabilityFrom(ed, capSecret);
    const founded = foundSpace(
      { ed, random },
      "notebook",
      { sign, boxPub: box.publicKey, kind: capabilityKinds.person },
      random(16),
      clock.now(),
    );
    return this.#keepFounded("notebook", capSecret, founded);
  }

  /** A notebook on another relay that is to take the place of `space`; the same secret opens it. */
  foundSuccessor(space: Space, relay: string | null): Space {
    const { ed, random, clock } = this.#ports;
    const capSecret = this.#store.spaces.get(space.id)?.capSecret ?? null;
    if (capSecret === null) throw new Error("who has no access gives no home");
    const { sign, box } = capabilityFrom(ed, capSecret);
    const founded = foundSpace(
      { ed, random },
      "notebook",
      { sign, boxPub: box.publicKey, kind: capabilityKinds.person },
      random(16),
      clock.now(),
    );
    return this.#keepFounded("notebook", capSecret, founded, relay);
  }

  /** The new home of a notebook, once it stands in its place; else null. */
  successorOf(space: Space): Space | null {
    const home = this.#store.homes.get(space.id);
    return home?.state === "led" ? (this.get(home.successor) ?? null) : null;
  }

  /** The notebooks whose new home this is. */
  predecessorsOf(space: Space): readonly Space[] {
    return this.#store.homes
      .all()
      .filter(({ successor, state }) => state === "led" && equal(successor, space.id))
      .flatMap((home) => this.get(home.space) ?? []);
  }

  /** New homes (in hex) that are not whole yet: nothing of them is shown. */
  unready(): ReadonlySet<string> {
    const homes = this.#store.homes.all().filter(({ state }) => state !== "led");
    return new Set(homes.map(({ successor }) => toHex(successor)));
  }

  /** Spaces (in hex) that no list shows: those that have a new home, and new ones that are not whole yet. */
  hidden(): ReadonlySet<string> {
    return new Set(
      this.#store.homes
        .all()
        .map(({ space, successor, state }) => toHex(state === "led" ? space : successor)),
    );
  }

  #keepFounded(
    kind: "vault" | "notebook",
    capSecret: Uint8Array,
    { genesis, records, epochKey }: FoundedSpace,
    relay: string | null = null,
  ): Space {
    return this.#store.transaction(() => {
      const id = spaceIdOf(genesis);
      for (const signed of records) this.addRecord(id, signed);
      this.#store.spaces.putKey(id, keyCommitOf(id, 1, epochKey), 1, epochKey);
      const space = this.add(kind, { genesis, capSecret, relay });
      space.certifyDevice();
      return space;
    });
  }

  /** A control record made here, to be pushed. */
  addRecord(space: Uint8Array, signed: SignedControl): void {
    const { record, bytes, hash } = signed;
    this.#store.spaces.addControl(space, record.ctrlSeq, bytes, null, hash);
  }

  /** Opens what the store holds. A notebook whose genesis is damaged is left alone: the vault lists it too. */
  openAll(): void {
    for (const row of this.#store.spaces.list()) {
      if (this.#provenId(row) !== null) this.#open(row.id, row);
    }
  }

  /**
   * For a device that starts: puts right what can be derived from the rest, opens all, and answers what that was, in
   * words. Throws StoreError `corrupt` if the vault itself is damaged.
   */
  mend(): readonly string[] {
    const words: string[] = [];
    this.#store.transaction(() => {
      for (const row of this.#store.spaces.list()) {
        const id = this.#provenId(row);
        if (id === null) {
          words.push("A notebook's beginning is damaged. It is taken from your list of notebooks.");
        } else if (!equal(id, row.id)) {
          this.#store.spaces.rename(row.id, id);
          words.push("A notebook's id was damaged. It has been put right.");
        }
      }
      if (this.#store.outbox.mend() > 0) words.push("What waits to be sent was put in order.");
      if (this.#readDamagedAgain()) words.push("Damaged changes are fetched from the relay again.");
    });
    this.openAll();
    if (this.get(this.mustIdentity().vault) === undefined) throw damagedIdentity();
    if (this.spaces().filter((space) => space.mend()).length > 0) {
      words.push("Records of who has access were damaged. They are fetched from the relay again.");
    }
    return words;
  }

  /** The id of a stored space as its genesis proves it; null if the genesis is what is damaged. */
  #provenId({ id, genesis }: { readonly id: Uint8Array; readonly genesis: Uint8Array }) {
    const proven = spaceIdOf(genesis);
    if (equal(proven, id)) return id;
    return this.#store.spaces.controlHead(proven) === null ? null : proven;
  }

  /** Once each: the relay has what is damaged here. */
  #readDamagedAgain(): boolean {
    const { inbox, spaces } = this.#store;
    const damaged = inbox.quarantined().filter(({ reason }) => reason === damagedRow);
    for (const { id, space, pos } of damaged) {
      inbox.relabel(id, `${damagedRow}-fetched`);
      if (space === null || pos === null || spaces.get(space) === null) continue;
      if ((inbox.cursor(space)?.pos ?? 0) >= pos) inbox.readAgain(space, pos, chainStart(space));
    }
    return damaged.length > 0;
  }

  /** Stores and opens a space; its control log may be empty as yet. */
  add(kind: "vault" | "notebook", { genesis, capSecret, relay }: SpaceAccess): Space {
    const id = spaceIdOf(genesis);
    this.#store.spaces.put({
      id,
      kind,
      genesis,
      capSecret,
      role: "admin",
      state: "active",
      relayUrl: relay,
      createdAt: this.#ports.clock.now(),
    });
    return this.#open(id, { genesis, capSecret });
  }

  #open(
    id: Uint8Array,
    { genesis, capSecret }: { readonly genesis: Uint8Array; readonly capSecret: Uint8Array | null },
  ): Space {
    const known = this.get(id);
    if (known !== undefined) return known;
    const { ed } = this.#ports;
    const capability = capSecret === null ? null : capabilityFrom(ed, capSecret);
    const context = { store: this.#store, ed, identity: this.mustIdentity() };
    const space = new Space(context, id, genesis, capability);
    this.#spaces.set(space.hex, space);
    if (this.#formerSecrets(id).length > 0) space.hold(this.#heldIn(id));
    return space;
  }

  /**
   * Uses another secret for a space from now on, in the caller's transaction. What the former ones open
   * stays open, and they serve until the control log has taken the new one in.
   */
  takeAccess(space: Space, capSecret: Uint8Array): void {
    const row = this.#store.spaces.get(space.id);
    if (row === null) throw new Error("access is taken to a space that is held");
    this.#store.spaces.update(space.id, { capSecret, state: "active" });
    // What is used again is not to be replaced any more.
    const former = this.#formerSecrets(space.id).filter((secret) => !equal(secret, capSecret));
    this.#saveFormerSecrets(space, former);
    if (row.capSecret !== null) this.keepFormer(space, row.capSecret);
    space.hold(this.#heldIn(space.id));
    space.certifyDevice();
  }

  /** Something that opened a space before, in the caller's transaction; again is harmless. */
  keepFormer(space: Space, capSecret: Uint8Array): void {
    const current = this.#store.spaces.get(space.id)?.capSecret ?? null;
    const former = this.#formerSecrets(space.id);
    const known = current === null ? former : [current, ...former];
    if (known.some((secret) => equal(secret, capSecret))) return;
    this.#saveFormerSecrets(space, [capSecret, ...former].slice(0, mostFormerSecrets));
    space.hold(this.#heldIn(space.id));
  }

  /** Whether this is what the space is to be opened with. */
  uses(space: Space, capSecret: Uint8Array): boolean {
    const current = this.#store.spaces.get(space.id)?.capSecret ?? null;
    return current !== null && equal(current, capSecret);
  }

  /**
   * What opened the space before and may do more in it than what is used now; null where nothing does, or what is used now
   * is not in the log yet.
   */
  strongerFormer(space: Space): Uint8Array | null {
    const { role, authority } = space;
    if (role === roles.none || role === roles.admin) return null;
    const former = this.#formerSecrets(space.id).map((secret, ix) => {
      const cap = space.held[ix + 1]?.sign.publicKey;
      return { secret, may: cap === undefined ? roles.none : roleOf(authority, cap) };
    });
    const [strongest] = former.toSorted((one, other) => other.may - one.may);
    return strongest !== undefined && strongest.may > role ? strongest.secret : null;
  }

  /** This person's access is given up, in the caller's transaction; what had been received stays. */
  leave(space: Space): void {
    this.#store.spaces.update(space.id, { capSecret: null, state: "ended" });
    this.#saveFormerSecrets(space, []);
    space.hold([]);
  }

  /** The newest first. */
  #formerSecrets(space: Uint8Array): readonly Uint8Array[] {
    const packed = this.#store.settings.get(formerSecretsSetting(toHex(space))) ?? new Uint8Array();
    return Array.from({ length: packed.length / 32 }, (_, ix) =>
      packed.slice(32 * ix, 32 * ix + 32),
    );
  }

  #saveFormerSecrets(space: Space, secrets: readonly Uint8Array[]): void {
    const setting = formerSecretsSetting(space.hex);
    if (secrets.length === 0) this.#store.settings.remove(setting);
    else this.#store.settings.put(setting, concat(...secrets));
  }

  #heldIn(space: Uint8Array): readonly HeldCapability[] {
    const current = this.#store.spaces.get(space)?.capSecret ?? null;
    const secrets = [...(current === null ? [] : [current]), ...this.#formerSecrets(space)];
    return secrets.map((secret) => capabilityFrom(this.#ports.ed, secret));
  }

  /** After a transaction that came to nothing: what it had added is not held, what it had changed is as before. */
  #readAgain(): void {
    this.#identity = loadIdentity(this.#store);
    for (const space of this.#spaces.values()) {
      const row = this.#store.spaces.get(space.id);
      if (row === null) this.#spaces.delete(space.hex);
      else space.hold(this.#heldIn(space.id));
    }
    if (this.#identity !== null) this.openAll();
  }

  /** Access is over; what had been received stays. */
  markEnded(space: Space): void {
    this.#store.spaces.update(space.id, { state: "ended" });
  }

  spaces(): readonly Space[] {
    return [...this.#spaces.values()];
  }

  get(id: Uint8Array): Space | undefined {
    return this.#spaces.get(toHex(id));
  }

  get vault(): Space {
    const vault = this.get(this.mustIdentity().vault);
    if (vault === undefined) throw new Error("a device with an identity holds its vault");
    return vault;
  }

  /** The notebook made with the identity here; null on a device that was restored. */
  get firstFounded(): Space | null {
    const id = this.#store.settings.get(firstNotebookSetting);
    return id === null ? null : (this.get(id) ?? null);
  }

  /** Refuses with `no-such-notebook`. */
  mustNotebook(id: string): Space {
    const named = this.#spaces.get(id);
    const space = named === undefined ? undefined : (this.successorOf(named) ?? named);
    return space?.kind === "notebook"
      ? space
      : refuse("no-such-notebook", "There is no such notebook on this device.");
  }

  /** Where a note goes when nobody says where: the oldest notebook that is this person's own. */
  firstNotebook(): Space {
    const hidden = this.hidden();
    const own = this.#store.spaces
      .list()
      .filter(({ id }) => !hidden.has(toHex(id)))
      .filter((row) => row.kind === "notebook" && row.state === "active")
      .filter(({ id }) => this.facts(id).single !== true)
      .map((row) => this.get(row.id));
    return (
      own.find((space) => space?.role === roles.admin && space.mayWrite) ??
      refuse(
        "no-such-notebook",
        "This device has no notebook to write in yet. Its notebooks are still arriving.",
      )
    );
  }

  facts(space: Uint8Array): NotebookFacts {
    const bytes = this.#store.settings.get(`notebook/${toHex(space)}`);
    if (bytes === null) return { name: "", members: [] };
    return JSON.parse(new TextDecoder().decode(bytes)) as NotebookFacts; // written by saveFacts alone
  }

  saveFacts(space: Uint8Array, facts: NotebookFacts): void {
    this.#store.settings.put(`notebook/${toHex(space)}`, utf8(JSON.stringify(facts)));
  }

  members(space: Space): NotebookRow["members"] {
    const { members } = this.facts(space.id);
    return space.authority.capabilities
      .filter(({ kind, role }) => kind !== capabilityKinds.link && role !== roles.none)
      .map(({ signPub }) => {
        const self = isOwn(space, signPub);
        const name = members.find((known) => known.cap === toHex(signPub))?.name;
        return { name: name ?? (self ? loadDisplayName(this.#store) : "somebody"), self };
      });
  }

  /** Whether anybody but this person can open the space. */
  isShared(space: Space): boolean {
    return space.authority.capabilities.some(
      ({ signPub, role }) => role !== roles.none && !isOwn(space, signPub),
    );
  }

  /** Whose device it is, null if that is not known here. */
  nameOfDevice(space: Space, dev: Uint8Array): string | null {
    const caps = space.capabilitiesOf(dev);
    if (caps.some((cap) => isOwn(space, cap))) return "another device";
    const certified = new Set(caps.map(toHex));
    return this.facts(space.id).members.find(({ cap }) => certified.has(cap))?.name ?? null;
  }
}

function isOwn(space: Space, capPub: Uint8Array): boolean {
  return space.capability !== null && equal(capPub, space.capability.sign.publicKey);
}

export function roleName(space: Space): Role {
  if (space.role === roles.admin) return "admin";
  return space.role === roles.edit ? "edit" : "read";
}

/** Refuses with `no-access`. */
export function mustWrite(space: Space): void {
  if (space.mayWrite) return;
  if (space.authority.deleted) {
    refuse("no-access", "This notebook has been deleted. What is here can still be read.");
  }
  if (space.role === roles.none) {
    refuse(
      "no-access",
      "You no longer have access to this notebook. What is here can still be read.",
    );
  }
  refuse("no-access", "You can read this notebook but not change it.");
}

/** What admits one more device of the same person to the vault. */
export function deviceGrant(capability: HeldCapability): NewCapability {
  return {
    signPub: capability.sign.publicKey,
    boxPub: capability.box.publicKey,
    role: roles.admin,
    kind: capabilityKinds.device,
    notAfter: 0,
    maxJoins: 0,
    meta: new Uint8Array(0),
  };
}
