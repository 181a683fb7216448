/**
 * The store of a released version, as its program wrote it: `npx tsx tests/vectors/generate-store.ts`
 * writes `stores/v<n>/` for the newest version of the tables and refuses one that is there. It is run once, by
 * the last program before the next step of crdt-store/schema.ts: every later program must open what it wrote.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { documentIdToText, parseDocumentId } from "#crdt-store/document-id.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { nobleCipher } from "#crdt-store/files/page-cipher.ts";
import { pageSize } from "#crdt-store/files/page-codec.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { migrations } from "#crdt-store/schema.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import type { Device } from "#client/device/device.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { loadEngines, World, type Engines, type SimDevice } from "#tests/support/world.ts";
import { contentsOf, storeKey, type ReleasedStore } from "#tests/support/released-stores.ts";

/** Everything a store may hold: what was sent, received, set aside, and what waits in each way. */
async function writtenStore(engines: Engines): Promise<{
  readonly files: MemoryFiles;
  readonly words: readonly string[];
  readonly notes: ReleasedStore["notes"];
}> {
  const world = new World({ seed: "released store", engines, encrypted: false, secrets: [] });
  const { timeline, relay, network } = world;
  await relay.start();
  const ana = world.addDevice("ana");
  const ben = world.addDevice("ben");
  const words = ana.open().create();
  ben.open().create();
  await timeline.advance(2_000);
  await deviceOf(ana).setDisplayName("Ana");
  const shared = await deviceOf(ana).createNote({ title: "Shared", body: "Ana wrote this." });
  const own = await deviceOf(ana).createNote({ title: "Grocery list", body: "- [ ] milk" });
  const thrownAway = await deviceOf(ana).createNote({ title: "Thrown away", body: "" });
  await deviceOf(ana).trashNote(thrownAway.id);
  const [notebook] = await deviceOf(ana).notebooks();
  const link = await during(world, deviceOf(ana).share(notebook?.id ?? "", "edit"));
  await during(world, deviceOf(ben).join(link.link));
  await timeline.advance(5_000);
  await append(ben, shared.id, " Ben wrote that.");
  await timeline.advance(5_000);

  // What is pushed now is never acknowledged; what is written after it waits unsealed behind it.
  network.part("ana", "swallow");
  await append(ana, own.id, "\n- [ ] bread");
  await timeline.advance(100);
  await append(ana, shared.id, " Ana again.");
  ana.sessions.add("tab");
  const { actor } = await deviceOf(ana).openNote(own.id, "tab");
  const { body, heads } = await deviceOf(ana).readNote(own.id);
  const typed = { field: "body" as const, at: body.length, remove: 0, insert: "\n- [ ] tea" };
  await deviceOf(ana).draft(own.id, { session: "tab", actor, heads, edits: [typed] });
  addWhatIsRare(storeOf(ana), engines, own.id);
  await ana.kill();

  const left = ana.bytes();
  if (left === null) throw new Error("the device left no files");
  await world.end();
  return {
    files: new MemoryFiles(left),
    words,
    notes: {
      [shared.id]: { title: "Shared", body: "Ana wrote this. Ben wrote that. Ana again." },
      [own.id]: { title: "Grocery list", body: `${body}\n- [ ] tea` },
      [thrownAway.id]: { title: "Thrown away", body: "" },
    },
  };
}

/** A snapshot, something set aside, a value of automerge-repo. */
function addWhatIsRare(store: Store, { automerge }: Engines, note: string): void {
  const doc = parseDocumentId(note);
  if (doc === undefined) throw new Error("a note's id is no document id");
  const [loaded] = automerge.applyChanges(automerge.init(), store.changes.bytesOfDocument(doc));
  const heads = automerge.getHeads(loaded).flatMap((head) => parseHex(head) ?? []);
  store.snapshots.put(doc, { key: "first", heads, bytes: automerge.save(loaded) });
  const space = store.documents.get(doc)?.space ?? null;
  store.inbox.quarantine({
    space,
    pos: 3,
    doc,
    entryId: null,
    reason: "its seal does not open",
    bytes: new Uint8Array([1, 2, 3]),
    signer: null,
  });
  store.keyValues.put(["adapter", "id"], new Uint8Array([4, 5, 6]));
  store.syncLog.add("info", `Something about ${documentIdToText(doc).length} characters.`);
}

/** The log goes into the main file, and the others are empty. */
function closed(engines: Engines, files: MemoryFiles, key: Uint8Array | null): MemoryFiles {
  openStore({
    engine: engines.sqlite,
    files,
    key,
    clock: { now: () => 0 },
    random: randomNamed("close"),
  }).close();
  if (files.wal.size() > 0) throw new Error("closing left a log");
  return files;
}

/** The same pages, each sealed. */
function sealedPages(plain: MemoryFiles): MemoryFiles {
  const random = randomNamed("pages");
  const codec = notesCodec({ cipher: nobleCipher }, storeKey, random);
  if (codec === null) throw new Error("pages under a key are sealed");
  const pages = plain.main.contents();
  const sealed = new MemoryFiles();
  for (let at = 0; at < pages.length; at += pageSize) {
    sealed.main.write(codec.seal(pages.slice(at, at + pageSize), at / pageSize + 1), at);
  }
  return sealed;
}

function randomNamed(name: string): (length: number) => Uint8Array {
  const chance = new Chance(name);
  return (length) => chance.bytes(length);
}

/** Such a store, of today's version, in both forms. */
export async function writeReleasedStore(engines: Engines): Promise<{
  readonly plain: MemoryFiles;
  readonly sealed: MemoryFiles;
  readonly described: ReleasedStore;
}> {
  const { files, words, notes } = await writtenStore(engines);
  const plain = closed(engines, files, null);
  const sealed = closed(engines, sealedPages(plain), storeKey);
  const shown = new MemoryFiles(plain.snapshot());
  const sqlite = Sqlite.open({ engine: engines.sqlite, files: shown, codec: null });
  const tables = contentsOf(sqlite);
  sqlite.close();
  return { plain, sealed, described: { version: migrations.length, words, notes, tables } };
}

async function generate(): Promise<void> {
  const dir = join(import.meta.dirname, `stores/v${migrations.length}`);
  const { plain, sealed, described } = await writeReleasedStore(await loadEngines());
  const empty = Object.entries(described.tables).filter(([, { rows }]) => rows === 0);
  if (empty.length > 0) throw new Error(`no rows in ${empty.map(([name]) => name).join(", ")}`);
  mkdirSync(dir);
  writeFileSync(join(dir, "plain.db"), plain.main.contents());
  writeFileSync(join(dir, "sealed.db"), sealed.main.contents());
  writeFileSync(join(dir, "store.json"), `${JSON.stringify(described, null, 2)}\n`);
}

async function during<T>(world: World, work: Promise<T>): Promise<T> {
  work.catch(() => {}); // awaited below, when its time has passed
  await world.timeline.advance(10_000);
  return work;
}

function deviceOf(sim: SimDevice): Device {
  if (sim.running === null) throw new Error(`${sim.name} does not run`);
  return sim.running.device;
}

function storeOf(sim: SimDevice): Store {
  if (sim.running === null) throw new Error(`${sim.name} does not run`);
  return sim.running.store;
}

async function append(sim: SimDevice, note: string, insert: string): Promise<void> {
  const { body, heads } = await deviceOf(sim).readNote(note);
  const edit = { field: "body" as const, at: body.length, remove: 0, insert };
  await deviceOf(sim).spliceNote(note, heads, [edit]);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await generate();
