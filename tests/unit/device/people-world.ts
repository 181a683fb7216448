/** People with devices, a relay and time, for what they do to one another's access. */
import { toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, parseControl } from "#relay/protocol/control.ts";
import { Refusal } from "#client/device/refusal.ts";
import type { Device } from "#client/device/device.ts";
import { Space } from "#client/sync/space.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import { loadIdentity } from "#client/device/identity.ts";
import type { DeviceEvent } from "#client/device/api.ts";
import type { Store } from "#crdt-store/store.ts";
import { World, type Engines, type SimDevice } from "#tests/support/world.ts";

/** Somebody with one device and an identity of their own. */
export class Person {
  readonly name: string;
  readonly sim: SimDevice;
  readonly events: DeviceEvent[] = [];
  readonly #world: World;
  readonly #engines: Engines;

  constructor(world: World, engines: Engines, name: string) {
    this.#world = world;
    this.#engines = engines;
    this.name = name;
    this.sim = world.addDevice(name);
    this.sim.open();
    this.#listen();
  }

  #listen(): void {
    this.device.subscribe((event) => this.events.push(event));
  }

  get device(): Device {
    const device = this.sim.running?.device;
    if (device === undefined) throw new Error(`${this.name} does not run`);
    return device;
  }

  get store(): Store {
    const store = this.sim.running?.store;
    if (store === undefined) throw new Error(`${this.name} does not run`);
    return store;
  }

  async reopen(): Promise<void> {
    await this.sim.kill();
    this.sim.open();
    this.#listen();
  }

  goOffline(): void {
    this.#world.network.part(this.sim.name, "refuse");
  }

  goOnline(): void {
    this.#world.network.join(this.sim.name);
  }

  notices(): readonly string[] {
    return this.events.flatMap((event) => (event.type === "notice" ? [event.text] : []));
  }

  /** What this device's store says of a notebook, as the device itself reads it. */
  space(notebook: string): Space {
    const row = this.store.spaces.list().find(({ id }) => toHex(id) === notebook);
    const identity = loadIdentity(this.store);
    if (row === undefined || identity === null) throw new Error(`${this.name} has no such space`);
    const { ed } = this.#engines;
    const capability = row.capSecret === null ? null : capabilityFrom(ed, row.capSecret);
    return new Space({ store: this.store, ed, identity }, row.id, row.genesis, capability);
  }

  /** The id by which others know this person in a notebook. */
  idIn(notebook: string): string {
    const { capability } = this.space(notebook);
    if (capability === null) throw new Error(`${this.name} holds no access`);
    return toHex(capability.sign.publicKey);
  }

  async write(note: string, insert: string): Promise<void> {
    const { body, heads } = await this.device.readNote(note);
    await this.device.spliceNote(note, heads, [
      { field: "body", at: body.length, remove: 0, insert },
    ]);
  }

  async reads(note: string): Promise<string> {
    return (await this.device.readNote(note)).body;
  }
}

export class PeopleWorld {
  readonly world: World;
  readonly #engines: Engines;

  private constructor(world: World, engines: Engines) {
    this.world = world;
    this.#engines = engines;
  }

  static async start(seed: string, engines: Engines): Promise<PeopleWorld> {
    const world = new World({ seed, engines, encrypted: false, secrets: [] });
    await world.relay.start();
    return new PeopleWorld(world, engines);
  }

  async person(name: string): Promise<Person> {
    const person = new Person(this.world, this.#engines, name);
    person.device.create();
    await this.during(person.device.setDisplayName(name));
    return person;
  }

  pass(ms: number): Promise<void> {
    return this.world.timeline.advance(ms);
  }

  /** Lets a long time pass while none of these devices runs; they are open again after it. */
  async passClosed(ms: number, ...people: readonly Person[]): Promise<void> {
    for (const { sim } of people) await sim.kill();
    await this.pass(ms);
    for (const person of people) await person.reopen();
  }

  /** Long enough for everything that is under way, with room for retries. */
  settle(): Promise<void> {
    return this.pass(40_000);
  }

  /** Lets time pass until the work is done; fails with it. */
  async during<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {}); // awaited below, when its time has passed
    await this.pass(12_000);
    return work;
  }

  /** The code a step is refused with, null if it is not. */
  async refusalOf(work: Promise<unknown>): Promise<string | null> {
    try {
      await this.during(work);
      return null;
    } catch (error) {
      if (error instanceof Refusal) return error.code;
      throw error;
    }
  }

  /** Shares a notebook by a fresh link with each of these, in order. */
  async invite(
    host: Person,
    notebook: string,
    role: "read" | "edit",
    ...guests: readonly Person[]
  ): Promise<string> {
    const { link } = await this.during(host.device.share(notebook, role));
    for (const guest of guests) await this.during(guest.device.join(link));
    await this.settle();
    return link;
  }

  async end(): Promise<void> {
    await this.world.end();
  }
}

export interface Three extends AsyncDisposable {
  readonly world: PeopleWorld;
  readonly ana: Person;
  readonly ben: Person;
  readonly cem: Person;
  readonly notebook: string;
  readonly note: string;
  readonly link: string;
}

/** Ana's notebook with a note that says "one", Ben and Cem who came by one link. */
export async function setupThree(
  seed: string,
  engines: Engines,
  role: "read" | "edit" = "edit",
): Promise<Three> {
  const world = await PeopleWorld.start(seed, engines);
  const ana = await world.person("Ana");
  const ben = await world.person("Ben");
  const cem = await world.person("Cem");
  const notebook = await firstNotebook(ana);
  const { id: note } = await ana.device.createNote({ title: "Tent", body: "one" });
  const link = await world.invite(ana, notebook, role, ben, cem);
  return {
    world,
    ana,
    ben,
    cem,
    notebook,
    note,
    link,
    [Symbol.asyncDispose]: () => world.end(),
  };
}

export async function firstNotebook({ device }: Person): Promise<string> {
  const [row] = await device.notebooks();
  if (row === undefined) throw new Error("there is a first notebook");
  return row.id;
}

/** The control log as a device keeps it: what each record is, and whether the relay has it. */
export function logOf(person: Person, notebook: string): readonly string[] {
  const space = person.space(notebook);
  return person.store.spaces.control(space.id).map(({ bytes, pos }) => {
    const parsed = parseControl(bytes);
    if (!parsed.ok) throw new Error(parsed.error);
    return `${parsed.value.record.body.type}${pos === null ? " (waits)" : ""}`;
  });
}

export function linkIds(person: Person, notebook: string): readonly string[] {
  return person
    .space(notebook)
    .authority.capabilities.filter(({ kind }) => kind === capabilityKinds.link)
    .map(({ signPub }) => toHex(signPub));
}
