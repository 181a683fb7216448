/**
 * One seed of the long story: three people with eight devices let each other in and out of notebooks while everything
 * goes wrong, the relay's disk included. Then everything is well again, everybody who may writes once more, and what
 * each device holds is compared with what it may.
 */
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { Store } from "#crdt-store/store.ts";
import { roleOf, type Authority } from "#relay/protocol/authority.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles, type CapabilityKind } from "#relay/protocol/control.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import { parseLink } from "#client/crypto/link.ts";
import type { NoteRow, Role } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { Refusal } from "#client/device/refusal.ts";
import { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import type { Chance } from "#tests/support/sim-chance.ts";
import { calm } from "#tests/support/sim-network.ts";
import { World, type SimDevice } from "#tests/support/world.ts";
import { firstDifference, tellSpace } from "./agreement.ts";
import { Actor, Promises, secrets } from "./cast.ts";
import { rightsIn, type OpenStore, type SpaceRights } from "./rights.ts";
import { stormy, type Outcome, type StoryOptions } from "./story.ts";

/** What was done so that it took effect, and what befell the relay and the devices. */
export const deeds = [
  "invited",
  "joined",
  "removed a person",
  "changed a role",
  "ended a link",
  "removed a device",
  "came back by the words",
  "the relay was put back",
  "the relay was emptied",
  "tried a spent link",
] as const;
export type Deed = (typeof deeds)[number];

export interface LongOptions extends StoryOptions {
  /** Whether the relay's disk is safe; else it may be emptied, or an old copy may take its place. */
  readonly safeRelay?: boolean;
}

export interface LongOutcome extends Outcome {
  readonly done: Readonly<Record<Deed, number>>;
}

const arriveWithinMs = 120_000;
const longestHealMs = 600_000;
/** What a device does about what another one did waits half a minute at most, before that is looked at and after. */
const shortCalmMs = 20_000;
const longCalmMs = 70_000;
const defaultActions = 44;
/** Copies of the relay's disk that an operator might put back. */
const mostCopies = 4;
const eager = { changes: 3, bytes: 1 << 20, quietMs: 150 };

export async function runLongStory(options: LongOptions): Promise<LongOutcome> {
  const { chance } = new World({ ...options, encrypted: false, secrets: [] });
  const draw = chance.fork("long story");
  const world: World = new World({
    seed: options.seed,
    engines: options.engines,
    encrypted: draw.happens(0.1),
    limits: draw.happens(0.1) ? { entriesPerSecond: 4, entryBurst: 8 } : {},
    ...(draw.happens(0.5) ? { packing: eager } : {}),
    secrets,
    tamper: (store, device) => {
      guardKeys(store, (key) => world.addSecret(key));
      options.tamper?.(store, device);
    },
  });
  try {
    return await new LongStory(world, draw, options).run();
  } finally {
    await world.end();
  }
}

/** No key may ever be seen outside a device. */
function guardKeys(store: Store, found: (key: Uint8Array) => void): void {
  const put = store.spaces.putKey.bind(store.spaces);
  store.spaces.putKey = (space, keyCommit, epoch, key) => {
    found(key);
    put(space, keyCommit, epoch, key);
  };
}

interface LateWord {
  readonly word: string;
  readonly note: string;
}

class LongStory {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #options: LongOptions;
  readonly #promises = new Promises();
  readonly #actors = new Map<SimDevice, Actor>();
  /** The device whose words open the vault of each device. */
  readonly #rootOf = new Map<SimDevice, SimDevice>();
  /** Devices whose owner has taken them out: they come back to nothing. */
  readonly #removed = new Set<SimDevice>();
  /** When each device was emptied last, by the number of words promised until then. */
  readonly #emptiedAt = new Map<string, number>();
  readonly #links: { readonly link: string; readonly notebook: string }[] = [];
  readonly #copies: MemoryRelayDisk[] = [];
  readonly #done: Record<Deed, number> = Object.fromEntries(
    deeds.map((deed) => [deed, 0]),
  ) as Record<Deed, number>; // all of them, by the line above
  #isChaotic = true;
  #words = 0;

  constructor(world: World, chance: Chance, options: LongOptions) {
    this.#world = world;
    this.#chance = chance;
    this.#options = options;
  }

  async run(): Promise<LongOutcome> {
    const { timeline, relay, network } = this.#world;
    await relay.start();
    this.#assemble();
    const problems: string[] = [];
    if (await this.#allArrive()) {
      network.weather = stormy(this.#chance);
      for (let left = this.#options.actions ?? defaultActions; left > 0; left -= 1) {
        this.#somethingHappens();
        await timeline.advance(this.#chance.between(0, 1_500));
      }
      problems.push(...(await this.#end()));
    } else problems.push("not everybody arrived in fair weather");
    return {
      seed: this.#options.seed,
      problems: [...this.#promises.faults, ...problems],
      digest: this.#world.trace.digest,
      trace: this.#world.trace.lines,
      words: this.#promises.words.length,
      notes: this.#promises.notes.length,
      took: timeline.elapsed / 1000,
      done: this.#done,
    };
  }

  async #end(): Promise<string[]> {
    if (!(await this.#heal(shortCalmMs))) return [await this.#whyNotQuiet()];
    const late = await this.#writeOnceMore();
    if (!(await this.#heal(longCalmMs)))
      return [`after the last words: ${await this.#whyNotQuiet()}`];
    const rights = this.#rights();
    const problems = [...this.#leaks(), ...rights.flatMap((space) => this.#agreement(space))];
    for (const space of rights) problems.push(...this.#secrecy(space, late));
    problems.push(...(await this.#read(rights, late)));
    problems.push(...(await this.#goThroughSpentLinks(rights)));
    return problems;
  }

  #assemble(): void {
    const add = (name: string, root: SimDevice | null, of: SimDevice | null): SimDevice => {
      const sim = this.#world.addDevice(name);
      const { automerge } = this.#options.engines;
      const role =
        root !== null
          ? ({ type: "own device", of: root } as const)
          : of === null
            ? ({ type: "founder" } as const)
            : ({ type: "guest", of } as const);
      const word = (): string => this.#nextWord();
      this.#actors.set(sim, new Actor(this.#world, sim, role, this.#promises, automerge, word));
      this.#rootOf.set(sim, root ?? sim);
      return sim;
    };
    const ada = add("ada-1", null, null);
    add("ada-2", ada, null);
    add("ada-3", ada, null);
    const bob = add("bob-1", null, ada);
    add("bob-2", bob, null);
    add("bob-3", bob, null);
    const cyd = add("cyd-1", null, ada);
    add("cyd-2", cyd, null);
    for (const [sim, actor] of this.#actors) {
      sim.open();
      actor.arrive(this.#actors);
    }
  }

  #nextWord(): string {
    this.#words += 1;
    return `‹word-${this.#words}›`;
  }

  async #allArrive(): Promise<boolean> {
    for (let waited = 0; waited < arriveWithinMs; waited += 1_000) {
      await this.#world.timeline.advance(1_000);
      if ([...this.#actors.values()].every((actor) => actor.hasArrived)) return true;
    }
    return false;
  }

  // ── what happens ──────────────────────────────────────────────────────────────────────────────

  #somethingHappens(): void {
    const { network, timeline } = this.#world;
    const sim = this.#chance.pick([...this.#actors.keys()]);
    if (sim === undefined) return;
    const drawn = this.#chance.next();
    if (drawn < 0.04) {
      void sim.kill();
      this.#later(500, 8_000, () => this.#reopen(sim));
    } else if (drawn < 0.08) {
      sim.killAfterFlushes(1 + this.#chance.below(12));
      this.#later(2_000, 10_000, () => this.#reopen(sim));
    } else if (drawn < 0.14) {
      network.part(sim.name, this.#chance.happens(0.6) ? "refuse" : "swallow");
      this.#later(1_000, 20_000, () => network.join(sim.name));
    } else if (drawn < 0.22) this.#somethingBefallsTheRelay();
    else if (drawn < 0.25) void this.#loseDisk(sim);
    else if (drawn < 0.55) this.#administer(sim);
    else this.#actors.get(sim)?.act();
    if (this.#chance.happens(0.5)) {
      const other = this.#chance.pick([...this.#actors.values()]);
      timeline.after(this.#chance.between(0, 50), () => other?.act());
    }
  }

  #somethingBefallsTheRelay(): void {
    const { relay, trace } = this.#world;
    const drawn = this.#chance.next();
    if (drawn < 0.5) {
      this.#copies.push(relay.disk.copy());
      if (this.#copies.length > mostCopies) this.#copies.shift();
      trace.add("the operator copies the relay's disk");
      return;
    }
    relay.crash();
    const isSafe = this.#options.safeRelay === true;
    if (isSafe) trace.add("nothing more befalls the relay");
    else if (drawn < 0.75) {
      const copy = this.#chance.pick(this.#copies);
      if (copy !== undefined) {
        relay.disk = copy.copy();
        this.#happened("the relay was put back");
      }
    } else if (drawn < 0.85) {
      relay.disk = new MemoryRelayDisk();
      this.#happened("the relay was emptied");
    }
    this.#later(50, 6_000, () => void this.#restartRelay());
  }

  #happened(deed: Deed): void {
    this.#done[deed] += 1;
    this.#world.trace.add(deed);
  }

  /** What somebody does about who has access. */
  #administer(sim: SimDevice): void {
    const actor = this.#actors.get(sim);
    const device = sim.running?.device;
    if (actor === undefined || device === undefined || !device.hasIdentity) return;
    const drawn = this.#chance.next();
    const act = (what: Deed, does: () => Promise<boolean>): void => {
      void actor.attempt(what, async () => {
        if ((await does()) && sim.running?.device === device) this.#happened(what);
      });
    };
    if (drawn < 0.25) act("invited", () => this.#invite(device));
    else if (drawn < 0.5) act("joined", () => this.#join(device));
    else if (drawn < 0.7) act("removed a person", () => this.#removePerson(sim, device));
    else if (drawn < 0.85) act("changed a role", () => this.#changeRole(sim, device));
    else if (drawn < 0.93) act("ended a link", () => this.#endLink(sim, device));
    else act("removed a device", () => this.#removeDevice(sim, device));
  }

  async #managed(device: Device): Promise<string | undefined> {
    const rows = await device.notebooks();
    const managed = rows.filter(({ role, state }) => role === "admin" && state === "active");
    return this.#chance.pick(managed)?.id;
  }

  async #invite(device: Device): Promise<boolean> {
    const notebook = await this.#managed(device);
    if (notebook === undefined) return false;
    const role = this.#chance.happens(0.7) ? "edit" : "read";
    const isForOne = this.#chance.happens(0.4);
    const { link } = await device.share(notebook, role, isForOne ? { maxJoins: 1 } : {});
    this.#links.push({ link, notebook });
    return true;
  }

  async #join(device: Device): Promise<boolean> {
    // Mostly one that was made lately: it lives.
    const lately = this.#chance.happens(0.7) ? this.#links.slice(-2) : this.#links;
    const chosen = this.#chance.pick(lately);
    if (chosen === undefined) return false;
    await device.join(chosen.link);
    return true;
  }

  /** The capability keys of those who have access, in hex, by what they are; this person's own is left out. */
  #members(sim: SimDevice, notebook: string, kind: CapabilityKind): readonly string[] {
    const id = parseHex(notebook);
    const store = sim.running?.store;
    const own = id === null ? null : (store?.spaces.get(id)?.capSecret ?? null);
    if (id === null || store === undefined || own === null) return [];
    const { ed } = this.#options.engines;
    const { capabilities } = rightsIn([{ name: sim.name, store }], id, ed).authority;
    const self = toHex(capabilityFrom(ed, own).sign.publicKey);
    return capabilities
      .filter((capability) => capability.kind === kind && capability.role !== roles.none)
      .map(({ signPub }) => toHex(signPub))
      .filter((key) => key !== self);
  }

  async #removePerson(sim: SimDevice, device: Device): Promise<boolean> {
    const notebook = await this.#managed(device);
    if (notebook === undefined) return false;
    const person = this.#chance.pick(this.#members(sim, notebook, capabilityKinds.person));
    if (person === undefined) return false;
    await device.removePerson(notebook, person);
    return true;
  }

  async #changeRole(sim: SimDevice, device: Device): Promise<boolean> {
    const notebook = await this.#managed(device);
    if (notebook === undefined) return false;
    const person = this.#chance.pick(this.#members(sim, notebook, capabilityKinds.person));
    if (person === undefined) return false;
    const role = this.#chance.pick<Role>(["read", "edit", "edit", "admin"]) ?? "edit";
    await device.setPersonRole(notebook, person, role);
    return true;
  }

  async #endLink(sim: SimDevice, device: Device): Promise<boolean> {
    const notebook = await this.#managed(device);
    if (notebook === undefined) return false;
    const link = this.#chance.pick(this.#members(sim, notebook, capabilityKinds.link));
    if (link === undefined) return false;
    await device.revokeLink(notebook, link);
    return true;
  }

  /** One of the person's own, not the one whose words the others come by. */
  async #removeDevice(sim: SimDevice, device: Device): Promise<boolean> {
    const root = this.#rootOf.get(sim);
    const others = [...this.#actors.keys()].filter(
      (other) => other !== sim && other !== root && this.#rootOf.get(other) === root,
    );
    const chosen = this.#chance.pick(others.filter((other) => !this.#removed.has(other)));
    const key = chosen === undefined ? null : this.#vaultKeyOf(chosen);
    if (chosen === undefined || key === null || this.#removed.has(sim)) return false;
    this.#removed.add(chosen);
    await device.removeDevice(key);
    return true;
  }

  #vaultKeyOf({ running }: SimDevice): string | null {
    const store = running?.store;
    const vault = store?.spaces.list().find(({ kind }) => kind === "vault");
    if (vault?.capSecret == null) return null;
    return toHex(publicKeyOf(this.#options, vault.capSecret));
  }

  /** A disk is lost with all that is on it, where a person could know that nothing was only there. */
  async #loseDisk(sim: SimDevice): Promise<void> {
    const actor = this.#actors.get(sim);
    const root = this.#rootOf.get(sim);
    if (actor === undefined || root === undefined || this.#removed.has(sim)) return;
    if (this.#actors.get(root)?.words == null || !this.#hasNothingAlone(sim)) return;
    await sim.kill();
    if (sim.running !== null) return;
    sim.lose();
    this.#emptiedAt.set(sim.name, this.#promises.words.length);
    this.#happened("came back by the words");
    sim.open();
    actor.comeBack(root, this.#actors);
  }

  #hasNothingAlone({ name, running }: SimDevice): boolean {
    if (running === null) return false;
    const { store } = running;
    const others = this.#stores().filter((other) => other.name !== name);
    const isShared = store.spaces.list().every(({ id }) => {
      const last = store.spaces.controlHead(id)?.seq ?? 0;
      return others.some(
        (other) =>
          other.store.spaces.get(id) !== null &&
          (other.store.spaces.controlHead(id)?.seq ?? 0) >= last,
      );
    });
    const isSent =
      store.outbox.depth() === 0 &&
      store.drafts.all().length === 0 &&
      store.spaces.list().every(({ id }) => !store.spaces.hasUnconfirmedControl(id));
    const isKnown = this.#promises.changes
      .filter(({ by }) => by === name)
      .every(({ note, heads }) => {
        const doc = parseDocumentId(note);
        if (doc === undefined) return false;
        return heads.every((head) => {
          const hash = parseHex(head);
          return hash !== null && others.some((other) => other.store.changes.has(doc, hash));
        });
      });
    return isShared && isSent && isKnown;
  }

  #later(from: number, to: number, run: () => void): void {
    this.#world.timeline.after(this.#chance.between(from, to), () => {
      if (this.#isChaotic) run();
    });
  }

  async #reopen(sim: SimDevice): Promise<void> {
    if (sim.running !== null) return;
    await sim.kill();
    if (sim.running === null) sim.open();
  }

  async #restartRelay(): Promise<void> {
    if (!this.#world.relay.isUp) await this.#world.relay.start();
  }

  // ── everything is well again ──────────────────────────────────────────────────────────────────

  /** @param calmMs so long it has to stay quiet */
  async #heal(calmMs: number): Promise<boolean> {
    const { network, timeline } = this.#world;
    this.#isChaotic = false;
    network.weather = calm;
    await this.#restartRelay();
    for (const sim of this.#actors.keys()) {
      network.join(sim.name);
      void sim.running?.device.setOnline(true);
    }
    for (let waited = 0; waited < longestHealMs; waited += 1_000) {
      for (const sim of this.#actors.keys()) await this.#reopen(sim);
      await timeline.advance(1_000);
      if ((await this.#quietly()) === null) {
        await timeline.advance(calmMs);
        if ((await this.#quietly()) === null) return true;
      }
    }
    return false;
  }

  /** What there is still to do, null if nothing. */
  async #quietly(): Promise<string | null> {
    for (const [sim, actor] of this.#actors) {
      if (sim.running === null) return `${sim.name} does not run`;
      if (!actor.hasArrived && !this.#removed.has(sim)) return `${sim.name} has not arrived`;
    }
    for (const { id, standings, authority, rotations } of this.#rights()) {
      const kept = this.#world.relay.disk.spaces.get(toHex(id));
      const maker = rotations.at(-1)?.by;
      const isManaged = [...standings.values()].some(({ role }) => role === roles.admin);
      const isOpen = authority.kind === "notebook" && !authority.deleted && isManaged;
      if (isOpen && maker !== undefined && roleOf(authority, maker) === roles.none) {
        return `the keys of ${short(id)} were made by somebody who is out`;
      }
      if (kept === undefined) return `the relay has not got the space ${short(id)}`;
      for (const { name, store } of this.#stores()) {
        const standing = standings.get(name);
        if (standing === undefined) continue;
        const { state, kind } = store.spaces.get(id) ?? { state: "active", kind: "?" };
        const what = `${name}, ${kind} ${short(id)}`;
        if (standing.role === roles.none) {
          if (standing.lastEpoch !== null && state !== "ended" && kind === "notebook") {
            return `${what}: does not know that its access has ended`;
          }
          continue;
        }
        const at = store.inbox.cursor(id)?.pos;
        if (at !== kept.stored.head) return `${what}: read to ${at} of ${kept.stored.head}`;
        if (store.spaces.hasUnconfirmedControl(id)) return `${what}: a control record waits`;
        const waiting = standing.role >= roles.edit ? store.outbox.depth(id) : 0;
        if (waiting > 0) return `${what}: ${waiting} changes wait`;
        if (store.losses.of(id) !== null) return `${what}: gives back what the relay lost`;
      }
    }
    for (const { name, store } of this.#stores()) {
      if (store.notes.stale(1).length > 0) return `${name}: notes are to be described`;
    }
    return null;
  }

  async #whyNotQuiet(): Promise<string> {
    const logs = this.#stores().flatMap(({ name, store }) =>
      store.syncLog
        .all()
        .filter(({ level }) => level !== "info")
        .map(({ text, level }) => `  ${name} log: ${level} ${text}`),
    );
    const why = `not quiet after ${longestHealMs / 1000} s: ${await this.#quietly()}`;
    return [why, ...logs].join("\n");
  }

  /** In every notebook somebody who may writes a word that nobody who may not has ever seen. */
  async #writeOnceMore(): Promise<ReadonlyMap<string, LateWord>> {
    const late = new Map<string, LateWord>();
    for (const { id, standings, authority } of this.#rights()) {
      const hex = toHex(id);
      if (authority.kind !== "notebook" || authority.deleted) continue;
      const writers = [...this.#actors.keys()].filter(
        ({ name }) => (standings.get(name)?.role ?? roles.none) >= roles.edit,
      );
      const device = this.#chance.pick(writers)?.running?.device;
      if (device === undefined) continue;
      const word = `‹late-${late.size}-${this.#chance.below(1_000_000)}›`;
      const { id: note } = await device.createNote({
        notebook: hex,
        title: "Title-secret at last",
        body: word,
      });
      late.set(hex, { word, note });
    }
    return late;
  }

  // ── what must hold ────────────────────────────────────────────────────────────────────────────

  #stores(): readonly OpenStore[] {
    return [...this.#actors.keys()].flatMap((sim) =>
      sim.running === null ? [] : [{ name: sim.name, store: sim.running.store }],
    );
  }

  #rights(): readonly SpaceRights[] {
    const stores = this.#stores();
    const ids = new Map(
      stores.flatMap(({ store }) => store.spaces.list().map(({ id }) => [toHex(id), id] as const)),
    );
    return [...ids.values()].map((id) => rightsIn(stores, id, this.#options.engines.ed));
  }

  #leaks(): string[] {
    const { relay, leaks } = this.#world;
    const problems = relay.errors.map((event) => `the relay logged: ${event}`);
    problems.push(...new Set(leaks.map((leak) => `${leak} was on the wire`)));
    for (const bytes of relay.disk.bytes()) {
      for (const leak of this.#world.secretsIn(bytes)) problems.push(`${leak} is at the relay`);
    }
    return problems;
  }

  /** Those who may read hold the same, up to where the relay is. */
  #agreement({ id, standings }: SpaceRights): string[] {
    const readers = this.#readers(standings);
    const kept = this.#world.relay.disk.spaces.get(toHex(id));
    // What those who may only read had written before waits with them: it is compared where they may write.
    const comparable = readers.filter(({ store }) => store.outbox.depth(id) === 0);
    const facts = comparable.map(({ name, store }) => ({ name, told: tellSpace(store, id) }));
    const [first] = facts;
    const problems = facts
      .filter(({ told }) => told !== first?.told)
      .map(
        ({ name, told }) =>
          `${name} and ${first?.name} differ:\n${firstDifference(told, first?.told ?? "")}`,
      );
    for (const { name, store } of readers) {
      const chain = store.inbox.cursor(id)?.chain;
      if (chain === undefined || kept === undefined || !equal(chain, kept.stored.chain)) {
        problems.push(`${name} stands at another chain than the relay`);
      }
    }
    return problems;
  }

  /** Those who may not have neither a later key nor the last word. */
  #secrecy(space: SpaceRights, late: ReadonlyMap<string, LateWord>): string[] {
    const { id, standings, rotations } = space;
    const problems: string[] = [];
    const word = late.get(toHex(id))?.word;
    const readers = this.#readers(standings);
    // Those of a log that the relay has lost were given to whoever was in then, and nothing is sealed by them now.
    const keys = readers
      .flatMap(({ store }) => store.spaces.keys(id))
      .filter(({ keyCommit }) =>
        rotations.some((rotation) => equal(rotation.keyCommit, keyCommit)),
      );
    for (const { name, store } of this.#stores()) {
      const standing = standings.get(name);
      const bytes = this.#clearBytesOf(name);
      const holdsWord = word !== undefined && bytes.some((file) => file.includes(word));
      if (standing !== undefined && standing.role !== roles.none) {
        // The search would find it: those who may read have it.
        if (word !== undefined && bytes.length > 0 && !holdsWord) {
          problems.push(`${name} may read ${short(id)} but has not got the last word`);
        }
        continue;
      }
      if (holdsWord) problems.push(`${name} may not read ${short(id)} but has got the last word`);
      const last = standing?.lastEpoch ?? null;
      if (last === null) continue;
      const later = keys.filter(({ epoch }) => epoch > last);
      const held = store.spaces.keys(id);
      if (later.some(({ key }) => held.some((own) => equal(own.key, key)))) {
        problems.push(`${name} holds a key of ${short(id)} from after its access ended`);
      }
      if (later.some(({ key }) => bytes.some((file) => file.includes(Buffer.from(key))))) {
        problems.push(`${name} has a key of ${short(id)} on its disk from after its access ended`);
      }
    }
    return problems;
  }

  #readers(standings: SpaceRights["standings"]): readonly OpenStore[] {
    return this.#stores().filter(
      ({ name }) => (standings.get(name)?.role ?? roles.none) !== roles.none,
    );
  }

  /** Its files; none where they are encrypted. */
  #clearBytesOf(name: string): readonly Buffer[] {
    const sim = [...this.#actors.keys()].find((one) => one.name === name);
    const contents = this.#world.isEncrypted ? null : (sim?.bytes() ?? null);
    return contents === null ? [] : [contents.main, contents.wal].map((file) => Buffer.from(file));
  }

  /** What people see: the same texts where they may, and every word that was promised. */
  async #read(
    rights: readonly SpaceRights[],
    late: ReadonlyMap<string, LateWord>,
  ): Promise<string[]> {
    const problems: string[] = [];
    const textsByNote = new Map<string, Map<string, string>>();
    for (const sim of this.#actors.keys()) {
      const device = sim.running?.device;
      if (device === undefined) return [`${sim.name} does not run`];
      for (const row of await device.notes()) {
        try {
          const { title, body, heads } = await this.#world.timeline.during(device.readNote(row.id));
          const texts = textsByNote.get(row.id) ?? new Map<string, string>();
          textsByNote.set(row.id, texts);
          texts.set(sim.name, JSON.stringify([title, body, heads.toSorted()]));
        } catch (error) {
          // Whose access ended between a note's beginning and its end may have the end alone; and of whoever's access
          // ended before all of a note was sent, or given back, only some of it has come.
          if (this.#mayRead(rights, sim.name, row.notebook) && !this.#isOutside(rights, row)) {
            problems.push(`${sim.name} cannot read a note it lists: ${String(error)}`);
          }
        }
      }
    }
    for (const { id, standings, authority } of rights) {
      if (authority.kind !== "notebook") continue;
      const names = this.#readers(standings)
        .filter(({ store }) => store.outbox.depth(id) === 0)
        .map(({ name }) => name);
      for (const [note, texts] of textsByNote) {
        if (!this.#isIn(note, id)) continue;
        const read = names.flatMap((name) => texts.get(name) ?? []);
        if (new Set(read).size > 1) problems.push(`${names.join(", ")} read ${read.join(" and ")}`);
      }
      const last = late.get(toHex(id));
      if (last !== undefined && !names.every((name) => textsByNote.get(last.note)?.has(name))) {
        problems.push(`not all of ${names.join(", ")} list the last note of ${short(id)}`);
      }
    }
    problems.push(...this.#promised(rights, textsByNote));
    return problems;
  }

  /** No link lets anybody in who was not let in by it in time: one for one person no second, one that was ended nobody. */
  async #goThroughSpentLinks(rights: readonly SpaceRights[]): Promise<string[]> {
    const problems: string[] = [];
    for (const { link, notebook } of this.#links) {
      const space = rights.find(({ id }) => toHex(id) === notebook);
      if (space === undefined || !this.#isSpent(space.authority, link)) continue;
      const stranger = this.#strangerTo(space);
      if (stranger === undefined) continue;
      const { device } = stranger.running ?? {};
      let answer: string | null = null;
      void device?.join(link).then(
        () => (answer = "let in"),
        (error: unknown) => (answer = error instanceof Refusal ? error.code : String(error)),
      );
      await this.#world.timeline.advance(15_000);
      this.#happened("tried a spent link");
      if (answer !== "link-spent" && answer !== "bad-link") {
        problems.push(`a spent link of ${short(space.id)} tells ${stranger.name}: ${answer}`);
      }
    }
    return problems;
  }

  /** A device of somebody who has no access. */
  #strangerTo({ standings }: SpaceRights): SimDevice | undefined {
    return [...this.#actors.keys()].find(({ name, running }) => {
      const role = standings.get(name)?.role ?? roles.none;
      return running?.device.hasIdentity === true && role === roles.none;
    });
  }

  #isSpent(authority: Authority, link: string): boolean {
    const parsed = parseLink(link);
    if (!parsed.ok) throw new Error("a link of the story does not parse");
    const { publicKey } = capabilityFrom(this.#options.engines.ed, parsed.link.secret).sign;
    const known = authority.capabilities.find(({ signPub }) => equal(signPub, publicKey));
    if (known === undefined) return false;
    const isUsedUp = known.maxJoins !== 0 && known.joins >= known.maxJoins;
    return known.role === roles.none || isUsedUp;
  }

  /** Whether what a note lacks is on devices alone that have no access to its notebook any more. */
  #isOutside(rights: readonly SpaceRights[], { id, notebook }: NoteRow): boolean {
    const doc = parseDocumentId(id);
    const space = rights.find((one) => toHex(one.id) === notebook);
    if (doc === undefined || space === undefined) return false;
    const readers = this.#readers(space.standings).map(({ store }) => store);
    const others = this.#stores().flatMap(({ store }) => (readers.includes(store) ? [] : [store]));
    if (readers.every(({ changes }) => !changes.knows(doc))) {
      return others.some(({ changes }) => changes.knows(doc));
    }
    const lacking = readers.flatMap(({ changes }) => changes.awaited(doc));
    return (
      lacking.length > 0 &&
      lacking.every(
        (hash) =>
          readers.every(({ changes }) => !changes.has(doc, hash)) &&
          others.some(({ changes }) => changes.has(doc, hash)),
      )
    );
  }

  #mayRead(rights: readonly SpaceRights[], name: string, notebook: string): boolean {
    const space = rights.find(({ id }) => toHex(id) === notebook);
    return space === undefined || (space.standings.get(name)?.role ?? roles.none) !== roles.none;
  }

  #isIn(note: string, space: Uint8Array): boolean {
    const doc = parseDocumentId(note);
    if (doc === undefined) return false;
    return this.#stores().some(({ store }) => {
      const kept = store.documents.get(doc);
      return kept !== null && equal(kept.space, space);
    });
  }

  /** Who may still write there has all of it everywhere; of the others nothing is lost that their own device had. */
  #promised(
    rights: readonly SpaceRights[],
    textsByNote: ReadonlyMap<string, ReadonlyMap<string, string>>,
  ): string[] {
    const problems: string[] = [];
    for (const [number, { note, word, by }] of this.#promises.words.entries()) {
      const texts = textsByNote.get(note);
      if (this.#promises.removed.has(word) || texts === undefined) continue;
      const space = rights.find(({ id }) => this.#isIn(note, id));
      if (space === undefined) continue;
      const isLost = number < (this.#emptiedAt.get(by) ?? 0);
      const { role = roles.none } = space.standings.get(by) ?? {};
      const names = this.#readers(space.standings).map(({ name }) => name);
      const keepers = role >= roles.edit && !isLost ? names : [by];
      const lacking = keepers.filter((name) => texts.get(name)?.includes(word) === false);
      const isSomewhere = [...texts.values()].some((text) => text.includes(word));
      if (isLost ? !isSomewhere : lacking.length > 0) {
        problems.push(`${word}, which ${by} had acknowledged, is gone from ${lacking.join(", ")}`);
      }
    }
    return problems;
  }
}

function publicKeyOf({ engines }: StoryOptions, capSecret: Uint8Array): Uint8Array {
  return capabilityFrom(engines.ed, capSecret).sign.publicKey;
}

function short(id: Uint8Array): string {
  return `${toHex(id.slice(0, 3))}…`;
}
