/** One device of one library. Started with the library's name; answers {@link SyncClient}. */
import { setImmediate } from "node:timers/promises";
import { nodeTimers } from "#client/cli/node-ports.ts";
import type { Splice } from "#client/device/api.ts";
import { serve } from "./calls.ts";
import {
  emptyBody,
  noteText,
  now,
  type Arrival,
  type EditedText,
  type Invitation,
  type Library,
  type Place,
} from "./library.ts";
import { setRoundTrip, trafficSince, type Traffic } from "./wire.ts";
import { longTyping } from "../long-history.ts";

export class SyncClient {
  readonly #library: Library;
  #note: EditedText | null = null;
  #names: string[] = [];
  #cpu = process.cpuUsage();

  constructor(library: Library) {
    this.#library = library;
  }

  begin(place: Place): Promise<void> {
    return this.#library.begin(place);
  }

  found(): Promise<void> {
    return this.#library.found();
  }

  async join(invitation: Invitation): Promise<void> {
    await this.#library.join(invitation);
    await this.#library.settled();
  }

  /** So many notes with a text each, numbered on from those before. */
  async create(count: number): Promise<void> {
    const first = this.#names.length;
    const texts = Array.from({ length: count }, (_, ix) => noteText(first + ix));
    this.#names.push(...(await this.#library.create(texts)));
    await this.#library.settled();
  }

  /** A note with nothing but {@link emptyBody} in it. */
  async createEmpty(): Promise<string> {
    const [name = ""] = await this.#library.create([{ title: "Empty", body: emptyBody }]);
    this.#names.push(name);
    await this.#library.settled();
    return name;
  }

  /** A note with a long history, so many edits to each change. */
  async createLong(editsPerChange: number): Promise<string> {
    const name = await this.#library.typed(groups(longTyping(), editsPerChange));
    this.#names.push(name);
    await this.#library.settled();
    return name;
  }

  async invitation(): Promise<Invitation> {
    return { names: this.#names, words: await this.#library.invite() };
  }

  /** From nothing to all notes of the invitation; milliseconds since the call. */
  async arrive(invitation: Invitation): Promise<Arrival> {
    const start = now();
    await this.#library.join(invitation);
    const arrival = await this.#library.arrive(invitation);
    return {
      listed: arrival.listed - start,
      opened: arrival.opened - start,
      here: arrival.here - start,
      searchable: arrival.searchable - start,
    };
  }

  /** From nothing to the text of a note; milliseconds since the call. */
  async arriveAt(invitation: Invitation, name: string, length: number): Promise<number> {
    const start = now();
    await this.#library.join(invitation);
    const note = await this.#library.open(name);
    await whenLong(note, length);
    return now() - start;
  }

  async open(name: string): Promise<void> {
    this.#note = await this.#library.open(name);
  }

  /**
   * Types as fast as it goes (`everyMs` 0) or so slowly, each edit an event of its own, with a pause after every
   * `pauseAfter`. Answers when each was typed.
   */
  async type(
    edits: readonly Splice[],
    { everyMs, pauseAfter }: { readonly everyMs: number; readonly pauseAfter: number },
  ): Promise<readonly number[]> {
    const note = this.#mustNote();
    const start = now();
    const times: number[] = [];
    for (const [ix, splice] of edits.entries()) {
      if (everyMs === 0) await setImmediate();
      else await wait(start + ix * everyMs - now());
      times.push(now());
      note.edit(splice);
      if ((ix + 1) % pauseAfter === 0) note.pause();
    }
    return times;
  }

  /** When the open note first had this text. */
  async whenText(text: string): Promise<number> {
    const note = this.#mustNote();
    return new Promise((resolve) => {
      let found = false;
      const look = (): void => {
        if (found || note.length() !== text.length || note.text() !== text) return;
        found = true;
        resolve(now());
      };
      note.onChange(look);
      look();
    });
  }

  /** When the open note first was so long, for so many lengths from the next one on. */
  async whenLonger(count: number): Promise<readonly number[]> {
    const note = this.#mustNote();
    const from = note.length();
    const times: number[] = [];
    return new Promise((resolve) => {
      note.onChange(() => {
        const at = now();
        while (times.length < count && note.length() > from + times.length) times.push(at);
        if (times.length === count) resolve(times);
      });
    });
  }

  disconnect(): Promise<void> {
    return this.#library.disconnect();
  }

  /**
   * Answers when it was asked to and when all notes were known to be as they are at the server.
   * @param roundTripMs how far away the server is meanwhile
   */
  async reconnect(roundTripMs: number): Promise<{ readonly from: number; readonly to: number }> {
    setRoundTrip(roundTripMs);
    const from = now();
    await this.#library.reconnect();
    const to = now();
    setRoundTrip(0);
    return { from, to };
  }

  traffic(): Traffic {
    return trafficSince();
  }

  /** Milliseconds of processor time since the last call. */
  cpu(): number {
    const { user, system } = process.cpuUsage(this.#cpu);
    this.#cpu = process.cpuUsage();
    return (user + system) / 1000;
  }

  #mustNote(): EditedText {
    if (this.#note === null) throw new Error("no note is open");
    return this.#note;
  }
}

function* groups(edits: Iterable<Splice>, size: number): Generator<readonly Splice[]> {
  let group: Splice[] = [];
  for (const edit of edits) {
    group.push(edit);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

function whenLong(note: EditedText, length: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (note.length() >= length) resolve();
    };
    note.onChange(look);
    look();
  });
}

async function wait(ms: number): Promise<void> {
  if (ms > 0) await new Promise<void>((resolve) => void nodeTimers.after(ms, resolve));
}

/** Each is loaded alone: what the others bring along is not to be paid for. */
async function libraryNamed(name: string): Promise<Library> {
  switch (name) {
    case "sealeaf":
      return new (await import("./sealeaf-client.ts")).SealeafClient();
    case "automerge-repo":
      return new (await import("./automerge-repo-client.ts")).AutomergeRepoClient();
    case "hocuspocus": {
      const { YjsClient, hocuspocus } = await import("./yjs-client.ts");
      return new YjsClient(hocuspocus);
    }
    default: {
      const { YjsClient, yWebsocket } = await import("./yjs-client.ts");
      return new YjsClient(yWebsocket);
    }
  }
}

serve(new SyncClient(await libraryNamed(process.argv[2] ?? "")));
