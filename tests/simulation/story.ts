/**
 * One seed: people write while everything goes wrong, then everything is well again, and what they
 * hold is compared.
 */
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { Store } from "#crdt-store/store.ts";
import { parseHex, toHex } from "#relay/protocol/bytes.ts";
import type { Chance } from "#tests/support/sim-chance.ts";
import { calm, type Weather } from "#tests/support/sim-network.ts";
import { World, type Engines, type SimDevice } from "#tests/support/world.ts";
import { firstDifference, tellSpace } from "./agreement.ts";
import { Actor, Promises, secrets } from "./cast.ts";

export interface StoryOptions {
  readonly seed: string;
  readonly engines: Engines;
  /** How many things people do while everything goes wrong. */
  readonly actions?: number;
  /** A fault planted on purpose. */
  readonly tamper?: (store: Store, device: string) => void;
}

export interface Outcome {
  readonly seed: string;
  /** What does not hold, in words; empty when all is well. */
  readonly problems: readonly string[];
  readonly digest: string;
  /** Everything that happened, in order. */
  readonly trace: readonly string[];
  readonly words: number;
  readonly notes: number;
  /** Virtual seconds. */
  readonly took: number;
}

const longestHealMs = 300_000;
const eager = { changes: 3, bytes: 1 << 20, quietMs: 150 };

export async function runStory(options: StoryOptions): Promise<Outcome> {
  const { chance } = new World({ ...options, encrypted: false, secrets: [] });
  const draw = chance.fork("story");
  const world = new World({
    seed: options.seed,
    engines: options.engines,
    encrypted: draw.happens(0.1),
    // Some relays are slow to take what anybody writes.
    limits: draw.happens(0.2) ? { entriesPerSecond: 2, entryBurst: 4 } : {},
    // Half of the runs pack all the time what the others hardly ever pack in so short a life.
    ...(chance.fork("packing").happens(0.5) ? { packing: eager } : {}),
    secrets,
    ...(options.tamper === undefined ? {} : { tamper: options.tamper }),
  });
  try {
    return await new Story(world, draw, options).run();
  } finally {
    await world.end();
  }
}

class Story {
  readonly #world: World;
  readonly #chance: Chance;
  readonly #options: StoryOptions;
  readonly #promises = new Promises();
  readonly #actors = new Map<SimDevice, Actor>();
  #isChaotic = true;

  constructor(world: World, chance: Chance, options: StoryOptions) {
    this.#world = world;
    this.#chance = chance;
    this.#options = options;
  }

  async run(): Promise<Outcome> {
    const { timeline, relay, network } = this.#world;
    await relay.start();
    this.#assemble();
    const storm = stormy(this.#chance);
    // Half of the runs know bad weather from their first moment.
    if (this.#chance.happens(0.5)) await timeline.advance(4_000);
    network.weather = storm;
    for (let left = this.#options.actions ?? 28; left > 0; left -= 1) {
      this.#somethingHappens();
      await timeline.advance(this.#chance.between(0, 1_500));
    }
    const problems = (await this.#heal()) ? this.#compare() : [await this.#whyNotQuiet()];
    if (problems.length === 0) problems.push(...(await this.#read()));
    return {
      seed: this.#options.seed,
      problems: [...this.#promises.faults, ...problems],
      digest: this.#world.trace.digest,
      trace: this.#world.trace.lines,
      words: this.#promises.words.length,
      notes: this.#promises.notes.length,
      took: timeline.elapsed / 1000,
    };
  }

  /** Three people: two with a second device each, the others guests by an edit link. */
  #assemble(): void {
    const word = (
      (n) => () =>
        `‹word-${(n += 1)}›`
    )(0);
    const add = (name: string, role: ConstructorParameters<typeof Actor>[2]): SimDevice => {
      const sim = this.#world.addDevice(name);
      const { automerge } = this.#options.engines;
      this.#actors.set(sim, new Actor(this.#world, sim, role, this.#promises, automerge, word));
      return sim;
    };
    const ada = add("ada-1", { type: "founder" });
    add("ada-2", { type: "own device", of: ada });
    const bob = add("bob-1", { type: "guest", of: ada });
    add("bob-2", { type: "own device", of: bob });
    add("cyd-1", { type: "guest", of: ada });
    for (const [sim, actor] of this.#actors) {
      sim.open();
      actor.arrive(this.#actors);
    }
  }

  #somethingHappens(): void {
    const { network, relay, timeline } = this.#world;
    const sim = this.#chance.pick([...this.#actors.keys()]);
    if (sim === undefined) return;
    const drawn = this.#chance.next();
    if (drawn < 0.04) {
      void sim.kill();
      this.#later(500, 8_000, () => this.#reopen(sim));
    } else if (drawn < 0.1) {
      sim.killAfterFlushes(1 + this.#chance.below(12));
      this.#later(2_000, 10_000, () => this.#reopen(sim));
    } else if (drawn < 0.13) {
      relay.crash();
      this.#later(50, 6_000, () => void this.#restartRelay());
    } else if (drawn < 0.21) {
      network.part(sim.name, this.#chance.happens(0.6) ? "refuse" : "swallow");
      this.#later(1_000, 20_000, () => network.join(sim.name));
    } else this.#actors.get(sim)?.act();
    // People write more than things go wrong.
    if (this.#chance.happens(0.5)) {
      const other = this.#chance.pick([...this.#actors.values()]);
      timeline.after(this.#chance.between(0, 50), () => other?.act());
    }
  }

  #later(from: number, to: number, run: () => void): void {
    this.#world.timeline.after(this.#chance.between(from, to), () => {
      if (this.#isChaotic) run();
    });
  }

  async #reopen(sim: SimDevice): Promise<void> {
    if (sim.running !== null) return;
    await sim.kill();
    if (sim.running === null) sim.open();
  }

  async #restartRelay(): Promise<void> {
    if (!this.#world.relay.isUp) await this.#world.relay.start();
  }

  /** Everything works again; true once nothing is left to do. */
  async #heal(): Promise<boolean> {
    const { network, timeline } = this.#world;
    this.#isChaotic = false;
    network.weather = calm;
    await this.#restartRelay();
    for (const sim of this.#actors.keys()) network.join(sim.name);
    for (let waited = 0; waited < longestHealMs; waited += 1_000) {
      // A death that was coming comes now; then no more.
      for (const sim of this.#actors.keys()) await this.#reopen(sim);
      await timeline.advance(1_000);
      if ((await this.#quietly()) === null) {
        // Quiet for longer than anything is put off.
        await timeline.advance(3_000);
        if ((await this.#quietly()) === null) return true;
      }
    }
    return false;
  }

  /** What there is still to do, null if nothing. */
  async #quietly(): Promise<string | null> {
    for (const [sim, actor] of this.#actors) {
      const running = sim.running;
      if (running === null) return `${sim.name} does not run`;
      if (!actor.hasArrived) return `${sim.name} has not arrived`;
      const { store, device } = running;
      const { word } = await device.status();
      if (word !== "up-to-date") return `${sim.name} says ${word}`;
      if (store.outbox.depth() > 0) return `${sim.name}: ${store.outbox.depth()} changes wait`;
      if (store.notes.stale(1).length > 0) return `${sim.name}: notes are to be described`;
      if (store.drafts.all().length > 0 && sim.sessions.size === 0) {
        return `${sim.name}: a draft waits`;
      }
      for (const { id } of store.spaces.list()) {
        const kept = this.#world.relay.disk.spaces.get(toHex(id));
        if (kept === undefined) return `${sim.name}: the relay has never heard of a space`;
        if (store.inbox.cursor(id)?.pos !== kept.stored.head) {
          const { kind } = store.spaces.get(id) ?? { kind: "?" };
          return `${sim.name}: read to ${store.inbox.cursor(id)?.pos} of ${kept.stored.head} in a ${kind}`;
        }
      }
    }
    return null;
  }

  async #whyNotQuiet(): Promise<string> {
    const logs = [...this.#actors.keys()].flatMap((sim) =>
      (sim.running?.store.syncLog.all() ?? [])
        .filter(({ level }) => level !== "info")
        .map(({ text, level }) => `  ${sim.name} log: ${level} ${text}`),
    );
    return [`not quiet after ${longestHealMs / 1000} s: ${await this.#quietly()}`, ...logs].join(
      "\n",
    );
  }

  #stores(): { readonly name: string; readonly store: Store }[] {
    return [...this.#actors.keys()].flatMap((sim) =>
      sim.running === null ? [] : [{ name: sim.name, store: sim.running.store }],
    );
  }

  /** What all devices hold, compared below the API. */
  #compare(): string[] {
    const problems: string[] = [];
    const { relay, leaks } = this.#world;
    problems.push(...relay.errors.map((event) => `the relay logged: ${event}`));
    problems.push(...new Set(leaks.map((leak) => `${leak} was on the wire`)));
    for (const bytes of relay.disk.bytes()) {
      for (const leak of this.#world.secretsIn(bytes)) problems.push(`${leak} is at the relay`);
    }
    const stores = this.#stores();
    for (const { name, store } of stores) {
      for (const item of store.inbox.quarantined()) {
        problems.push(`${name} has quarantined something: ${item.reason}`);
      }
      for (const { level, text } of store.syncLog.all()) {
        if (level === "error") problems.push(`${name} logged: ${text}`);
      }
    }
    for (const [hex, kept] of relay.disk.spaces) {
      const id = parseHex(hex);
      if (id === null) continue;
      const members = stores.filter(({ store }) => store.spaces.get(id) !== null);
      const facts = members.map(({ name, store }) => ({ name, told: tellSpace(store, id) }));
      for (const { name, told } of facts) {
        if (told !== facts[0]?.told) {
          problems.push(
            `${name} and ${facts[0]?.name} differ:\n${firstDifference(told, facts[0]?.told ?? "")}`,
          );
        }
      }
      for (const { name, store } of members) {
        const chain = store.inbox.cursor(id)?.chain;
        if (chain === undefined || toHex(chain) !== toHex(kept.stored.chain)) {
          problems.push(`${name} stands at another chain than the relay`);
        }
      }
    }
    for (const { note, heads, by } of this.#promises.changes) {
      const doc = parseDocumentId(note);
      for (const head of heads) {
        const hash = parseHex(head);
        if (doc === undefined || hash === null) continue;
        for (const { name, store } of this.#membersOf(doc)) {
          if (!store.changes.has(doc, hash)) {
            problems.push(`${name} lacks a change that ${by} had acknowledged`);
          }
        }
      }
    }
    return problems;
  }

  #membersOf(doc: Uint8Array): { readonly name: string; readonly store: Store }[] {
    const stores = this.#stores();
    const space = stores
      .map(({ store }) => store.documents.get(doc)?.space)
      .find((id) => id != null);
    return space === undefined
      ? []
      : stores.filter(({ store }) => store.spaces.get(space) !== null);
  }

  /** What people see: the same lists, the same texts, and every word that was promised. */
  async #read(): Promise<string[]> {
    const problems: string[] = [];
    const textsByNote = new Map<string, { readonly by: string; readonly text: string }>();
    const rowsByNote = new Map<string, { readonly by: string; readonly row: string }>();
    const namesByNotebook = new Map<string, { readonly by: string; readonly name: string }>();
    for (const sim of this.#actors.keys()) {
      const device = sim.running?.device;
      if (device === undefined) return [`${sim.name} does not run`];
      for (const { id, name, state } of await device.notebooks()) {
        if (state !== "active") problems.push(`${sim.name}: a notebook is ${state}`);
        const known = namesByNotebook.get(id) ?? { by: sim.name, name };
        namesByNotebook.set(id, known);
        if (known.name !== name) problems.push(`${sim.name} and ${known.by} name it differently`);
      }
      for (const row of await device.notes()) {
        if (row.state === "saved-here" || row.waiting > 0 || row.quarantined > 0) {
          problems.push(`${sim.name}: a note is ${row.state}, ${row.waiting} waiting`);
        }
        const told = JSON.stringify([
          row.title,
          row.preview,
          row.notebook,
          row.createdAt,
          row.trashed,
        ]);
        const knownRow = rowsByNote.get(row.id) ?? { by: sim.name, row: told };
        rowsByNote.set(row.id, knownRow);
        if (knownRow.row !== told) {
          problems.push(`${sim.name} lists ${told}, ${knownRow.by} lists ${knownRow.row}`);
        }
        const { title, body, heads } = await device.readNote(row.id);
        const text = JSON.stringify([title, body, heads.toSorted()]);
        const known = textsByNote.get(row.id) ?? { by: sim.name, text };
        textsByNote.set(row.id, known);
        if (known.text !== text) {
          problems.push(`${sim.name} reads ${text}, ${known.by} reads ${known.text}`);
        }
      }
    }
    for (const { note, word, by } of this.#promises.words) {
      if (this.#promises.removed.has(word)) continue;
      const known = textsByNote.get(note);
      // A note that was moved away stands in no list; its changes were compared above.
      if (known !== undefined && !known.text.includes(word)) {
        problems.push(`${word}, which ${by} had acknowledged, is gone`);
      }
    }
    for (const { note, by } of this.#promises.notes) {
      const doc = parseDocumentId(note);
      if (doc === undefined || this.#membersOf(doc).length === 0) {
        problems.push(`a note that ${by} had made is nowhere`);
      }
    }
    // The search for secrets would find one: the devices themselves hold them.
    const [first] = this.#actors.keys();
    if (first?.running?.store.notes.list().length !== 0 && !this.#hasPlainCopy()) {
      problems.push("the control copy of the secrets was not found: the search for leaks is blind");
    }
    return problems;
  }

  #hasPlainCopy(): boolean {
    const texts = this.#stores().flatMap(({ store }) =>
      [...store.notes.list(), ...store.notes.list({ trashed: true })].map((row) => row.title),
    );
    return texts.some((text) => this.#world.secretsIn(new TextEncoder().encode(text)).length > 0);
  }
}

/** Probabilities drawn once for a run: some runs lose much, some cut late, some are only slow. */
export function stormy(chance: Chance): Weather {
  const part = (most: number): number => (chance.happens(0.5) ? 0 : chance.next() * most);
  return {
    latency: [1, chance.between(10, 400)],
    spikes: part(0.05),
    spike: chance.between(500, 6_000),
    losses: part(0.04),
    cuts: part(0.04),
    swallows: part(0.01),
  };
}
