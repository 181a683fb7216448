/** Moving a home with the commands themselves: backup, restore-backup and doctor, alone and beside a running watch. */
import { mkdirSync, readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Home, Watch } from "#tests/support/cli.ts";
import { releasedStores, storeKey } from "#tests/support/released-stores.ts";
import { inHome } from "#tests/unit/cli/home-fixtures.ts";
import { startTestRelay } from "#tests/support/relay.ts";

describe("a backup", { timeout: 180_000 }, () => {
  it("makes a home that goes on beside its original: both end with everything", async () => {
    const relay = await startTestRelay();
    using place = new Home();
    const home = new Home(place.dir);
    const words = await home.init(relay.httpUrl);
    const shared = await home.write("Shared", "root");
    await home.json(["sync"]);
    const unsent = await home.write("Unsent", "written offline");
    const file = join(place.dir, "..", "backup");
    expect(await home.json(["backup", file])).toEqual({ file });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const later = await home.write("Later", "after the backup");
    await home.run(["edit", shared], "root original");

    const copy = new Home(join(place.dir, "..", "copy"));
    const restored = await copy.json(["restore-backup", file], words);
    expect(restored).toEqual({ home: copy.dir, file });
    expect((await copy.list()).map(({ title }) => title).toSorted()).toEqual(["Shared", "Unsent"]);
    await copy.run(["edit", shared], "root copy");
    const own = await copy.write("Of the copy", "");
    for (const one of [home, copy, home]) {
      expect(await one.json(["sync"])).toMatchObject({ word: "up-to-date", waiting: 0 });
    }
    const [body, sameBody] = [(await home.read(shared)).body, (await copy.read(shared)).body];
    expect(body).toBe(sameBody);
    for (const word of ["root", "original", "copy"]) expect(body.split(word)).toHaveLength(2);
    for (const one of [home, copy]) {
      const ids = (await one.list()).map(({ id }) => id);
      expect(ids.toSorted()).toEqual([shared, unsent, later, own].toSorted());
    }
    expect((await copy.run(["doctor"])).stdout).toMatch(/\nAll is well\.\n$/);
    await relay.stop();
  });

  it("and an examination are had of a running watch, relative to where they were asked for", async () => {
    using place = new Home();
    const home = new Home(place.dir);
    await home.init();
    await using watch = await Watch.start(home);
    const dir = join(place.dir, "..");
    const ran = await home.run(["backup", "served"], "", dir);
    expect(ran).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(dir)).toContain("served");
    const again = await home.run(["backup", "served"], "", dir);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toMatch(/^.*served exists already.*\n$/);
    expect((await home.run(["doctor"])).stdout).toMatch(/^✓ A running watch.*\nAll is well\.\n$/s);
    expect(await watch.stop("SIGTERM")).toBe(0);
  });

  it("wants the words once where no key is kept, and is refused if it is cut short", async () => {
    using place = new Home();
    const dir = join(place.dir, "..");
    const [oldest] = releasedStores();
    if (oldest === undefined) throw new Error("no released store is committed");
    const words = oldest.words.join(" ");
    const old = new Home(place.dir);
    mkdirSync(old.dir, { mode: 0o700 });
    writeFileSync(join(old.dir, "key"), storeKey, { mode: 0o600 });
    writeFileSync(join(old.dir, "main"), oldest.files("sealed").main.contents());
    // Version 0.1 kept no key, and its owner has put the words away.
    await inHome(old.dir, (device) => device.confirmWords());
    const [first, cut] = [join(dir, "first"), join(dir, "cut")];
    const asked = await old.run(["backup", first]);
    expect(asked).toMatchObject({ code: 1, stdout: "" });
    expect(asked.stderr).toMatch(/^This home began .* 24 words once, on standard input\.\n/);
    expect((await old.run(["backup", first], words)).code).toBe(0);
    expect((await old.run(["backup", cut])).code).toBe(0);
    truncateSync(cut, 70_000);
    const copy = new Home(join(dir, "copy"));
    const refused = await copy.run(["restore-backup", cut], words);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^The backup .*cut is damaged or cut short;.*\.\n$/);
    expect(readdirSync(dir).toSorted()).toEqual(["cut", "first", "home"]);
    expect((await copy.run(["restore-backup", first], words)).code).toBe(0);
    for (const [id, { body }] of Object.entries(oldest.notes))
      expect((await copy.read(id)).body).toBe(body);
  });
});
