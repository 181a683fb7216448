/** A home with a passphrase: set, asked for, changed, removed; who may read its key; who may have it open. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  linkSync,
  openSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { Home, Watch, type Ran } from "#tests/support/cli.ts";

const first = "four wet green leaves";
const second = "five dry brown leaves";

function expectFailure(ran: Ran, sentence: RegExp): void {
  expect(ran.stdout).toBe("");
  expect(ran.stderr).toMatch(/^\S[^\n]*[.]\n$/);
  expect(ran.stderr).toMatch(sentence);
  expect(ran.code).toBe(1);
}

function everythingIn(dir: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(dir).map((name) => [name, readFileSync(join(dir, name)).toString("base64")]),
  );
}

function keyOf(home: Home): Buffer {
  return readFileSync(join(home.dir, "key"));
}

/** A file with the passphrase in it, outside the home. */
function passphraseFile(home: Home, name: string, passphrase: string): string {
  const path = `${home.dir}.${name}`;
  writeFileSync(path, `${passphrase}\n`, { mode: 0o600 });
  return path;
}

describe.concurrent("a home with a passphrase", () => {
  it("opens with it and with nothing else, and its database is not rewritten", async () => {
    using home = new Home();
    await home.init();
    const id = await home.write("Kept", "text");
    const bare = keyOf(home);
    const main = readFileSync(join(home.dir, "main"));
    expectFailure(await home.run(["passphrase", "set"], "short\n"), /at least 8 characters/);
    expectFailure(await home.run(["passphrase", "set"], ""), /Standard input ends/);
    expect(keyOf(home)).toEqual(bare);
    expect(await home.json(["passphrase", "set"], `${first}\n`)).toEqual({ hasPassphrase: true });
    expect(statSync(join(home.dir, "key")).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(home.dir, "main"))).toEqual(main);
    for (const contents of Object.values(everythingIn(home.dir))) {
      const bytes = Buffer.from(contents, "base64");
      expect(bytes.includes(bare)).toBe(false);
      expect(bytes.includes(first)).toBe(false);
    }

    const before = everythingIn(home.dir);
    expectFailure(await home.run(["ls"]), /locked with a passphrase.*--passphrase-file/);
    const wrong = passphraseFile(home, "wrong", second);
    expectFailure(
      await home.run(["--passphrase-file", wrong, "ls"]),
      /does not open this home. Nothing was changed/,
    );
    expectFailure(
      await home.run(["--passphrase-file", join(home.dir, "none"), "ls"]),
      /passphrase file .* cannot be read \(ENOENT\)/,
    );
    expect(everythingIn(home.dir)).toEqual(before);
    const right = passphraseFile(home, "right", first);
    const read = await home.run(["--passphrase-file", right, "cat", id]);
    expect(read).toEqual({ code: 0, stdout: "text", stderr: "" });
  });

  it("is changed and removed with the one before", async () => {
    using home = new Home();
    await home.init();
    const id = await home.write("Kept", "text");
    const bare = keyOf(home);
    expectFailure(await home.run(["passphrase", "change"], `${first}\n${second}\n`), /has no pass/);
    expectFailure(await home.run(["passphrase", "remove"], `${first}\n`), /has no passphrase/);
    await home.json(["passphrase", "set"], first);
    expectFailure(await home.run(["passphrase", "set"], second), /has a passphrase already/);

    const before = everythingIn(home.dir);
    expectFailure(await home.run(["passphrase", "change"], `${second}\n${first}\n`), /does not op/);
    expectFailure(await home.run(["passphrase", "change"], `${first}\nshort\n`), /at least 8/);
    expectFailure(await home.run(["passphrase", "change"], `${first}\n`), /ends before the new/);
    expectFailure(await home.run(["passphrase", "remove"], `${second}\n`), /does not open/);
    expect(everythingIn(home.dir)).toEqual(before);

    await home.json(["passphrase", "change"], `${first}\n${second}\n`);
    expectFailure(await home.run(["passphrase", "remove"], `${first}\n`), /does not open/);
    const file = passphraseFile(home, "second", second);
    await home.json(["--passphrase-file", file, "passphrase", "remove"]);
    expect(keyOf(home)).toEqual(bare);
    expect((await home.read(id)).body).toBe("text");
  });

  it("serves its other commands without asking while it is watched", async () => {
    using home = new Home();
    await home.init();
    await home.json(["passphrase", "set"], first);
    const file = passphraseFile(home, "first", first);
    await using watch = await Watch.start(home, ["--passphrase-file", file]);
    const id = await home.write("Through the socket", "text");
    await home.json(["passphrase", "change"], `${first}\n${second}\n`);
    expectFailure(await home.run(["passphrase", "change"], `${first}\n${second}\n`), /does not op/);
    expect((await home.read(id)).body).toBe("text");
    expect(await watch.stop("SIGTERM")).toBe(0);
    expectFailure(await home.run(["--passphrase-file", file, "ls"]), /does not open/);
    const changed = passphraseFile(home, "second", second);
    expect((await home.run(["--passphrase-file", changed, "cat", id])).stdout).toBe("text");
  });

  it("stays as it is when its key is damaged", async () => {
    using home = new Home();
    await home.init();
    await home.json(["passphrase", "set"], first);
    const file = passphraseFile(home, "first", first);
    const key = join(home.dir, "key");
    const kept = readFileSync(key);
    const damages: readonly (readonly [Buffer, RegExp])[] = [
      [kept.subarray(0, 60), /key file .* is damaged/],
      [Buffer.from(kept).fill(0, 60, 61), /does not open this home/],
      [Buffer.from(kept).fill(9, 4, 5), /newer version/],
    ];
    for (const [damaged, sentence] of damages) {
      writeFileSync(key, damaged);
      const before = everythingIn(home.dir);
      expectFailure(await home.run(["--passphrase-file", file, "ls"]), sentence);
      expect(everythingIn(home.dir)).toEqual(before);
    }
    writeFileSync(key, kept);
    expect((await home.run(["--passphrase-file", file, "ls"])).code).toBe(0);
  });
});

describe.concurrent("a key file", () => {
  it("that others could read is closed to them, and not in silence", async () => {
    using home = new Home();
    await home.init();
    chmodSync(join(home.dir, "key"), 0o644);
    const ran = await home.run(["ls"]);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toMatch(/Others could read the key file .* from now on only you can/);
    expect(statSync(join(home.dir, "key")).mode & 0o777).toBe(0o600);
    expect((await home.run(["ls"])).stderr).toBe("");
  });

  it("is overwritten when a passphrase takes its place, but not where it has a second name", async () => {
    using home = new Home();
    await home.init();
    const bare = keyOf(home);
    const old = openSync(join(home.dir, "key"), "r");
    await home.json(["passphrase", "set"], first);
    const left = readFileSync(old);
    closeSync(old);
    expect(left).toHaveLength(bare.length);
    expect(left).not.toEqual(bare);
    await home.json(["passphrase", "remove"], first);

    const backup = `${home.dir}.backup`;
    linkSync(join(home.dir, "key"), backup);
    await home.json(["passphrase", "set"], first);
    expect(readFileSync(backup)).toEqual(bare);
  });
});

describe.concurrent("one home", () => {
  it("is never open in two processes, however many start at once, also after a kill", async () => {
    using home = new Home();
    await home.init();
    {
      await using watch = await Watch.start(home);
      await watch.stop("SIGKILL");
    }
    // All find the same stale lock in the same moment. Two in one store would damage it or lose notes; whoever
    // waited too long for its turn says so.
    const titles = Array.from({ length: 6 }, (_, number) => `note ${number}`);
    const ran = await Promise.all(
      titles.map(async (title) => ({ title, ...(await home.run(["new", "--title", title], "")) })),
    );
    const written = ran.filter(({ code }) => code === 0).map(({ title }) => title);
    expect(written).not.toEqual([]);
    const others = ran.filter(({ code }) => code !== 0).map(({ stderr }) => stderr);
    expect(others.filter((stderr) => !stderr.includes("are in use by"))).toEqual([]);
    expect((await home.list()).map(({ title }) => title).toSorted()).toEqual(written);
  });

  it("has one watch when several are started in the same moment", async () => {
    using home = new Home();
    await home.init();
    const program = resolve(import.meta.dirname, "../../dist/sealeaf.js");
    const watches = Array.from({ length: 3 }, () =>
      spawn(process.execPath, [program, "--home", home.dir, "watch"], { stdio: "pipe" }),
    );
    const ends = watches.map((watch) => once(watch, "close"));
    const began = watches.map((watch, number) =>
      Promise.race([
        once(watch.stdout, "data").then(() => ({ number, watches: true })),
        once(watch.stderr, "data").then(() => ({ number, watches: false })),
      ]),
    );
    const results = await Promise.all(began);
    const [running, ...others] = results.filter((result) => result.watches);
    expect(others).toEqual([]);
    watches[running?.number ?? 0]?.kill("SIGTERM");
    await Promise.all(ends);
    const codes = watches.map(({ exitCode }) => exitCode ?? -1);
    expect(codes.toSorted((a, b) => a - b)).toEqual([0, 1, 1]);
  });
});
