/** The relay as it is shipped: a folder and Node, run by nobody in particular, from an empty directory. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { build } from "vite";
import { standaloneRelay } from "#relay/packaging/standalone.ts";
import { RawClient } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const root = resolve(import.meta.dirname, "../..");
/** Debian's nobody: who runs as root drops to it. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;
const user = isRoot ? { uid: nobody, gid: nobody } : {};

describe("the shipped relay", () => {
  let dir = "";
  let program = "";
  beforeAll(async () => {
    await build({ configFile: false, logLevel: "error", ...standaloneRelay(root) });
    dir = mkdtempSync(join(tmpdir(), "sealeaf-standalone-"));
    chmodSync(dir, 0o755);
    // Away from every node_modules.
    cpSync(join(root, "dist/relay"), join(dir, "relay"), { recursive: true });
    for (const name of ["empty", "data"]) mkdirSync(join(dir, name));
    if (isRoot) chownSync(join(dir, "data"), nobody, nobody);
    program = join(dir, "relay/program/sealeaf-relay.js");
  }, 60_000);
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  function started(...args: readonly string[]): ChildProcess {
    return spawn(process.execPath, [program, ...args], {
      ...user,
      cwd: join(dir, "empty"),
      env: { PATH: "/usr/bin:/bin", SEALEAF_DATA: join(dir, "data"), SEALEAF_KEEP_FREE: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
  }

  it("serves the app and keeps entries, needs no package, and writes to its data directory alone", async () => {
    const begun = performance.now();
    const child = started("serve", "--port", "0");
    let address = "";
    if (child.stdout === null) throw new Error("its output is piped");
    for await (const line of createInterface({ input: child.stdout })) {
      address = /^Sealeaf is ready at (http:\S+)$/.exec(line)?.[1] ?? "";
      if (address !== "") break;
    }
    console.log(`ready after ${Math.round(performance.now() - begun)} ms`);
    expect(await (await fetch(address)).text()).toContain("<title>Sealeaf</title>");
    const about: unknown = await (await fetch(`${address}/relay.json`)).json();
    expect(about).toMatchObject({ name: "sealeaf", version: version() });
    const client = await RawClient.connect(`${address.replace("http", "ws")}/v1`);
    const space = new TestSpace("shipped");
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    expect((await client.push(device.entry()))[0]?.status).toBe(0);
    await client.close();
    const asked = spawnSync(
      process.execPath,
      [program, "healthcheck", "--port", new URL(address).port],
      {
        ...user,
        encoding: "utf8",
        env: { PATH: "/usr/bin:/bin" },
      },
    );
    expect(asked).toMatchObject({ status: 0, stdout: "ready\n" });
    child.kill("SIGTERM");
    const [code] = (await once(child, "exit")) as [number | null];
    expect(code).toBe(0);
    expect(readdirSync(join(dir, "empty"))).toEqual([]);
    expect(readdirSync(join(dir, "data")).toSorted()).toEqual(["relay.db", "relay.lock"]);
  });

  it("checks what it has kept", async () => {
    const child = started("verify");
    let said = "";
    child.stdout?.on("data", (data: Buffer) => (said += data.toString()));
    await once(child, "close");
    expect(said).toBe("All is well (spaces: 1, positions: 3, chunks: 0).\n");
  });

  function version(): string {
    const asked = spawnSync(process.execPath, [program, "--version"], { encoding: "utf8" });
    return asked.stdout.trim();
  }
});
