/** Three devices of one person with one note, and what tests of lying relays ask of them. */
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { Store } from "#crdt-store/store.ts";
import type { Device } from "#client/device/device.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { writerOf, type Item } from "#tests/support/lying-relay.ts";
import { World, type Engines, type SimDevice, type WorldOptions } from "#tests/support/world.ts";

export interface Cast {
  readonly made: World;
  readonly devices: readonly [SimDevice, SimDevice, SimDevice];
  /** In the first notebook of all three. */
  readonly note: string;
  readonly notices: ReadonlyMap<SimDevice, string[]>;
}

/** Three devices of one person, up to date, with one note that says "one". */
export async function threeDevices(
  seed: string,
  engines: Engines,
  options: Pick<WorldOptions, "snapshots" | "packing" | "startOpener" | "automergeOf"> = {},
): Promise<Cast> {
  const made = new World({ seed, engines, encrypted: false, secrets: [], ...options });
  await made.relay.start();
  const devices = [made.addDevice("ada"), made.addDevice("bob"), made.addDevice("cyd")] as const;
  const [ada, bob, cyd] = devices;
  const words = ada.open().create().join(" ");
  await made.timeline.advance(2_000);
  for (const device of [bob, cyd]) {
    device.open();
    await made.timeline.advance(2_000);
    const restored = deviceOf(device).restore(words);
    await made.timeline.advance(5_000);
    await restored;
  }
  const notices = new Map<SimDevice, string[]>();
  for (const device of devices) {
    const told: string[] = [];
    notices.set(device, told);
    deviceOf(device).subscribe((event) => {
      if (event.type === "notice") told.push(event.text);
    });
  }
  const { id: note } = await deviceOf(ada).createNote({ title: "Milk", body: "one" });
  await made.timeline.advance(3_000);
  return { made, devices, note, notices };
}

export function deviceOf(sim: SimDevice): Device {
  return running(sim).device;
}

export function storeOf(sim: SimDevice): Store {
  return running(sim).store;
}

export function running(sim: SimDevice): { readonly device: Device; readonly store: Store } {
  if (sim.running === null) throw new Error(`${sim.name} does not run`);
  return sim.running;
}

export async function append(sim: SimDevice, note: string, insert: string): Promise<void> {
  const { body, heads } = await deviceOf(sim).readNote(note);
  await deviceOf(sim).spliceNote(note, heads, [
    { field: "body", at: body.length, remove: 0, insert },
  ]);
}

export async function bodyOf(sim: SimDevice, note: string): Promise<string> {
  return (await deviceOf(sim).readNote(note)).body;
}

export async function rowOf(sim: SimDevice, note: string) {
  const row = (await deviceOf(sim).notes()).find(({ id }) => id === note);
  if (row === undefined) throw new Error("the note is not listed");
  return row;
}

export async function doubtsOf(sim: SimDevice) {
  return (await deviceOf(sim).notebooks()).flatMap(({ doubt }) => doubt ?? []);
}

/** The next connection of a device begins now. */
export async function reconnect({ made }: Cast, sim: SimDevice): Promise<void> {
  made.network.part(sim.name, "refuse");
  await made.timeline.advance(5_000);
  made.network.join(sim.name);
  await deviceOf(sim).setOnline(true);
  await made.timeline.advance(10_000);
}

/** The key a device writes a note's space with. */
export function keyOf(sim: SimDevice, note: string): Uint8Array {
  const { store } = running(sim);
  const doc = parseDocumentId(note);
  if (doc === undefined) throw new Error("no id");
  const signer = store.changes.ofDocument(doc).find(({ local }) => local)?.signer;
  if (signer == null) throw new Error(`${sim.name} has written nothing there`);
  return signer;
}

export function isBy(item: Item, device: Uint8Array): boolean {
  const writer = writerOf(item);
  return writer !== null && equal(writer, device);
}

export function logOf(sim: SimDevice): readonly string[] {
  return storeOf(sim)
    .syncLog.all()
    .map(({ text }) => text);
}
