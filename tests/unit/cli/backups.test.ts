/** Backup files on disk: complete or not there at all, and never in the place of something else. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { describe, expect, it } from "vitest";
import { restoreBackupFile, writeBackupFile } from "#client/cli/backups.ts";
import { backupKeyOf } from "#client/device/backup.ts";
import { Refusal } from "#client/device/refusal.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { Store } from "#crdt-store/store.ts";
import { releasedStores } from "#tests/support/released-stores.ts";
import { fingerprint, inHome, makeHome, Place } from "./home-fixtures.ts";

const zeros = `${"abandon ".repeat(23)}art`;

function backUp(home: string, file: string): Promise<void> {
  return inHome(home, async (_, store) => {
    const key = backupKeyOf(store);
    if (key === null) throw new Error("a new home keeps its backup key");
    await writeBackupFile(store, key, file);
  });
}

/** What a person is told, "" if it is done. */
async function refusalOf(work: Promise<void>): Promise<string> {
  try {
    await work;
    return "";
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
}

describe("a home restored from a backup file", { timeout: 60_000 }, () => {
  it("holds the same notes under a key of its own, for its owner alone", async () => {
    using place = new Place();
    const words = await makeHome(place.at("home"), ["One", "Two"]);
    await backUp(place.at("home"), place.at("backup"));
    await restoreBackupFile(place.at("backup"), place.at("new", "copy"), words);
    expect(readdirSync(place.at("new"))).toEqual(["copy"]);
    expect(readdirSync(place.at("new", "copy")).toSorted()).toEqual([
      "journal",
      "key",
      "main",
      "wal",
    ]);
    expect(statSync(place.at("new", "copy")).mode & 0o777).toBe(0o700);
    const key = (name: string): string => readFileSync(place.at(name, "key")).toString("hex");
    expect(key("new/copy")).not.toBe(key("home"));
    const titles = await inHome(place.at("new", "copy"), async (device) =>
      (await device.notes()).map(({ title }) => title),
    );
    expect(titles.toSorted()).toEqual(["One", "Two"]);
    expect(await refusalOf(backUp(place.at("new", "copy"), place.at("second")))).toBe("");
  });

  it("takes the place of an empty directory and of what a killed attempt left", async () => {
    using place = new Place();
    const words = await makeHome(place.at("home"), ["One"]);
    await backUp(place.at("home"), place.at("backup"));
    mkdirSync(place.at("copy"));
    mkdirSync(place.at("copy.restoring"));
    writeFileSync(place.at("copy.restoring", "main"), "half of a page");
    writeFileSync(place.at("copy.restoring", "key"), "of another attempt");
    await restoreBackupFile(place.at("backup"), place.at("copy"), words);
    expect(readdirSync(place.dir).toSorted()).toEqual(["backup", "copy", "home"]);
    expect(await inHome(place.at("copy"), (device) => device.notes())).toHaveLength(1);
  });
});

describe("a backup file", { timeout: 60_000 }, () => {
  it("that is not whole, not ours or opened with other words makes no home, in a sentence", async () => {
    using place = new Place();
    const words = await makeHome(place.at("home"), ["One"]);
    const file = place.at("backup");
    await backUp(place.at("home"), file);
    const size = statSync(file).size;
    const altered = (name: string, at: number, value: number): string => {
      const bytes = readFileSync(file);
      bytes[at] = value;
      writeFileSync(place.at(name), bytes);
      return place.at(name);
    };
    const cut = (name: string, to: number): string => {
      copyFileSync(file, place.at(name));
      truncateSync(place.at(name), to);
      return place.at(name);
    };
    const cases: readonly (readonly [string, string, RegExp])[] = [
      [cut("cut", size - 1), words, /cut is damaged or cut short; nothing of it was used/],
      [cut("half", 64 + 65_552), words, /is damaged or cut short/],
      [cut("header", 30), words, /is damaged or cut short/],
      [cut("empty", 0), words, /empty is not a backup of Sealeaf/],
      [altered("flipped", 70_000, 0x55), words, /is damaged or cut short/],
      [altered("newer", 15, 2), words, /made by a newer version of Sealeaf: install that one/],
      [place.at("home", "main"), words, /main is not a backup of Sealeaf/],
      [file, zeros, /These words do not open the backup/],
      [file, words.replace(/ \w+$/, ""), /23 words; there must be 24/],
      [place.at("none"), words, /cannot be read: there is no such place/],
      [place.dir, words, /is not a backup of Sealeaf\.$/],
    ];
    const before = fingerprint(place.dir);
    for (const [path, typed, sentence] of cases) {
      const told = await refusalOf(restoreBackupFile(path, place.at("some", "copy"), typed));
      expect(told).toMatch(sentence);
      expect(told).toMatch(/^\S[^\n]*\.$/);
    }
    expect(fingerprint(place.dir)).toBe(before);
  });

  it("of a newer store is refused, though all of it is genuine", async () => {
    using place = new Place();
    const [released] = releasedStores();
    if (released === undefined) throw new Error("no released store is committed");
    const files = released.files("plain");
    const sqlite = Sqlite.open({ engine: await loadNodeEngine(), files, codec: null });
    sqlite.run("UPDATE schema_version SET version = 1000");
    const store = new Store(sqlite, files, () => 0);
    await writeBackupFile(store, backupKeyOf(store) ?? new Uint8Array(), place.at("backup"));
    store.close();
    const before = fingerprint(place.dir);
    const words = released.words.join(" ");
    const told = await refusalOf(restoreBackupFile(place.at("backup"), place.at("copy"), words));
    expect(told).toMatch(/made by a newer version of Sealeaf: install that one\.$/);
    expect(fingerprint(place.dir)).toBe(before);
  });

  it("never takes the place of another file or home, nor leaves a part of itself", async () => {
    using place = new Place();
    const words = await makeHome(place.at("home"), ["One"]);
    await backUp(place.at("home"), place.at("backup"));
    const before = fingerprint(place.dir);
    expect(await refusalOf(backUp(place.at("home"), place.at("backup")))).toMatch(
      /exists already and is left as it is/,
    );
    expect(await refusalOf(backUp(place.at("home"), place.at("no", "place")))).toMatch(
      /could not be written: there is no such place/,
    );
    expect(await refusalOf(backUp(place.at("home"), place.at("backup", "x")))).toMatch(
      /could not be written: a part of its path is not a directory/,
    );
    const restore = (dir: string) => refusalOf(restoreBackupFile(place.at("backup"), dir, words));
    expect(await restore(place.at("home"))).toMatch(/is not empty, and nothing in it was changed/);
    expect(await restore(place.at("backup", "home"))).toMatch(/could not be made/);
    expect(fingerprint(place.dir)).toBe(before);
    expect(existsSync(place.at("backup.part"))).toBe(false);
  });
});
