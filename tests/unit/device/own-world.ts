/** Devices of one person or several, a relay and virtual time, for what devices do to one another. */
import type { DeviceEvent, DeviceRow } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { Refusal } from "#client/device/refusal.ts";
import type { Store } from "#crdt-store/store.ts";
import { World, type Engines, type SimDevice } from "#tests/support/world.ts";

const newDevice = "A new device of yours";

/** One device, through all its restarts. */
export class OwnDevice {
  readonly name: string;
  readonly sim: SimDevice;
  readonly events: DeviceEvent[] = [];
  readonly #world: World;

  constructor(world: World, name: string) {
    this.#world = world;
    this.name = name;
    this.sim = world.addDevice(name);
    this.open();
  }

  open(): void {
    this.sim.open();
    this.device.subscribe((event) => this.events.push(event));
  }

  async reopen(): Promise<void> {
    await this.sim.kill();
    this.open();
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

  goOffline(): void {
    this.#world.network.part(this.name, "refuse");
  }

  goOnline(): void {
    this.#world.network.join(this.name);
  }

  /** But that there is a new device, which most tests begin with. */
  notices(): readonly string[] {
    return this.#allNotices().filter((text) => !text.startsWith(newDevice));
  }

  get newDeviceNotices(): number {
    return this.#allNotices().filter((text) => text.startsWith(newDevice)).length;
  }

  #allNotices(): readonly string[] {
    return this.events.flatMap((event) => (event.type === "notice" ? [event.text] : []));
  }

  /** The row of a device by its name, as this one lists it. */
  async row(name: string): Promise<DeviceRow> {
    const row = (await this.device.devices()).find((known) => known.name === name);
    if (row === undefined) throw new Error(`${this.name} knows no device ${name}`);
    return row;
  }

  async names(): Promise<readonly string[]> {
    const rows = await this.device.devices();
    return rows.map(({ name, kind }) => (kind === "words" ? "(words)" : name)).toSorted();
  }

  async titles(): Promise<readonly string[]> {
    await this.device.describeStale();
    return (await this.device.notes()).map(({ title }) => title).toSorted();
  }
}

export class OwnWorld implements AsyncDisposable {
  readonly world: World;

  private constructor(world: World) {
    this.world = world;
  }

  static async start(seed: string, engines: Engines): Promise<OwnWorld> {
    const world = new World({ seed, engines, encrypted: false, secrets: [] });
    await world.relay.start();
    return new OwnWorld(world);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.end();
  }

  /** A device with an identity of its own, and the words to it. */
  async first(name: string): Promise<{ readonly device: OwnDevice; readonly words: string }> {
    const device = new OwnDevice(this.world, name);
    const words = device.device.create().join(" ");
    await this.settled(device);
    return { device, words };
  }

  /** A device as a browser begins it: with an identity that nobody has used. */
  async empty(name: string): Promise<OwnDevice> {
    return (await this.first(name)).device;
  }

  async restored(name: string, words: string): Promise<OwnDevice> {
    const device = await this.empty(name);
    await this.during(device.device.restore(words));
    await this.settled(device);
    return device;
  }

  pass(ms: number): Promise<void> {
    return this.world.timeline.advance(ms);
  }

  /** Lets time pass until the work is done; fails with it. */
  during<T>(work: Promise<T>): Promise<T> {
    return this.world.timeline.during(work);
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

  /** Until everything is sent and received. */
  async settled(...devices: readonly OwnDevice[]): Promise<void> {
    for (const { device, name } of devices) {
      if (!(await this.during(device.settled(60_000))))
        throw new Error(`${name} is not up to date`);
    }
  }
}
