/**
 * Two people with shared notes, one of whom is damaged: ada's files (in clear, so that rows can be damaged one at a time)
 * at a moment when every table has something in it, and what both must show once all is well again.
 */
import type { NoteRow } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { FileContents } from "#crdt-store/files/memory.ts";
import type { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import { World, type Engines, type SimDevice } from "#tests/support/world.ts";

export const titles = ["Alpha", "Beta", "Gamma", "Offline", "Swallowed"] as const;

/** Everything that outlives a process, of both people and the relay. */
interface Moment {
  readonly ada: FileContents;
  readonly bob: FileContents;
  readonly relay: MemoryRelayDisk;
}

export interface Shown {
  /** Text by title; a note that does not open is missing. */
  readonly texts: ReadonlyMap<string, string>;
  readonly rows: readonly NoteRow[];
  /** Warnings and errors in the log that people can read. */
  readonly complaints: number;
}

const healMs = 90_000;
/** So eager that a note with a handful of changes is packed: its snapshot then stands for them. */
const packing = { changes: 8, bytes: 1 << 20, quietMs: 1_000 };

export class Patient {
  readonly world: World;
  readonly ada: SimDevice;
  readonly bob: SimDevice;
  readonly #moment: Moment;
  /** What `ada` and `bob` show after an opening without damage. */
  readonly healthy: { readonly ada: Shown; readonly bob: Shown };

  private constructor(
    people: { readonly world: World; readonly ada: SimDevice; readonly bob: SimDevice },
    moment: Moment,
    healthy: { readonly ada: Shown; readonly bob: Shown },
  ) {
    this.world = people.world;
    this.ada = people.ada;
    this.bob = people.bob;
    this.#moment = moment;
    this.healthy = healthy;
  }

  static async admit(engines: Engines): Promise<Patient> {
    const world = new World({ seed: "damage", engines, encrypted: false, secrets: [], packing });
    const people = { world, ada: world.addDevice("ada"), bob: world.addDevice("bob") };
    const moment = await fallIll(people, engines);
    await restore(people, moment, moment.ada);
    const healthy = { ada: await open(people.ada), bob: await open(people.bob) };
    await world.timeline.advance(healMs);
    const shown = { ada: await show(healthy.ada), bob: await show(healthy.bob) };
    return new Patient(people, moment, shown);
  }

  get contents(): FileContents {
    return this.#moment.ada;
  }

  /** Everybody and the relay as they were, but ada's files as given; nobody runs yet. */
  async begin(contents: FileContents): Promise<void> {
    await restore(this, this.#moment, contents);
  }

  /** Time for everything to be exchanged. */
  async heal(): Promise<void> {
    await this.world.timeline.advance(healMs);
  }

  /** What a person sees on that device. */
  show(device: Device): Promise<Shown> {
    return show(device);
  }
}

async function open(sim: SimDevice): Promise<Device> {
  return sim.open();
}

async function restore(
  { world, ada, bob }: Pick<Patient, "world" | "ada" | "bob">,
  moment: Moment,
  contents: FileContents,
): Promise<void> {
  await ada.kill();
  await bob.kill();
  world.relay.crash();
  world.relay.disk = moment.relay.copy();
  world.network.join("ada");
  await world.relay.start();
  ada.give(contents);
  bob.give(moment.bob);
}

/** Up to the moment at which something happens to ada's files. */
async function fallIll(
  { world, ada, bob }: Pick<Patient, "world" | "ada" | "bob">,
  { automerge }: Engines,
): Promise<Moment> {
  const { timeline, network, relay } = world;
  await relay.start();
  const adas = ada.open();
  const bobs = bob.open();
  adas.create();
  bobs.create();
  await adas.setDisplayName("Ada");
  await bobs.setDisplayName("Bob");
  await timeline.advance(5_000);
  const [notebook] = await adas.notebooks();
  if (notebook === undefined) throw new Error("ada has a notebook");
  const ids = new Map<string, string>();
  const write = async (title: string): Promise<void> => {
    const { id } = await adas.createNote({ title, body: `${title}: first words.\n` });
    ids.set(title, id);
  };
  for (const title of titles.slice(0, 3)) await write(title);
  const sharing = adas.share(notebook.id, "edit");
  await timeline.advance(5_000);
  const { link } = await sharing;
  const joining = bobs.join(link);
  await timeline.advance(10_000);
  await joining;
  const append = async (device: Device, title: string, text: string): Promise<void> => {
    const id = ids.get(title) ?? "";
    const { heads, body } = await device.readNote(id);
    await device.spliceNote(id, heads, [
      { field: "body", at: body.length, remove: 0, insert: text },
    ]);
  };
  await append(bobs, "Alpha", "Bob adds to it.\n");
  await timeline.advance(5_000);
  await append(adas, "Alpha", "Ada answers.\n");
  await append(adas, "Beta", "More by Ada.\n");
  for (let n = 1; n <= 8; n += 1) await append(adas, "Alpha", `Line ${n} of many.\n`);
  await timeline.advance(5_000);
  compact(ada, ids.get("Beta") ?? "", automerge);
  ada.running?.store.keyValues.put(["storage-adapter-id"], new Uint8Array(16).fill(3));
  ada.running?.store.inbox.quarantine({
    space: null,
    pos: null,
    doc: null,
    entryId: null,
    reason: "set-aside-long-ago",
    bytes: new Uint8Array(30),
    signer: null,
  });
  network.part("ada", "swallow");
  await append(adas, "Beta", "Sealed and swallowed.\n");
  await write("Swallowed");
  await timeline.advance(2_000);
  network.part("ada", "refuse");
  await timeline.advance(120_000);
  await write("Offline");
  await append(adas, "Gamma", "Written without a network.\n");
  const alpha = await adas.readNote(ids.get("Alpha") ?? "");
  const opened = await adas.openNote(alpha.id, "a tab that is gone");
  await adas.draft(alpha.id, {
    session: "a tab that is gone",
    actor: opened.actor,
    heads: alpha.heads,
    edits: [{ field: "body", at: alpha.body.length, remove: 0, insert: "Only a draft.\n" }],
  });
  const contents = { ada: ada.bytes(), bob: bob.bytes() };
  if (contents.ada === null || contents.bob === null) throw new Error("both have files");
  return { ada: contents.ada, bob: contents.bob, relay: relay.disk.copy() };
}

/** A snapshot of a note, as automerge-repo would have it saved. */
function compact(sim: SimDevice, id: string, automerge: Engines["automerge"]): void {
  const store = sim.running?.store;
  const doc = parseDocumentId(id);
  if (store === undefined || doc === undefined) throw new Error("the note is there");
  const [whole] = automerge.applyChanges(automerge.init(), store.changes.bytesOfDocument(doc));
  const bytes = automerge.save(whole);
  store.snapshots.put(doc, { key: "compacted", heads: store.changes.heads(doc), bytes });
}

async function show(device: Device): Promise<Shown> {
  const rows = await device.notes();
  const texts = new Map<string, string>();
  for (const row of rows) {
    try {
      const { title, body } = await device.readNote(row.id);
      texts.set(title, body);
    } catch (error) {
      // A note that says why it does not open is no exception to anybody.
      if (!(error instanceof Error)) throw error;
    }
  }
  const log = await device.syncLog();
  return { rows, texts, complaints: log.filter(({ level }) => level !== "info").length };
}
