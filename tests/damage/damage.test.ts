import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { syntheticChange } from "#tests/support/synthetic-change.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { countByVerdict, isFailure } from "./case.ts";
import { countSilentCuts, runFileCases } from "./file-cases.ts";
import { runKeyCases } from "./key-cases.ts";
import { Patient } from "./patient.ts";
import { damagedBy, listRowCases, runRowCase, type RowCase } from "./row-cases.ts";

/*
 * A sample of `npm run test:damage`, and by name the rows whose damage a device has to live with.
 */

// Generous: a ceiling, not a measurement.
const timeout = 180_000;

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

describe("a damaged file", () => {
  const options = (encrypted: boolean) => ({
    engine: engines.sqlite,
    encrypted,
    settledSteps: 20,
    loggedSteps: 6,
    stride: 9,
  });

  it(
    "of an encrypted store is refused unchanged, noticed when read, or harmless",
    { timeout },
    () => {
      const findings = runFileCases(options(true));
      expect(findings.filter(isFailure)).toEqual([]);
      expect(countByVerdict(findings).believed).toBeUndefined();
      expect(countByVerdict(findings).noticed).toBeGreaterThan(20);
      expect(countByVerdict(findings).refused).toBeGreaterThan(50);
    },
  );

  it(
    "of a store in clear is sometimes believed, which shows what encryption adds",
    { timeout },
    () => {
      const findings = runFileCases({ ...options(false), stride: 2 });
      expect(findings.filter(isFailure)).toEqual([]);
      expect(countByVerdict(findings).believed).toBeGreaterThan(0);
    },
  );

  it("whose log is damaged would be cut in silence by SQLite alone", { timeout }, () => {
    expect(countSilentCuts(options(true))).toBeGreaterThan(50);
  });
});

describe("a wrong key", () => {
  it("is refused in words in every state of the files, and no byte is changed", { timeout }, () => {
    const findings = runKeyCases({ engine: engines.sqlite, cuts: 20 });
    expect(findings.filter(isFailure)).toEqual([]);
    const tried = findings.filter(({ name }) => !name.startsWith("the right key"));
    expect(tried.filter(({ verdict }) => verdict !== "refused")).toEqual([]);
    // The same files open under the right one: what is refused is the key.
    expect(countByVerdict(findings).harmless).toBe(2 * (8 + 20));
  });
});

describe("a damaged page of the journal", () => {
  it("costs a note the changes on it, which is shown, and other notes nothing", { timeout }, () => {
    const key = new Uint8Array(32).fill(8);
    const { contents, docs } = journalOfTwo(key);
    const outcomes = Array.from({ length: contents.main.length / 4096 - 1 }, (_, page) => {
      const main = contents.main.slice();
      const at = (page + 1) * 4096 + 100;
      main[at] = (main[at] ?? 0) ^ 1;
      return outcomeOf(key, new MemoryFiles({ ...contents, main }), docs);
    });
    const gaps = outcomes.filter(({ missing }) => missing > 0);
    expect(gaps.length).toBeGreaterThan(10);
    expect(gaps.filter(({ missing, shown }) => missing !== shown)).toEqual([]);
    expect(gaps.filter(({ missing, wholeNotes }) => missing > 5 || wholeNotes === 0)).toEqual([]);
    expect(outcomes.filter(({ missing }) => missing === 0).length).toBeGreaterThan(10);
    // Pages that everything hangs on: the schema, the roots of the journal and its index, the quarantine.
    expect(outcomes.filter(({ missing }) => missing < 0).length).toBeLessThan(12);
  });

  interface Outcome {
    /** Changes that are not read; negative where all is refused as damaged. */
    readonly missing: number;
    readonly shown: number;
    readonly wholeNotes: number;
  }

  function outcomeOf(key: Uint8Array, files: MemoryFiles, docs: readonly Uint8Array[]): Outcome {
    let store: Store | undefined;
    try {
      store = openOn(key, files);
      const { changes, inbox } = store;
      const found = docs.map((doc) => changes.ofDocument(doc).length);
      return {
        missing: 40 - found.reduce((sum, count) => sum + count, 0),
        shown: inbox.quarantined().length,
        wholeNotes: found.filter((count) => count === 20).length,
      };
    } catch (error) {
      if (error instanceof StoreError) return { missing: -1, shown: 0, wholeNotes: 0 };
      throw error;
    } finally {
      closeQuietly(store);
    }
  }

  function openOn(key: Uint8Array, files: MemoryFiles): Store {
    const random = (count: number) => new Chance("nonces").bytes(count);
    return openStore({ engine: engines.sqlite, files, key, clock: { now: () => 1 }, random });
  }

  /** Twenty changes of two kilobytes in each of two documents, one document after the other. */
  function journalOfTwo(key: Uint8Array) {
    const files = new MemoryFiles();
    const store = openOn(key, files);
    const docs = [new Uint8Array(16).fill(1), new Uint8Array(16).fill(2)];
    for (const doc of docs) {
      let deps: Uint8Array[] = [];
      for (let seq = 1; seq <= 20; seq += 1) {
        const filling = new Chance(`filling ${seq}`).bytes(2_000);
        const change = syntheticChange({ actor: doc, seq, deps, filling });
        deps = [change.hash];
        const more = { opCount: 1, space: null, pos: null, signer: null, local: true, at: 1 };
        store.changes.insert([{ ...change, doc, ...more }]);
      }
    }
    store.close();
    return { contents: files.snapshot(), docs };
  }

  function closeQuietly(store: Store | undefined): void {
    try {
      store?.close();
    } catch (error) {
      // A damaged log cannot be emptied.
      if (!(error instanceof Error)) throw error;
    }
  }
});

describe("a damaged row", () => {
  let patient: Patient;
  let cases: readonly RowCase[];
  beforeAll(async () => {
    patient = await Patient.admit(engines);
    cases = listRowCases(engines, patient.contents);
  }, timeout);
  afterAll(() => patient.world.end());

  const judge = async (name: string) => {
    const found = cases.filter((damage) => damage.name.startsWith(name));
    expect(found).not.toEqual([]);
    const verdicts = [];
    for (const damage of found) verdicts.push((await runRowCase(patient, damage)).verdict);
    return [...new Set(verdicts)].sort();
  };

  it.each([
    ["a change's hash", "change 1.hash: flipped", ["recovered"]],
    ["where a change is looked up", "change 1.hash_prefix: huge", ["harmless"]],
    ["a change's length", "change 1.length: zero", ["harmless"]],
    ["a snapshot", "snapshot 0.bytes: flipped", ["recovered"]],
    ["what waits to be sent", "pending 1.hash: flipped", ["recovered"]],
    ["a sealed entry", "sealed 0.bytes: flipped", ["harmless"]],
    ["a sealed entry's space", "sealed 0.space: garbage", ["recovered"]],
    ["the cursor", "cursor 1.pos: huge", ["harmless"]],
    ["the cursor's chain", "cursor 1.chain: empty", ["harmless"]],
    ["a control record", "control 1.bytes: cut", ["recovered"]],
    ["an epoch key", "epoch_key 1.key: flipped", ["recovered"]],
    ["a notebook's beginning", "space 1.genesis: cut", ["recovered"]],
    ["a list row's notebook", "note 0.space: garbage", ["harmless"]],
    ["a list row's tags", "note 0.tags: cut", ["harmless"]],
  ])("is put right from the rest: %s", { timeout }, async (_, name, expected) => {
    expect(await judge(name)).toEqual(expected);
  });

  it.each([
    ["a change's bytes", "change 1.bytes: flipped"],
    ["a draft", "draft 0.edits: cut"],
  ])("is set aside and shown, and every other note goes on: %s", { timeout }, async (_, name) => {
    expect(await judge(name)).toEqual(["quarantined"]);
  });

  it(
    "that vouched for what waits to be sent sets that aside, and sending goes on",
    { timeout },
    async () => {
      const contents = damagedBy(
        engines.sqlite,
        patient.contents,
        `UPDATE actor SET nonce = ? WHERE actor IN (
         SELECT change.actor FROM change JOIN pending ON change.id = change_id WHERE entry_id IS NULL)`,
        [new Uint8Array(16)],
      );
      if (contents === null) throw new Error("the tables take the damage");
      const { verdict } = await runRowCase(patient, { name: "nonces", contents, doc: null });
      expect(verdict).toBe("quarantined");
    },
  );

  it.each([
    ["the device's own secret", "setting device/secret.value: cut"],
    ["the name of that secret", "setting device/secret.key: flipped"],
    ["the vault's beginning", "space 0.genesis: cut"],
    ["the version of the tables", "schema_version 0.version: zero"],
  ])(
    "that nothing else tells is refused, instead of an empty device: %s",
    { timeout },
    async (_, name) => {
      expect(await judge(name)).toEqual(["refused"]);
    },
  );
});
