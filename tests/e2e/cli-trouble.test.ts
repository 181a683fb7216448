/** What the command line says when something is wrong: one sentence, the right exit code, nothing lost. */
import {
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { WebSocketServer } from "ws";
import { describe, expect, it } from "vitest";
import { Home, run, Watch, type Ran } from "#tests/support/cli.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import { startTcpProxy } from "#tests/support/tcp-proxy.ts";

/** A failure as it must look: nothing on standard output, one line on standard error. */
function expectFailure(ran: Ran, code: number, sentence: RegExp): void {
  expect(ran.stdout).toBe("");
  expect(ran.stderr).toMatch(/^\S[^\n]*[.?]\n$/);
  expect(ran.stderr).toMatch(sentence);
  expect(ran.code).toBe(code);
}

function everythingIn(dir: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(dir).map((name) => [name, readFileSync(join(dir, name)).toString("base64")]),
  );
}

describe.concurrent("wrong commands", () => {
  it("are refused as usage, and an empty home is left uncreated", async () => {
    using home = new Home();
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [["--home", home.dir], /Which command/],
      [["--home", home.dir, "lss"], /no command “lss”/],
      [["ls"], /Say --home DIR/],
      [["--home", home.dir, "--colour", "ls"], /--colour/],
      [["--home", home.dir, "--relay", "nonsense", "init"], /“nonsense” is not the address/],
      [["--home", home.dir, "--json", "sync", "--timeout", "soon"], /number of seconds/],
    ];
    const ran = await Promise.all(wrong.map(([args]) => run(args)));
    for (const [ix, one] of ran.entries()) expectFailure(one, 2, wrong[ix]?.[1] ?? /never/);
    expectFailure(await home.run(["--json", "ls"]), 1, /home .* is empty. Run init/);
    expect(() => statSync(home.dir)).toThrow("ENOENT");
  });

  it("say what is not there, in a home that is in order", async () => {
    using home = new Home();
    await home.init();
    // Served, they can run at the same time.
    await using _watch = await Watch.start(home);
    const refusals: readonly (readonly [readonly string[], RegExp])[] = [
      [["cat", "91wM7FpvzfC2iSPD7oJZH6gQWXe"], /no such note/],
      [["--json", "edit", "nonsense"], /no such note/],
      [["new", "--notebook", "ab"], /no such notebook/],
      [["share"], /knows no relay yet. Say --relay/],
      [["--json", "init"], /has an identity already/],
      [["name", " "], /visible character/],
      [["join", "https://example.com/#a.b.c"], /not a Sealeaf link/],
    ];
    const ran = await Promise.all(refusals.map(([args]) => home.run(args)));
    for (const [ix, one] of ran.entries()) expectFailure(one, 1, refusals[ix]?.[1] ?? /never/);
    expectFailure(await home.run(["new"], Buffer.from([0xff, 0xfe, 0x00])), 1, /not UTF-8/);
    expect(await home.list()).toEqual([]);
  });
});

describe.concurrent("a home", () => {
  it("keeps everything for its owner, whatever the umask", async () => {
    using home = new Home();
    const mask = process.umask(0);
    try {
      await home.init();
      await using watch = await Watch.start(home);
      const modes = Object.fromEntries(
        readdirSync(home.dir).map((name) => [name, statSync(join(home.dir, name)).mode & 0o777]),
      );
      expect(modes).toEqual({
        key: 0o600,
        main: 0o600,
        wal: 0o600,
        journal: 0o600,
        lock: 0o600,
        socket: 0o600,
      });
      expect(statSync(home.dir).mode & 0o777).toBe(0o700);
      expect(await watch.stop("SIGINT")).toBe(0);
    } finally {
      process.umask(mask);
    }
  });

  it("that cannot be made is explained", async () => {
    using home = new Home();
    await home.init();
    const below = new Home(join(home.dir, "key", "home"));
    const ran = await below.run(["init"]);
    expect(ran.code).toBe(1);
    expectFailure(ran, 1, /cannot be used: .*not a directory/);
  });

  it("that is damaged stays as it is, and says which part", async () => {
    using home = new Home();
    await home.init();
    const id = await home.write("Kept", "text");
    const key = join(home.dir, "key");
    const main = join(home.dir, "main");
    const kept = readFileSync(main);

    const refusedUnchanged = async (sentence: RegExp): Promise<void> => {
      const before = everythingIn(home.dir);
      expectFailure(await home.run(["--json", "ls"]), 1, sentence);
      expect(everythingIn(home.dir)).toEqual(before);
    };
    truncateSync(main, kept.length - 5_000);
    await refusedUnchanged(/are damaged. Nothing was deleted/);
    writeFileSync(main, "SQLite format 3\0 of somebody else".padEnd(8_192, "\0"));
    await refusedUnchanged(/do not open with the key/);
    writeFileSync(main, kept);
    renameSync(key, `${key}.away`);
    await refusedUnchanged(/key file .* is missing/);
    writeFileSync(key, "short");
    await refusedUnchanged(/key file .* is damaged/);
    renameSync(`${key}.away`, key);
    expect((await home.read(id)).body).toBe("text");
  });

  it("serves commands that are started together, one after the other", async () => {
    using home = new Home();
    await home.init();
    const titles = ["a", "b", "c"];
    await Promise.all(titles.map((title) => home.write(title, "")));
    expect((await home.list()).map(({ title }) => title).toSorted()).toEqual(titles);
  });
});

describe.concurrent("watch", () => {
  it("serves its home, is alone in it, and is taken over when it was killed", async () => {
    using home = new Home();
    await home.init();
    {
      await using watch = await Watch.start(home);
      expect(watch.events[0]).toEqual({ type: "watching", relay: null });
      const id = await home.write("Through the socket", "🌿");
      await watch.seen(({ type }) => type === "notes");
      expect((await home.read(id)).body).toBe("🌿");
      expectFailure(await home.run(["watch"]), 1, /being watched already/);
      expectFailure(await home.run(["--json", "cat", "x"]), 1, /no such note/);
      // Both stay behind: nothing tidies up after a kill.
      expect(await watch.stop("SIGKILL")).toBeNull();
      expect(readdirSync(home.dir)).toEqual(expect.arrayContaining(["lock", "socket"]));
    }
    expect(await home.list()).toHaveLength(1);
    await using again = await Watch.start(home);
    expect(await home.list()).toHaveLength(1);
    expect(await again.stop("SIGTERM")).toBe(0);
    expect(readdirSync(home.dir)).not.toContain("lock");
  });

  it("ends when nobody reads its events any more", async () => {
    using home = new Home();
    await home.init();
    await using watch = await Watch.start(home);
    watch.child.stdout?.destroy();
    // The next event finds the pipe closed.
    await home.write("Unheard", "");
    await watch.ended;
    expect(watch.child.exitCode).toBe(0);
    expect(readdirSync(home.dir)).not.toContain("lock");
    expect(await home.list()).toHaveLength(1);
  });

  it("goes on without serving where the path leaves no room for a socket", async () => {
    using parent = new Home();
    const home = new Home(join(parent.dir, "x".repeat(100)));
    await home.init();
    await using watch = await Watch.start(home);
    expect(watch.stderr).toMatch(/too long for a socket/);
    expectFailure(await home.run(["ls"]), 1, /in use by process \d+/);
    expect(await watch.stop("SIGTERM")).toBe(0);
    expect(await home.list()).toEqual([]);
  });
});

describe.concurrent("a relay", () => {
  it("that is away or silent ends sync with what waits, and nothing else touches it", async () => {
    const relay = await startTestRelay();
    await using proxy = await startTcpProxy(relay.port);
    using home = new Home();
    await home.init(`http://127.0.0.1:${proxy.port}`);
    await home.write("Waits", "");
    await home.list();
    expect(proxy.accepted()).toBe(0);
    expectFailure(
      await home.run(["--relay", relay.httpUrl, "ls"]),
      1,
      /own relay is .* Leave --relay out/,
    );

    proxy.setMode("cut");
    expectFailure(await home.run(["sync"]), 3, /cannot be reached.* \d changes wait to be sent/);
    expectFailure(await home.run(["join", linkAt(proxy.port)]), 3, /cannot be reached/);
    proxy.setMode("swallow");
    const silent = await home.run(["--json", "sync", "--timeout", "0.5"]);
    expect(silent.code).toBe(3);
    expect(silent.stderr).toMatch(/in time. \d changes wait to be sent\.\n$/);
    expect(JSON.parse(silent.stdout)).toMatchObject({ connected: false });
    proxy.setMode("pass");
    expect(await home.json(["sync"])).toMatchObject({ word: "up-to-date", waiting: 0 });
    expect((await home.list())[0]?.state).toBe("on-relay");
    await relay.stop();
  });

  it("that is not Sealeaf is called so", async () => {
    const web = createServer((_, response) => response.end("hello"));
    const echoing = createServer();
    const echo = new WebSocketServer({ server: echoing, handleProtocols: () => "sealeaf.v1" });
    echo.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    const foreign = createServer();
    const otherProtocol = new WebSocketServer({ server: foreign, handleProtocols: () => false });
    const gateway = createServer((_, response) => response.writeHead(502).end());
    const expected = [
      [web, /does not speak like a Sealeaf relay/],
      [echoing, /not a Sealeaf relay/],
      [foreign, /does not speak like a Sealeaf relay/],
      [gateway, /cannot be reached/],
    ] as const;
    for (const [server, sentence] of expected) {
      using home = new Home();
      await home.init(`http://127.0.0.1:${await portOf(server)}`);
      const { code, stderr } = await home.run(["sync"]);
      expect(stderr).toMatch(sentence);
      expect(code).toBe(3);
    }
    for (const [server] of expected) {
      server.closeAllConnections();
      server.close();
    }
    for (const socket of [...echo.clients, ...otherProtocol.clients]) socket.terminate();
  });

  it("has no notebook for a damaged link, and nothing under other words", async () => {
    const relay = await startTestRelay();
    using ana = new Home();
    using ben = new Home();
    await Promise.all([ana.init(relay.httpUrl), ben.init(relay.httpUrl)]);
    const { link } = await ana.json<{ link: string }>(["share", "--role", "read"]);
    await ana.json(["sync"]);
    const changed = link.replace(/#1r\.(.)/, (_, first) => `#1r.${first === "A" ? "B" : "A"}`);
    const refusals: readonly (readonly [string, RegExp])[] = [
      [link.slice(0, -3), /damaged/],
      [changed, /does not open the notebook/],
      [linkAt(relay.port), /not at its relay/],
    ];
    for (const [bad, sentence] of refusals) {
      expectFailure(await ben.run(["join", bad]), 1, sentence);
    }
    await ben.json(["join", link]);

    // A link whose relay was changed leads nowhere, and leaves no trace.
    using cem = new Home();
    await cem.init();
    const relayOfNobody = Buffer.from("ws://127.0.0.1:9/v1").toString("base64url");
    const elsewhere = link.replace(/[.][^.]*$/, `.${relayOfNobody}`);
    expectFailure(await cem.run(["join", elsewhere]), 3, /cannot be reached/);
    await cem.json(["join", link]);
    expect(await cem.json(["status"])).toMatchObject({ relay: new URL(relay.url).host });

    using empty = new Home();
    const zeros = `${"abandon ".repeat(23)}art`;
    const wrong: readonly (readonly [string, RegExp])[] = [
      [zeros.replace("art", "arte"), /Word 24 .*not in the list/],
      [zeros.replace("art", "zoo"), /do not belong together/],
      [zeros.replace("abandon ", ""), /23 words/],
      [zeros, /nothing was found under them/],
    ];
    for (const [words, sentence] of wrong) {
      const ran = await empty.run(["--json", "--relay", relay.httpUrl, "restore"], words);
      expectFailure(ran, 1, sentence);
    }
    // A relay that led nowhere is not remembered.
    expect(await empty.json(["init"])).toMatchObject({ relay: null });
    await relay.stop();
  });
});

/** A link of the right shape to a notebook that nobody has. */
function linkAt(port: number): string {
  return `http://127.0.0.1:${port}/#1e.${"A".repeat(43)}.${"A".repeat(43)}`;
}

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return (server.address() as AddressInfo).port; // listening on TCP
}
