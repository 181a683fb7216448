import { beforeAll, describe, expect, it, vi } from "vitest";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import { Background } from "#client/device/background.ts";
import { DeviceDocuments } from "#client/device/documents.ts";
import { Materialiser, type NoteReader } from "#client/device/materialiser.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";
import { setupDevice } from "./setup-device.ts";

/** Automerge's memory in bytes; the library does not tell, so its wasm is watched coming up. */
let heapBytes = (): number => 0;
beforeAll(() => {
  const instantiate = WebAssembly.instantiate;
  vi.spyOn(WebAssembly, "instantiate").mockImplementation((async (
    ...args: Parameters<typeof instantiate>
  ) => {
    const made: unknown = await instantiate(...args);
    const { exports } =
      made instanceof WebAssembly.Instance ? made : (made as Instantiated).instance;
    const { memory } = exports;
    const isAutomerge = "__wbindgen_malloc" in exports;
    if (isAutomerge && memory instanceof WebAssembly.Memory)
      heapBytes = () => memory.buffer.byteLength;
    return made;
  }) as typeof instantiate); // both of its signatures pass through
});

interface Instantiated {
  readonly instance: WebAssembly.Instance;
}

/** A reader of notes that remembers what it was given. */
class Remembering implements NoteReader {
  readonly titles: string[] = [];
  readonly passedOver: string[] = [];
  #unread: readonly Uint8Array[];

  constructor(docs: readonly Uint8Array[]) {
    this.#unread = docs;
  }

  unread(most: number): readonly Uint8Array[] {
    return this.#unread.slice(0, most);
  }

  read(doc: Uint8Array, note: { readonly title: string }): void {
    this.titles.push(note.title);
    this.#drop(doc);
  }

  passOver(doc: Uint8Array): void {
    this.passedOver.push(toHex(doc));
    this.#drop(doc);
  }

  #drop(doc: Uint8Array): void {
    this.#unread = this.#unread.filter((other) => toHex(other) !== toHex(doc));
  }
}

/** So many notes that nobody has read yet, and what reads them when its timers fire. */
async function setupUnread(count: number, body = "A line.\n") {
  const fixture = await setupDevice();
  const docs: Uint8Array[] = [];
  for (let number = 0; number < count; number += 1) {
    const { id } = await fixture.device.createNote({ title: `Note ${number}`, body });
    docs.push(parseDocumentId(id) ?? new Uint8Array());
  }
  const { store } = fixture;
  const automerge = await nodeAutomerge();
  const clock = { time: 0, now: () => clock.time };
  const timers = new ManualTimers();
  const failures: unknown[] = [];
  const background = new Background(
    (error) => failures.push(error),
    () => undefined,
  );
  const random = (length: number): Uint8Array => new Uint8Array(length);
  const loaded = new DeviceDocuments(
    { store, random, clock, damaged: () => undefined, culprits: null },
    automerge,
  );
  const documents = async (): Promise<DeviceDocuments> => loaded;
  const moved = (): void => undefined;
  const ports = { store, clock, timers, background, documents, moved };
  const materialiser = new Materialiser(ports);
  return {
    docs,
    automerge,
    clock,
    timers,
    background,
    failures,
    materialiser,
    loaded,
    store,
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

describe("notes that nobody has open", { timeout: 60_000 }, () => {
  it("are loaded once for everybody who wants to know, in slices between which others have their turn", async () => {
    await using unread = await setupUnread(40);
    const { docs, materialiser, timers, background, failures } = unread;
    const list = new Remembering(docs);
    const search = new Remembering(docs.slice(0, 1));
    materialiser.add(list);
    materialiser.add(search);
    materialiser.soon();
    expect(list.titles).toEqual([]);
    const slices: number[] = [];
    while (list.titles.length < docs.length) {
      const before = list.titles.length;
      timers.advance(60_000);
      await background.settled();
      slices.push(list.titles.length - before);
    }
    expect(slices).toEqual([16, 16, 8]);
    expect(list.titles).toEqual(docs.map((_, number) => `Note ${number}`));
    expect(search.titles).toEqual(list.titles);
    expect(failures).toEqual([]);
  });

  it("are announced to the next process before they are loaded, many at once, and taken back by closing", async () => {
    await using unread = await setupUnread(40);
    const { docs, materialiser, timers, background, store } = unread;
    materialiser.add(new Remembering(docs));
    const announced = (): Set<string> =>
      new Set(store.refused.interrupted().map(({ doc }) => toHex(doc)));
    materialiser.soon();
    timers.advance(60_000);
    await background.settled();
    expect(announced()).toEqual(new Set(docs.slice(16).map(toHex)));
    materialiser.close();
    expect(announced()).toEqual(new Set());
  });

  it("wait anew whenever something is typed", async () => {
    await using unread = await setupUnread(1);
    const { docs, materialiser, timers } = unread;
    materialiser.add(new Remembering(docs));
    materialiser.soon();
    materialiser.soon();
    expect(timers.waiting).toBe(1);
  });

  it("are passed over when they cannot be loaded, and the others are read", async () => {
    await using unread = await setupUnread(2);
    const { docs, materialiser, loaded } = unread;
    const [bad, good] = docs;
    if (bad === undefined || good === undefined) throw new Error("two notes");
    const load = loaded.load.bind(loaded);
    loaded.load = ((doc: Uint8Array) => {
      if (toHex(doc) === toHex(bad)) throw new Error("it cannot be read");
      return load(doc);
    }) as typeof loaded.load; // the one signature it is called with here
    const list = new Remembering(docs);
    materialiser.add(list);
    await materialiser.all();
    expect(list.passedOver).toEqual([toHex(bad)]);
    expect(list.titles).toEqual(["Note 1"]);
  });

  it("rest after a load that took long, so that a long note is not loaded all the time", async () => {
    await using unread = await setupUnread(2);
    const { docs, materialiser, timers, background, clock } = unread;
    const [long] = docs;
    if (long === undefined) throw new Error("two notes");
    let wanted: readonly Uint8Array[] = [long];
    const read: string[] = [];
    materialiser.add({
      unread: () => wanted,
      read: (doc) => {
        read.push(toHex(doc));
        wanted = [];
        clock.time += 1_000;
      },
      passOver: () => undefined,
    });
    const turn = async (): Promise<void> => {
      timers.advance(60_000);
      await background.settled();
    };
    materialiser.soon();
    await turn();
    expect(read).toHaveLength(1);
    wanted = [long];
    materialiser.soon();
    await turn();
    expect(read).toHaveLength(1);
    clock.time += 20_000;
    await turn();
    expect(read).toHaveLength(2);
  });

  it("leave no memory behind in Automerge, however many there are", async () => {
    const body = "The heron stands in the reeds and waits.\n".repeat(120);
    await using unread = await setupUnread(25, body);
    const { docs, materialiser, automerge } = unread;
    const reader = (): Remembering => new Remembering(docs);
    const [warm, again] = [reader(), reader()];
    materialiser.add(warm);
    await materialiser.all();
    const before = heapBytes();
    expect(before).toBeGreaterThan(0);
    materialiser.add(again);
    await materialiser.all();
    expect(again.titles).toHaveLength(docs.length);
    const grown = heapBytes() - before;
    // Wasm memory never shrinks: kept documents would stay in it.
    const kept = docs.map((doc) => automerge.clone(unread.loaded.load(doc)));
    expect(kept).toHaveLength(docs.length);
    const grownByKeeping = heapBytes() - before - grown;
    for (const document of kept) automerge.free(document);
    expect(grown).toBe(0);
    expect(grownByKeeping).toBeGreaterThan(0);
  });
});
