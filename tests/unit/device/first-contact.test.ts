import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { NoteRow } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { dialNode } from "#client/cli/node-ports.ts";
import { parseMessage, type Message } from "#relay/protocol/messages.ts";
import type { Dial } from "#client/sync/ports.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import {
  eventually,
  filesAfterCrash,
  onlyNotebook,
  refusalOf,
  setupDevice,
} from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const patienceMs = 20_000;

/** What a device was sent and sent, in order. */
class Watched {
  readonly sent: Message[] = [];
  /** Messages that do not leave the device. */
  readonly held: Message["type"][] = [];
  /** While set, what it says yes to waits, and leaves in its order once it is released. */
  holdsBack: ((message: Message) => boolean) | null = null;
  readonly #waiting: (() => void)[] = [];

  readonly dial: Dial = (url, events) => {
    const wire = dialNode(url, events);
    return {
      send: (bytes) => {
        const parsed = parseMessage(bytes);
        if (!parsed.ok) throw new Error("a device sends what parses");
        const { message } = parsed.value;
        this.sent.push(message);
        if (this.held.includes(message.type)) return;
        if (this.holdsBack?.(message) === true) this.#waiting.push(() => wire.send(bytes));
        else wire.send(bytes);
      },
      close: () => wire.close(),
    };
  };

  release(): void {
    this.holdsBack = null;
    for (const send of this.#waiting.splice(0)) send();
  }

  /** Documents that were pulled, in order, in hex. */
  get pulled(): readonly string[] {
    return this.sent.flatMap((message) =>
      message.type === "pullDocument" ? [Buffer.from(message.docId).toString("hex")] : [],
    );
  }
}

/** A person with so many notes, all of them and their cards at the relay. */
async function setupWriter(notes: number) {
  const fixture = await setupDevice({ relayUrl: relay.url, fresh: true });
  const words = fixture.device.create().join(" ");
  await fixture.device.describeStale();
  const ids: string[] = [];
  for (let ix = 1; ix <= notes; ix += 1) {
    const { id } = await fixture.device.createNote({
      title: `Note ${ix}`,
      body: `Body ${ix} #tag`,
    });
    ids.push(id);
  }
  expect(await fixture.device.settled(patienceMs)).toBe(true);
  expect(await fixture.device.sendCards(patienceMs)).toBe(true);
  return { ...fixture, words, ids };
}

async function rowOf(device: Device, id: string): Promise<NoteRow | undefined> {
  return (await device.notes()).find((row) => row.id === id);
}

describe("a new device", { timeout: 60_000 }, () => {
  it("lists what there is, then fetches it all by itself, and tells how far it is", async () => {
    await using writer = await setupWriter(40);
    await using fresh = await setupDevice({ relayUrl: relay.url, fresh: true });
    await fresh.device.restore(writer.words);
    await eventually(fresh.device, async () => (await fresh.device.notes()).length === 40);
    const times = (rows: readonly NoteRow[]) =>
      Object.fromEntries(rows.map(({ id, title, updatedAt }) => [id, { title, updatedAt }]));
    expect(await fresh.device.settled(patienceMs)).toBe(true);
    await fresh.device.describeStale();
    const rows = await fresh.device.notes();
    expect(rows.every(({ here }) => here)).toBe(true);
    expect(times(rows)).toEqual(times(await writer.device.notes()));
    expect(rows[0]).toMatchObject({ tags: ["tag"], state: "seen-elsewhere" });
    expect((await onlyNotebook(fresh.device)).missing).toBe(0);
    await eventually(fresh.device, async () => {
      const last = fresh.events.findLast((event) => event.type === "fetching");
      return last !== undefined && last.done === last.total;
    });
    expect((await fresh.device.status()).fetching).toBeNull();
  });

  it("opens a note whole of which the first part is here", async () => {
    await using writer = await setupWriter(0);
    const { id } = await writer.device.createNote({ title: "Long", body: "" });
    const written = Array.from({ length: 80 }, (_, ix) => `${ix} dew. `);
    for (const text of written) {
      const { heads, body } = await writer.device.readNote(id);
      const splice = { field: "body", at: body.length, remove: 0, insert: text } as const;
      await writer.device.spliceNote(id, heads, [splice]);
      expect(await writer.device.settled(patienceMs)).toBe(true);
    }
    await using fresh = await setupDevice({ relayUrl: relay.url, fresh: true });
    await fresh.device.restore(writer.words);
    await eventually(fresh.device, async () => (await fresh.device.notes()).length === 1);
    expect((await fresh.device.readNote(id)).body).toBe(written.join(""));
  });

  it("shows what cards say of notes that are kept on opening, and fetches the one that is opened", async () => {
    await using writer = await setupWriter(6);
    const { id: notebook } = await onlyNotebook(writer.device);
    const { link } = await writer.device.share(notebook, "edit");
    const watched = new Watched();
    await using reader = await setupDevice({ relayUrl: relay.url, dial: watched.dial });
    watched.held.push("pullDocument");
    await reader.device.join(link);
    await reader.device.setKeep(notebook, "on-opening");
    watched.held.length = 0;
    await reader.device.setOnline(false);
    await eventually(
      reader.device,
      async () => (await reader.device.status()).word === "up-to-date",
    );
    const rows = (await reader.device.notes()).filter((row) => row.notebook === notebook);
    expect(
      rows.map(({ title, preview, tags, here, state }) => ({ title, preview, tags, here, state })),
    ).toEqual(
      writer.ids.toReversed().map((_, ix) => ({
        title: `Note ${6 - ix}`,
        preview: `Body ${6 - ix} #tag`,
        tags: ["tag"],
        here: false,
        state: "on-relay",
      })),
    );
    const [first = "", second = ""] = writer.ids;
    expect((await reader.device.openNote(first, "tab")).chunks.length).toBeGreaterThan(0);
    expect(await reader.device.readNote(second)).toMatchObject({ body: "Body 2 #tag" });
    const missing = async (): Promise<number | undefined> =>
      (await reader.device.notebooks()).find(({ id }) => id === notebook)?.missing;
    expect(await missing()).toBe(4);
    // What is here stays up to date, what is not is not fetched for a change of it.
    const edit = async (id: string): Promise<void> => {
      const { heads } = await writer.device.readNote(id);
      await writer.device.spliceNote(id, heads, [
        { field: "body", at: 0, remove: 0, insert: "New. " },
      ]);
    };
    const third = writer.ids[2] ?? "";
    await edit(third);
    await edit(first);
    await eventually(reader.device, async () =>
      (await reader.device.readNote(first)).body.startsWith("New. "),
    );
    expect((await rowOf(reader.device, third))?.here).toBe(false);
    expect((await reader.device.readNote(third)).body).toBe("New. Body 3 #tag");
    await reader.device.setKeep(notebook, "everything");
    expect(await reader.device.settled(patienceMs)).toBe(true);
    expect(await missing()).toBe(0);
  });

  it("reads the lists of all notebooks before it fetches a note of any, however late one is opened", async () => {
    await using writer = await setupWriter(3);
    for (const name of ["Second", "Third"]) {
      const { id: notebook } = await writer.device.createNotebook(name);
      writer.ids.push((await writer.device.createNote({ notebook, title: `In ${name}` })).id);
    }
    expect(await writer.device.settled(patienceMs)).toBe(true);
    expect(await writer.device.sendCards(patienceMs)).toBe(true);
    const watched = new Watched();
    const spaces: string[] = [];
    // The vault is the first, and says which notebooks there are.
    watched.holdsBack = (message) => {
      if (message.type !== "subscribe") return false;
      const [space = ""] = message.spaces.map(({ spaceId }) =>
        Buffer.from(spaceId).toString("hex"),
      );
      if (!spaces.includes(space)) spaces.push(space);
      return spaces.indexOf(space) === 3;
    };
    await using fresh = await setupDevice({
      relayUrl: relay.url,
      fresh: true,
      dial: watched.dial,
    });
    await fresh.device.restore(writer.words);
    const steps = (): readonly string[] =>
      watched.sent.flatMap((message) => {
        if (message.type === "list") return ["list"];
        if (message.type !== "pullDocument") return [];
        return writer.ids.includes(documentIdToText(message.docId)) ? ["note"] : [];
      });
    await eventually(fresh.device, async () => {
      const { length } = await fresh.device.notes();
      return length >= 2 && spaces.length === 4 && steps().length >= 3;
    });
    expect(steps()).toEqual(["list", "list", "list"]);
    watched.release();
    await eventually(fresh.device, async () => (await fresh.device.notes()).length === 5);
    expect(await fresh.device.settled(patienceMs)).toBe(true);
    expect(steps()).toEqual([...Array<string>(4).fill("list"), ...Array<string>(5).fill("note")]);
  });

  it("goes on where it was killed, and asks for nothing twice that it has", async () => {
    await using writer = await setupWriter(60);
    const watched = new Watched();
    await using first = await setupDevice({
      relayUrl: relay.url,
      fresh: true,
      dial: watched.dial,
    });
    await first.device.restore(writer.words);
    await eventually(first.device, async () => {
      const rows = await first.device.notes();
      return rows.filter(({ here }) => here).length >= 10;
    });
    const files = filesAfterCrash(first);
    const before = new Set(
      (await first.device.notes()).filter(({ here }) => here).map(({ id }) => id),
    );
    expect(before.size).toBeLessThan(60);
    const again = new Watched();
    await using second = await setupDevice({ files, relayUrl: relay.url, dial: again.dial });
    expect(await second.device.settled(patienceMs)).toBe(true);
    expect((await second.device.notes()).every(({ here }) => here)).toBe(true);
    expect((await second.device.notes()).length).toBe(60);
    expect(again.pulled.length).toBeLessThanOrEqual(60 - 10 + 1);
    expect(new Set(again.pulled).size).toBe(again.pulled.length);
    expect(again.sent.some(({ type }) => type === "list")).toBe(false);
  });

  it("says of a note that it cannot fetch that it is not here", async () => {
    await using writer = await setupWriter(2);
    const { id: notebook } = await onlyNotebook(writer.device);
    const { link } = await writer.device.share(notebook, "edit");
    await using reader = await setupDevice({ relayUrl: relay.url });
    await reader.device.setKeep((await onlyNotebook(reader.device)).id, "on-opening");
    await reader.device.join(link);
    await reader.device.setKeep(notebook, "on-opening");
    expect(await reader.device.settled(patienceMs)).toBe(true);
    await writer.device.createNote({ notebook, title: "Later" });
    const away = await eventually(reader.device, async () =>
      (await reader.device.notes()).find(({ here }) => !here),
    );
    const offline: Dial = (_url, events) => {
      queueMicrotask(() => events.closed());
      return { send: () => {}, close: () => {} };
    };
    await using cut = await setupDevice({
      files: filesAfterCrash(reader),
      relayUrl: relay.url,
      dial: offline,
    });
    expect(await refusalOf(() => cut.device.openNote(away.id, "tab"))).toBe("unavailable");
  });
});
