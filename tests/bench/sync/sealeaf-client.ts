/** Sealeaf as the command line runs it, its store encrypted on the disk; notes are typed in as the app does it. */
import { setTimeout as sleep } from "node:timers/promises";
import { createNoteDocuments } from "#client/app/state/note-documents.ts";
import { openHome, type OpenHome } from "#client/cli/home.ts";
import { nodeAutomerge, nodeTimers } from "#client/cli/node-ports.ts";
import type { Splice } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { Refusal } from "#client/device/refusal.ts";
import { defaultSnapshotLimits } from "#client/device/snapshot-maker.ts";
import { OpenNote, type NoteTimers } from "#client/notes/open-note.ts";
import { noPassphrase } from "#tests/support/no-passphrase.ts";
import {
  lapOf,
  notesPerLap,
  now,
  type Arrival,
  type EditedText,
  type Invitation,
  type Library,
  type NoteText,
  type Place,
} from "./library.ts";

const settleWithinMs = 120_000;
const lookEveryMs = 10;
const notesPerNotebook = 200;
const noteTimers: NoteTimers = {
  now: () => performance.now(),
  after: (ms, run) => nodeTimers.after(ms, run),
};

export class SealeafClient implements Library {
  #place: Place | null = null;
  #home: OpenHome | null = null;
  #openings = 0;
  #made = 0;
  #notebook = "";

  async begin(place: Place): Promise<void> {
    this.#place = place;
    await nodeAutomerge();
    // It connects when it is somebody; an empty device is at hand before anybody asks for it.
    await this.#open("always");
  }

  /** Without a search index, which fills in the time that filling the relay takes. */
  async found(): Promise<void> {
    await this.disconnect();
    this.#device.create();
    this.#device.connect();
  }

  async join({ words }: Invitation): Promise<void> {
    await this.#device.restore(words);
  }

  async create(notes: readonly NoteText[]): Promise<readonly string[]> {
    const names: string[] = [];
    for (const note of notes) {
      if (this.#made % notesPerNotebook === 0) {
        const name = `Notebook ${this.#made / notesPerNotebook}`;
        this.#notebook = (await this.#device.createNotebook(name)).id;
      }
      names.push((await this.#device.createNote({ ...note, notebook: this.#notebook })).id);
      this.#made += 1;
    }
    return names;
  }

  async invite(): Promise<string> {
    // An idle device does so by and by: long before somebody comes with an empty one.
    while (!(await this.#device.sendCards(lookEveryMs)));
    while (this.#isSummingUp()) await sleep(10 * lookEveryMs);
    await this.settled();
    return ((await this.#device.words()) ?? []).join(" ");
  }

  /** A long history is summed up for the relay within half a minute of silence. */
  #isSummingUp(): boolean {
    if (this.#home === null) return false;
    const { tails, outgoingSnapshots, notes } = this.#home.store;
    const { entries, bytes } = defaultSnapshotLimits;
    const isDue = tails.long(entries, bytes).some(({ doc }) => notes.get(doc) !== null);
    return isDue || notes.documents().some((doc) => outgoingSnapshots.has(doc));
  }

  async settled(): Promise<void> {
    if (!(await this.#device.settled(settleWithinMs))) {
      throw new Error(`not settled: ${JSON.stringify(await this.#device.status())}`);
    }
  }

  async arrive({ names }: Invitation): Promise<Arrival> {
    const device = this.#device;
    await this.#until(async () => {
      const rows = await device.notes();
      return rows.length === names.length && rows.every(({ title }) => title !== "");
    });
    const listed = now();
    await whenThere(() => device.openNote(names[Math.floor(names.length / 2)] ?? "", "first"));
    const opened = now();
    await this.settled();
    const here = now();
    for (let first = 0; first < names.length; first += notesPerLap) {
      const lap = lapOf(first);
      await this.#until(async () => (await device.search(lap, 1)).total === notesPerLap);
    }
    return { listed, opened, here, searchable: now() };
  }

  async open(name: string): Promise<EditedText> {
    const device = this.#device;
    this.#openings += 1;
    const session = `tab-${this.#openings}`;
    const opened = await whenThere(() => device.openNote(name, session));
    const note = new OpenNote({
      handle: createNoteDocuments().open(opened),
      session,
      actor: opened.actor,
      timers: noteTimers,
      journal: {
        draft: (draft) => device.draft(name, draft),
        commit: (commit) => device.commit(name, commit),
      },
      onFault: (fault) => {
        throw new Error(`an open note failed: ${fault.type}`);
      },
    });
    device.subscribe((event) => {
      if (event.type === "changes" && event.id === name && event.session !== session) {
        note.receive(event.changes);
      }
    });
    // As beside somebody else: what is typed is sent at once, not at the next pause.
    note.setPresent(true);
    return {
      length: () => note.text("body").length,
      text: () => note.text("body"),
      edit: (splice) => note.edit("body", [splice]),
      pause: () => void note.flush(),
      onChange: (listener) => void note.onRemote(listener),
    };
  }

  async typed(groups: Iterable<readonly Splice[]>): Promise<string> {
    const automerge = await nodeAutomerge();
    const device = this.#device;
    const { id } = await device.createNote({ title: "Long" });
    const opened = await device.openNote(id, "typist");
    let document = createNoteDocuments().open(opened).doc();
    let changes: Uint8Array[] = [];
    const commit = async (): Promise<void> => {
      await device.commit(id, { session: "typist", changes, title: "Long", preview: "" });
      changes = [];
    };
    for (const edits of groups) {
      document = automerge.change(document, { time: 0 }, (draft) => {
        for (const { at, remove, insert } of edits) {
          automerge.splice(draft, ["body"], at, remove, insert);
        }
      });
      const change = automerge.getLastLocalChange(document);
      if (change !== undefined) changes.push(change);
      if (changes.length === 1_000) await commit();
    }
    await commit();
    return id;
  }

  /** The device restarts from its disk, without a connection. */
  async disconnect(): Promise<void> {
    await this.#home?.close();
    await this.#open("on-demand");
  }

  async reconnect(): Promise<void> {
    this.#device.connect();
    await this.settled();
  }

  /** Looked at again whenever the device says that something has changed. */
  #until(isSo: () => Promise<boolean>): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        isSo().then((found) => {
          if (!found) return;
          stop();
          resolve();
        }, reject);
      };
      const stop = this.#device.subscribe(({ type }) => {
        if (type === "notes" || type === "search") look();
      });
      look();
    });
  }

  async #open(connect: "always" | "on-demand"): Promise<void> {
    if (this.#place === null) throw new Error("there is no place for a home yet");
    const { directory, url } = this.#place;
    this.#home = await openHome({
      dir: directory,
      relay: url,
      connect,
      keyReader: noPassphrase,
    });
  }

  get #device(): Device {
    if (this.#home === null) throw new Error("the home is not open");
    return this.#home.device;
  }
}

/** A note of another device may not have arrived yet. */
async function whenThere<T>(find: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await find();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      await rest();
    }
  }
}

function rest(): Promise<void> {
  return new Promise((resolve) => {
    nodeTimers.after(lookEveryMs, resolve);
  });
}
