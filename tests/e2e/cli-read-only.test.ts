/** A home, and places for backups, that cannot be written to: one sentence, and nothing is changed. */
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Home, runWithoutPrivileges } from "#tests/support/cli.ts";
import { fingerprint } from "#tests/unit/cli/home-fixtures.ts";

describe("where nothing can be written", { timeout: 120_000 }, () => {
  it("each command says so, the doctor still examines, and every byte stays", async () => {
    using place = new Home();
    const home = new Home(place.dir);
    await home.init();
    await home.write("One", "text");
    const dir = join(place.dir, "..");
    const file = join(dir, "backup");
    expect((await home.run(["backup", file])).code).toBe(0);
    const closed = join(dir, "closed");
    mkdirSync(closed, { mode: 0o500 });
    for (const name of readdirSync(home.dir)) chmodSync(join(home.dir, name), 0o400);
    chmodSync(home.dir, 0o500);
    const before = fingerprint(dir);
    const at = (where: string, ...args: string[]) =>
      runWithoutPrivileges(["--home", where, ...args]);
    const refused = [
      [at(home.dir, "ls"), /^The home .* cannot be used: permission denied \(.*\)\.\n$/],
      [at(home.dir, "new"), /^The home .* cannot be used: permission denied \(.*\)\.\n$/],
      [at(join(closed, "home"), "init"), /^The home .* cannot be used: permission denied/],
    ] as const;
    for (const [ran, sentence] of refused) {
      expect(ran).toMatchObject({ code: 1, stdout: "" });
      expect(ran.stderr).toMatch(sentence);
    }
    const doctor = at(home.dir, "doctor");
    expect(doctor.stdout).toMatch(/✗ Nothing can be written in .*: permission denied\.\n {2}→ /);
    expect(doctor.stdout).toMatch(/✓ 1 note;.*\n1 thing needs you\.\n$/);
    expect(doctor).toMatchObject({ code: 1, stderr: "" });
    expect(fingerprint(dir)).toBe(before);

    chmodSync(home.dir, 0o700);
    for (const name of readdirSync(home.dir)) chmodSync(join(home.dir, name), 0o600);
    const unwritten = at(home.dir, "backup", join(closed, "backup"));
    expect(unwritten.stderr).toMatch(/^The backup .* could not be written: permission denied\.\n$/);
    expect(unwritten).toMatchObject({ code: 1, stdout: "" });
    expect(readdirSync(closed)).toEqual([]);
  });
});
