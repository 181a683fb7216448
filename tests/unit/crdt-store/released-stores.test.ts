/** Stores written by every released version open with today's code, whole; see docs/decisions/store-versions.md. */
import { describe, expect, it } from "vitest";

import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { fileRoles, type FileSet } from "#crdt-store/files/file.ts";
import type { FileContents, MemoryFiles } from "#crdt-store/files/memory.ts";
import { nobleCipher } from "#crdt-store/files/page-cipher.ts";
import type { PageCodec } from "#crdt-store/files/page-codec.ts";
import { migrate, type Migration } from "#crdt-store/migrate.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { migrations } from "#crdt-store/schema.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { openStore } from "#crdt-store/store.ts";
import type { Device } from "#client/device/device.ts";
import {
  contentsOf,
  releasedStores,
  storeKey,
  type ReleasedStoreFiles,
} from "#tests/support/released-stores.ts";
import { writeReleasedStore } from "#tests/vectors/generate-store.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { seededBytes, seededNumbers } from "./store-fixtures.ts";

const engines = await loadEngines();

const forms = ["plain", "sealed"] as const;
const cases = releasedStores().flatMap((released) => forms.map((form) => ({ released, form })));

function codecOf(form: "plain" | "sealed"): PageCodec | null {
  const key = form === "plain" ? null : storeKey;
  return notesCodec({ cipher: nobleCipher }, key, seededBytes(3));
}

function openTables(files: FileSet, form: "plain" | "sealed"): Sqlite {
  return Sqlite.open({ engine: engines.sqlite, files, codec: codecOf(form) });
}

function open(files: FileSet, form: "plain" | "sealed") {
  const key = form === "plain" ? null : storeKey;
  const clock = { now: () => 1_000 };
  return openStore({ engine: engines.sqlite, files, key, clock, random: seededBytes(4) });
}

/** What a later version might do to every table at once. */
const nextStep: Migration = (sqlite) =>
  sqlite.script(`
ALTER TABLE note ADD COLUMN colour INTEGER NOT NULL DEFAULT 0;
CREATE TABLE later (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
INSERT INTO later (bytes) SELECT bytes FROM change;
CREATE INDEX change_by_time ON change (at);
UPDATE sync_log SET text = text || '.';
`);
const nextVersion = [...migrations, nextStep];

function versionOf(sqlite: Sqlite): number | undefined {
  return sqlite.get<{ version: number }>("SELECT version FROM schema_version")?.version;
}

describe.each(cases)("the $form store of version $released.version", ({ released, form }) => {
  it("keeps every row, is sound, and is of the newest version", () => {
    const files = released.files(form);
    const store = open(files, form);
    store.checkIntegrity();
    store.close();
    const sqlite = openTables(files, form);
    expect(contentsOf(sqlite, released.tables)).toEqual(released.tables);
    expect(versionOf(sqlite)).toBe(migrations.length);
    sqlite.close();
  });

  it("has what waits in every way, and a journal without damage", () => {
    const store = open(released.files(form), form);
    const [notebook] = store.spaces.list().filter(({ kind }) => kind === "notebook");
    const id = notebook?.id ?? new Uint8Array();
    expect(store.outbox.sealed(id)).toHaveLength(1);
    expect(store.outbox.pending(id)).toHaveLength(1);
    expect(store.outbox.depth()).toBe(2);
    for (const doc of store.changes.documents()) {
      expect(store.changes.ofDocument(doc).length).toBeGreaterThan(0);
    }
    expect(store.inbox.quarantined().map(({ reason }) => reason)).toEqual([
      "its seal does not open",
    ]);
    store.close();
  });
});

describe("a store of today's version", { timeout: 60_000 }, () => {
  it("can be written for the versions to come, with all that the first one has", async () => {
    const { plain, sealed, described } = await writeReleasedStore(engines);
    expect(described.version).toBe(migrations.length);
    const known = Object.keys(releasedStores()[0]?.tables ?? {});
    const filled = Object.entries(described.tables).filter(([, { rows }]) => rows > 0);
    expect(filled.map(([name]) => name)).toEqual(expect.arrayContaining(known));
    for (const [form, files] of [
      ["plain", plain],
      ["sealed", sealed],
    ] as const) {
      const sqlite = openTables(files, form);
      expect(contentsOf(sqlite)).toEqual(described.tables);
      sqlite.close();
    }
  });
});

const keep = oneWorld();

describe.each(releasedStores())("a device of version $version", { timeout: 60_000 }, (released) => {
  it("goes on writing, and what waited there reaches another device", async () => {
    const made = new World({ seed: "released", engines, encrypted: false, secrets: [] });
    keep(made);
    await made.relay.start();
    const old = made.addDevice("old", released.files("plain").snapshot());
    const fresh = made.addDevice("fresh");
    old.open();
    fresh.open();
    await made.timeline.advance(30_000);
    expect(await deviceOf(old).words()).toEqual(released.words);
    const restored = deviceOf(fresh).restore(released.words.join(" "));
    await made.timeline.advance(30_000);
    await restored;
    const own = Object.entries(released.notes).filter(([, { body }]) => !body.includes("Ben"));
    expect(own.length).toBeGreaterThan(1);
    for (const [id, { title, body }] of own) {
      expect(await deviceOf(old).readNote(id)).toMatchObject({ title, body });
      expect(await deviceOf(fresh).readNote(id)).toMatchObject({ title, body });
    }
    for (const [id, { title, body }] of Object.entries(released.notes))
      expect(await deviceOf(old).readNote(id)).toMatchObject({ title, body });
    expect(await deviceOf(old).status()).toMatchObject({ word: "up-to-date", waiting: 0 });
  });
});

describe("a store of a newer version", () => {
  it.each(cases)("is refused with a sentence, and stays as it is ($form)", ({ released, form }) => {
    const files = released.files(form);
    const sqlite = openTables(files, form);
    migrate(sqlite, nextVersion);
    // As a crash leaves it: the newer tables stand in the log alone.
    sqlite.abandon();
    const before = files.snapshot();
    expect(before.wal.length).toBeGreaterThan(0);
    expect(() => open(files, form)).toThrow(
      "These notes were last opened by a newer version of Sealeaf. Update this one",
    );
    expect(sameBytes(files.snapshot(), before)).toBe(true);
    const newer = openTables(files, form);
    expect(versionOf(newer)).toBe(nextVersion.length);
    newer.close();
  });
});

describe("a step that is cut short", { timeout: 60_000 }, () => {
  it.each(cases)("leaves the version before it, or is done ($form)", ({ released, form }) => {
    const random = seededNumbers(11);
    let changes = 0;
    let cutShort = 0;
    for (let isDone = false; !isDone; changes += 1) {
      const files = faultyCopy(released, form, random);
      const sqlite = openTables(files, form);
      migrate(sqlite, migrations);
      files.failAfter(changes);
      try {
        migrate(sqlite, nextVersion);
        isDone = true;
      } catch {
        cutShort += 1;
      }
      sqlite.abandon();
      files.losePower();
      const after = openTables(files, form);
      const version = versionOf(after);
      expect(version).toBe(isDone ? nextVersion.length : migrations.length);
      const kept = isDone ? released.tables : contentsOf(after, released.tables);
      expect(kept).toEqual(released.tables);
      after.checkIntegrity();
      migrate(after, nextVersion);
      expect(versionOf(after)).toBe(nextVersion.length);
      after.close();
    }
    expect(cutShort).toBeGreaterThan(1);
  });
});

function sameBytes(one: FileContents, other: FileContents): boolean {
  return fileRoles.every((role) => Buffer.from(one[role]).equals(other[role]));
}

function faultyCopy(
  released: ReleasedStoreFiles,
  form: "plain" | "sealed",
  random: () => number,
): FaultyFiles {
  const files = new FaultyFiles(random);
  const contents: MemoryFiles = released.files(form);
  files.main.write(contents.main.contents(), 0);
  files.main.flush();
  return files;
}

function deviceOf(sim: SimDevice): Device {
  if (sim.running === null) throw new Error(`${sim.name} does not run`);
  return sim.running.device;
}
