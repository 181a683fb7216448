/** A home with a passphrase as people use it, and who may have a home open. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
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

function everythingIn(dir: string): Record<string, Buffer> {
  return Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name))]));
}

/** A file with the passphrase in it, beside the home. */
function passphraseFile(home: Home, name: string, passphrase: string): string {
  const path = `${home.dir}.${name}`;
  writeFileSync(path, `${passphrase}\n`, { mode: 0o600 });
  return path;
}

describe("a home with a passphrase", () => {
  it("opens with it and with nothing else, and its database is not rewritten", async () => {
    using home = new Home();
    await home.init();
    const id = await home.write("Kept", "text");
    const { key: bare, main } = everythingIn(home.dir);
    expect(await home.json(["passphrase", "set"], `${first}\n`)).toEqual({ hasPassphrase: true });
    const locked = everythingIn(home.dir);
    expect(locked["main"]).toEqual(main);
    for (const bytes of Object.values(locked)) {
      expect(bytes.includes(bare ?? "")).toBe(false);
      expect(bytes.includes(first)).toBe(false);
    }

    expectFailure(await home.run(["ls"]), /locked with a passphrase.*--passphrase-file/);
    const wrong = passphraseFile(home, "wrong", second);
    const refused = await home.run(["--passphrase-file", wrong, "ls"]);
    expectFailure(refused, /does not open this home. Nothing was changed/);
    expectFailure(await home.run(["passphrase", "remove"], `${second}\n`), /does not open/);
    expect(everythingIn(home.dir)).toEqual(locked);

    const right = passphraseFile(home, "right", first);
    const read = await home.run(["--passphrase-file", right, "cat", id]);
    expect(read).toEqual({ code: 0, stdout: "text", stderr: "" });
    await home.json(["--passphrase-file", right, "passphrase", "remove"]);
    expect(everythingIn(home.dir)["key"]).toEqual(bare);
  });

  it("serves its other commands without asking while it is watched", async () => {
    using home = new Home();
    await home.init();
    await home.json(["passphrase", "set"], first);
    const file = passphraseFile(home, "first", first);
    await using watch = await Watch.start(home, ["--passphrase-file", file]);
    const id = await home.write("Through the socket", "text");
    await home.json(["passphrase", "change"], `${first}\n${second}\n`);
    expect((await home.read(id)).body).toBe("text");
    expect(await watch.stop("SIGTERM")).toBe(0);
    expectFailure(await home.run(["--passphrase-file", file, "ls"]), /does not open/);
    const changed = passphraseFile(home, "second", second);
    expect((await home.run(["--passphrase-file", changed, "cat", id])).stdout).toBe("text");
  });
});

describe("one home", () => {
  it("is never open in two processes, however many start at once, also after a kill", async () => {
    using home = new Home();
    await home.init();
    {
      await using watch = await Watch.start(home);
      await watch.stop("SIGKILL");
    }
    // All find the same stale lock in the same moment. Two in one store would damage it or lose notes; whoever
    // waited too long for its turn says so.
    const titles = ["a", "b", "c", "d"];
    const ran = await Promise.all(
      titles.map(async (title) => ({ title, ...(await home.run(["new", "--title", title])) })),
    );
    const written = ran.filter(({ code }) => code === 0).map(({ title }) => title);
    const others = ran.filter(({ code }) => code !== 0).map(({ stderr }) => stderr);
    expect(written).not.toEqual([]);
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
    const began = await Promise.all(
      watches.map((watch) =>
        Promise.race([
          once(watch.stdout, "data").then(() => watch),
          once(watch.stderr, "data").then(() => null),
        ]),
      ),
    );
    const running = began.filter((watch) => watch !== null);
    expect(running).toHaveLength(1);
    running[0]?.kill("SIGTERM");
    await Promise.all(ends);
    const codes = watches.map(({ exitCode }) => exitCode ?? -1);
    expect(codes.toSorted((a, b) => a - b)).toEqual([0, 1, 1]);
  });
});
