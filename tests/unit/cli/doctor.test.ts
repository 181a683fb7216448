/** `sealeaf doctor` on homes on disk: what is wrong with files, keys and pages, and nothing is changed. */
import {
  chmodSync,
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { examineHome, examineOpenHome, reportOf } from "#client/cli/doctor.ts";
import type { Outcome } from "#client/cli/failure.ts";
import { noPassphrase } from "#tests/support/no-passphrase.ts";
import { releasedStores, storeKey } from "#tests/support/released-stores.ts";
import { fingerprint, inHome, makeHome, Place } from "./home-fixtures.ts";

const line = {
  home: "",
  relay: null,
  json: false,
  passphraseFile: null,
  command: { name: "doctor" },
} as const;

async function report(dir: string): Promise<Outcome> {
  return reportOf(line, await examineHome(dir, noPassphrase.passphrase));
}

function rotPage(dir: string, page: number): void {
  const path = join(dir, "main");
  const bytes = readFileSync(path);
  bytes.fill(0x55, page * 4096 + 100, page * 4096 + 164);
  writeFileSync(path, bytes);
}

const troubles: readonly (readonly [string, (dir: string) => void, RegExp])[] = [
  ["a key others may read", (dir) => chmodSync(join(dir, "key"), 0o644), /✗ Others .*: key\.$/m],
  ["an open directory", (dir) => chmodSync(dir, 0o755), /✗ Others .*: \.\.\n {2}→ chmod -R go= /],
  ["a lost key", (dir) => rmSync(join(dir, "key")), /✗ The key file .* is missing\./],
  ["a short key", (dir) => writeFileSync(join(dir, "key"), "short"), /✗ The key .* is damaged/],
  [
    "another home's key",
    (dir) => writeFileSync(join(dir, "key"), storeKey),
    /✗ .* do not open with the key file/,
  ],
  ["an empty main file", (dir) => truncateSync(join(dir, "main"), 0), /✗ The main file .* empty/],
  ["a main file cut short", (dir) => truncateSync(join(dir, "main"), 50_000), /✗ .*damaged/],
  ["no main file", (dir) => renameSync(join(dir, "main"), join(dir, "x")), /✗ The main file/],
  ["a foreign main file", (dir) => writeFileSync(join(dir, "main"), "x".repeat(9_000)), /✗ /],
];

describe("the doctor of a home", { timeout: 60_000 }, () => {
  it("finds all well, also in a home left by a crash and in one of an older version", async () => {
    using place = new Place();
    await makeHome(place.at("home"), ["One"]);
    const before = fingerprint(place.at("home"));
    const { code, stdout, stderr } = await report(place.at("home"));
    expect(stdout).toMatch(/^(✓ .*\n)+All is well\.\n$/);
    expect([code, stderr]).toEqual([0, ""]);
    expect(fingerprint(place.at("home"))).toBe(before);

    const crashed = place.at("crashed");
    await inHome(place.at("home"), async (device) => {
      await device.createNote({ title: "In the log alone" });
      cpSync(place.at("home"), crashed, { recursive: true });
    });
    rmSync(join(crashed, "lock"));
    expect(statSync(join(crashed, "wal")).size).toBeGreaterThan(0);
    const left = fingerprint(crashed);
    expect((await report(crashed)).stdout).toMatch(/✓ 2 notes;.*\nAll is well\.\n$/);
    expect(fingerprint(crashed)).toBe(left);

    const [oldest] = releasedStores();
    writeFileSync(join(crashed, "key"), storeKey);
    writeFileSync(join(crashed, "main"), oldest?.files("sealed").main.contents() ?? "");
    truncateSync(join(crashed, "wal"), 0);
    const old = fingerprint(crashed);
    const told = (await report(crashed)).stdout;
    expect(told).toMatch(/✓ The tables are of version 1; the next command brings them to \d\./);
    expect(told).toMatch(/\nAll is well\.\n$/);
    expect(fingerprint(crashed)).toBe(old);
  });

  it.each(troubles)("finds %s, says what to do, and changes nothing", async (_, harm, sentence) => {
    using place = new Place();
    await makeHome(place.at("home"), ["One"]);
    harm(place.at("home"));
    const before = fingerprint(place.dir);
    const { code, stdout } = await report(place.at("home"));
    expect(stdout).toMatch(sentence);
    expect(stdout).toMatch(/\n {2}→ \S.*\n(.*\n)*\d+ things? needs? you\.\n$/);
    expect(code).toBe(1);
    expect(fingerprint(place.dir)).toBe(before);
  });

  it("finds any damaged page, and looks at all that can still be read", async () => {
    using place = new Place();
    await makeHome(place.at("home"), ["One", "Two"]);
    const whole = readFileSync(place.at("home", "main"));
    const pages = whole.length / 4096;
    for (let page = 0; page < pages; page += 1) {
      rotPage(place.at("home"), page);
      const before = fingerprint(place.dir);
      const { code, stdout } = await report(place.at("home"));
      expect(code).toBe(1);
      expect(stdout).toMatch(/✗ .*(damaged|could not be read|do not open)/);
      expect(fingerprint(place.dir)).toBe(before);
      writeFileSync(place.at("home", "main"), whole);
    }
    expect((await report(place.at("home"))).code).toBe(0);
  });

  it("examines a home in use as it stands at that moment, also as JSON", async () => {
    using place = new Place();
    await makeHome(place.at("home"), ["One"]);
    await inHome(place.at("home"), async (device, store) => {
      await device.createNote({ title: "Two" });
      const findings = await examineOpenHome(store);
      const { stdout, code } = reportOf({ ...line, json: true }, findings);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        well: true,
        findings: expect.arrayContaining([
          { level: "well", check: "database", text: "The database is sound.", remedy: null },
        ]),
      });
      expect(stdout).toContain("2 notes;");
      await device.createNote({ title: "Three" });
    });
    expect((await report(place.at("home"))).stdout).toContain("3 notes;");
    expect(readdirSync(place.at("home")).toSorted()).toEqual(["journal", "key", "main", "wal"]);
  });
});
