/** The people of a simulation and what they do: random, from one chance, and noted down when acknowledged. */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { Device } from "#client/device/device.ts";
import type { FieldSplice, NoteDocument } from "#client/device/api.ts";
import { Refusal } from "#client/device/refusal.ts";
import { plainPreview, plainTitle } from "#client/notes/markdown.ts";
import type { Chance } from "#tests/support/sim-chance.ts";
import type { Engines, SimDevice, World } from "#tests/support/world.ts";

/** Every text anybody writes is made of words like ‹word-17›, each written once: any of them can be looked for. */
export const tokenMark = "‹word-";
export const secrets = [tokenMark, "Title-secret", "Name-secret", "Notebook-secret"];

export interface WrittenWord {
  readonly note: string;
  readonly word: string;
  readonly by: string;
}

export interface WrittenChanges {
  readonly note: string;
  readonly heads: readonly string[];
  readonly by: string;
}

/** What devices acknowledged as durable, hence must be everywhere in the end. */
export class Promises {
  readonly words: WrittenWord[] = [];
  readonly changes: WrittenChanges[] = [];
  /** Words somebody has removed on purpose. */
  readonly removed = new Set<string>();
  readonly notes: { readonly note: string; readonly by: string }[] = [];
  /** What went wrong that may not go wrong. */
  readonly faults: string[] = [];
}

/** What one device wants to become before it takes part. */
type Role =
  | { readonly type: "founder" }
  | { readonly type: "own device"; readonly of: SimDevice }
  | { readonly type: "guest"; readonly of: SimDevice };

const tryAgainMs = 1_500;

export class Actor {
  readonly sim: SimDevice;
  readonly #world: World;
  readonly #chance: Chance;
  readonly #promises: Promises;
  #role: Role;
  readonly #automerge: Engines["automerge"];
  readonly #nextWord: () => string;
  words: readonly string[] | null = null;
  /** An edit link to this person's shared notebook. */
  link: string | null = null;
  hasArrived = false;

  constructor(
    world: World,
    sim: SimDevice,
    role: Role,
    promises: Promises,
    automerge: Engines["automerge"],
    nextWord: () => string,
  ) {
    this.#world = world;
    this.sim = sim;
    this.#role = role;
    this.#promises = promises;
    this.#automerge = automerge;
    this.#nextWord = nextWord;
    this.#chance = world.chance.fork(`actor ${sim.name}`);
  }

  get isGuest(): boolean {
    return this.#role.type === "guest";
  }

  /** Becomes what it is to be, however often it takes. */
  arrive(others: ReadonlyMap<SimDevice, Actor>): void {
    const device = this.sim.running?.device;
    let isOver = false;
    const again = (): void => {
      if (isOver) return;
      isOver = true;
      if (this.hasArrived) return;
      this.#world.timeline.after(tryAgainMs, () => this.arrive(others));
    };
    if (device === undefined) {
      again();
      return;
    }
    // A process that was killed meanwhile never answers.
    const watch = (): void => {
      if (!this.#stillLives(device)) again();
      if (!isOver) this.#world.timeline.after(tryAgainMs, watch);
    };
    watch();
    this.attempt("arrive", async () => {
      await this.#becomeRole(device, others);
      this.hasArrived = true;
    }).then(again, again);
  }

  async #becomeRole(device: Device, others: ReadonlyMap<SimDevice, Actor>): Promise<void> {
    const role = this.#role;
    if (role.type === "own device") {
      if (device.hasIdentity) return;
      const words = others.get(role.of)?.words;
      if (words == null) throw new Refusal({ code: "offline", message: "no words yet" });
      await device.restore(words.join(" "));
      return;
    }
    if (!device.hasIdentity) device.create();
    this.words ??= await device.words();
    await device.setDisplayName(`Name-secret ${this.sim.name}`);
    if (role.type === "founder") {
      const [first] = await device.notebooks();
      if (first === undefined) throw new Error("a founder has a notebook");
      this.link ??= (await device.share(first.id, "edit")).link;
      return;
    }
    const link = others.get(role.of)?.link;
    if (link == null) throw new Refusal({ code: "offline", message: "no link yet" });
    await device.join(link);
  }

  /** Its disk is empty: it becomes one more device of whoever has the words of `root`. */
  comeBack(root: SimDevice, others: ReadonlyMap<SimDevice, Actor>): void {
    this.#role = { type: "own device", of: root };
    this.hasArrived = false;
    this.arrive(others);
  }

  /** One random thing a person does. */
  act(): void {
    const device = this.sim.running?.device;
    if (device === undefined || !device.hasIdentity) return;
    const drawn = this.#chance.next();
    if (drawn < 0.14) void this.attempt("create a note", () => this.#createNote(device));
    else if (drawn < 0.54) void this.attempt("edit", () => this.#edit(device));
    else if (drawn < 0.82) void this.attempt("type", () => this.#type(device));
    else if (drawn < 0.9) void this.attempt("trash or restore", () => this.#trash(device));
    else if (drawn < 0.94) void this.attempt("rename", () => this.#rename(device));
    else if (drawn < 0.96) void this.attempt("move", () => this.#move(device));
    else if (drawn < 0.97) {
      void this.attempt("new notebook", async () => {
        await device.createNotebook(`Notebook-secret of ${this.sim.name}`);
      });
    } else if (drawn < 0.98) {
      void this.attempt("new name", () =>
        device.setDisplayName(`Name-secret ${this.sim.name} ${this.#chance.below(9)}`),
      );
    } else if (drawn < 0.99) void device.setVisible(this.#chance.happens(0.5));
    else void device.setOnline(this.#chance.happens(0.7));
  }

  /** A refusal is an answer; whatever else is thrown while the device lives is a fault. */
  async attempt(what: string, act: () => Promise<void>): Promise<void> {
    const { running } = this.sim;
    this.#world.trace.add(`${this.sim.name}: ${what}`);
    try {
      await act();
    } catch (error) {
      if (error instanceof Refusal) {
        this.#world.trace.add(`${this.sim.name}: ${what}: refused (${error.code})`);
      } else if (this.sim.running !== null && this.sim.running === running) {
        const told =
          error instanceof Error ? (error.stack ?? error.message).split("\n") : [String(error)];
        this.#promises.faults.push(`${this.sim.name}: ${what}: ${told.slice(0, 7).join("\n")}`);
      }
    }
  }

  /** Whether the answer just got still comes from the process it was asked of. */
  #stillLives(device: Device): boolean {
    return this.sim.running?.device === device;
  }

  async #createNote(device: Device): Promise<void> {
    const notebook = this.#chance.pick(await device.notebooks());
    if (notebook === undefined) return;
    const words = [this.#nextWord(), this.#nextWord()];
    const { id } = await device.createNote({
      notebook: notebook.id,
      title: `Title-secret ${this.sim.name}`,
      body: `${words.join(" ")}.`,
    });
    if (!this.#stillLives(device)) return;
    this.#promises.notes.push({ note: id, by: this.sim.name });
    for (const word of words) this.#promises.words.push({ note: id, word, by: this.sim.name });
  }

  async #anyNote(device: Device): Promise<string | null> {
    const notes = await device.notes();
    // Mostly the same few: people meet in the same sentence.
    const few = this.#chance.happens(0.7) ? notes.slice(0, 2) : notes;
    return this.#chance.pick(few)?.id ?? null;
  }

  async #edit(device: Device): Promise<void> {
    const id = await this.#anyNote(device);
    if (id === null) return;
    const { body, heads } = await device.readNote(id);
    const { edits, added, removed } = this.#splices(body);
    for (const word of removed) this.#promises.removed.add(word);
    const after = await device.spliceNote(id, heads, edits);
    if (!this.#stillLives(device)) return;
    this.#promises.changes.push({ note: id, heads: after.heads, by: this.sim.name });
    for (const word of added) this.#promises.words.push({ note: id, word, by: this.sim.name });
  }

  /** One or two words put between words, sometimes in place of one; positions are sequential. */
  #splices(text: string): {
    readonly edits: readonly FieldSplice[];
    readonly added: readonly string[];
    readonly removed: readonly string[];
  } {
    const edits: FieldSplice[] = [];
    const added: string[] = [];
    const removed: string[] = [];
    let current = text;
    for (let left = 1 + this.#chance.below(2); left > 0; left -= 1) {
      const words = [...current.matchAll(/‹[^›]*›/g)];
      const chosen = this.#chance.pick(words);
      const word = this.#nextWord();
      const isReplaced = chosen !== undefined && this.#chance.happens(0.15);
      const before = this.#chance.happens(0.5);
      const at =
        chosen === undefined ? 0 : chosen.index + (before || isReplaced ? 0 : chosen[0].length);
      const remove = isReplaced ? chosen[0].length : 0;
      if (isReplaced) removed.push(chosen[0]);
      edits.push({ field: "body", at, remove, insert: word });
      added.push(word);
      current = current.slice(0, at) + word + current.slice(at + remove);
    }
    return { edits, added: added.filter((word) => !removed.includes(word)), removed };
  }

  /** As a tab does it: opens, keeps drafts while typing, commits at the pause. */
  async #type(device: Device): Promise<void> {
    const id = await this.#anyNote(device);
    if (id === null) return;
    const session = `tab-${this.sim.name}-${this.#chance.below(1_000_000)}`;
    this.sim.sessions.add(session);
    try {
      await this.#typeIn(device, id, session);
    } finally {
      if (this.#stillLives(device)) {
        this.sim.sessions.delete(session);
        // A tab that goes without a commit leaves its draft to the device.
        device.tabGone(session);
      }
    }
  }

  async #typeIn(device: Device, id: string, session: string): Promise<void> {
    const { chunks, actor } = await device.openNote(id, session);
    let doc: AutomergeModule.Doc<NoteDocument> = this.#automerge.init<NoteDocument>({ actor });
    for (const chunk of chunks) doc = this.#automerge.loadIncremental(doc, chunk);
    if (typeof doc.body !== "string") return;
    const heard: Uint8Array[] = [];
    const stop = device.subscribe((event) => {
      if (event.type === "changes" && event.id === id && event.session !== session) {
        heard.push(...event.changes);
      }
    });
    for (let commits = 1 + this.#chance.below(2); commits > 0; commits -= 1) {
      if (heard.length > 0) doc = this.#automerge.applyChanges(doc, heard.splice(0))[0];
      const heads = this.#automerge.getHeads(doc);
      const { edits, added, removed } = this.#splices(doc.body);
      for (const word of removed) this.#promises.removed.add(word);
      for (let typed = 1; typed <= edits.length; typed += 1) {
        await device.draft(id, { session, actor, heads, edits: edits.slice(0, typed) });
        if (!this.#stillLives(device)) return;
        const word = edits[typed - 1]?.insert;
        if (word !== undefined && added.includes(word)) {
          this.#promises.words.push({ note: id, word, by: this.sim.name });
        }
        await this.#world.timeline.wait(this.#chance.between(20, 400));
        if (!this.#stillLives(device)) return;
      }
      const before = heads;
      doc = this.#automerge.change(doc, { time: 0 }, (draft) => {
        for (const { at, remove, insert } of edits) {
          this.#automerge.splice(draft, ["body"], at, remove, insert);
        }
      });
      await device.commit(id, {
        session,
        changes: this.#automerge.getChangesSince(doc, before),
        title: plainTitle(doc),
        preview: plainPreview(doc),
      });
      if (!this.#stillLives(device)) return;
      this.#promises.changes.push({
        note: id,
        heads: this.#automerge.getHeads(doc),
        by: this.sim.name,
      });
      await this.#world.timeline.wait(this.#chance.between(50, 800));
      if (!this.#stillLives(device)) return;
    }
    stop();
    await device.closeNote(id, session);
  }

  async #trash(device: Device): Promise<void> {
    const notes = await device.notes();
    const note = this.#chance.pick(notes);
    if (note === undefined) return;
    if (note.trashed) await device.restoreNote(note.id);
    else await device.trashNote(note.id);
  }

  async #rename(device: Device): Promise<void> {
    const notebook = this.#chance.pick(await device.notebooks());
    if (notebook === undefined) return;
    await device.renameNotebook(notebook.id, `Notebook-secret ${this.#chance.below(100)}`);
  }

  async #move(device: Device): Promise<void> {
    const note = this.#chance.pick(await device.notes());
    const target = this.#chance.pick(await device.notebooks());
    if (note === undefined || target === undefined) return;
    await device.moveNote(note.id, target.id);
  }
}
