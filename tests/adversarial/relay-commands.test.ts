/** The commands of the built program, beside a relay that serves, and each mistake one can make with them. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "@photostructure/sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseBase64url } from "#relay/protocol/bytes.ts";
import {
  buildRelay,
  endProcess,
  runRelayProgram,
  startRelayProcess,
  type BuiltRelay,
  type Ended,
  type RelayProcess,
} from "#tests/support/built-relay.ts";
import { RawClient } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

describe("the program's commands", () => {
  let built: BuiltRelay;
  let dir = "";
  let relay: RelayProcess;
  let settings: Record<string, string>;
  const space = new TestSpace("operated");
  const device = new TestDevice(space, "laptop");
  beforeAll(async () => {
    built = await buildRelay();
    dir = mkdtempSync(join(tmpdir(), "sealeaf-commands-"));
    settings = { SEALEAF_DATA: join(dir, "data"), SEALEAF_PORT: "0", SEALEAF_KEEP_FREE: "0" };
    relay = await startRelayProcess(built.program, settings);
    settings["SEALEAF_PORT"] = new URL(relay.httpUrl).port;
    const client = await RawClient.connect(relay.url);
    await client.createSpace(space);
    await client.certify(device);
    await client.push(device.entry(), device.entry());
    await client.close();
  }, 60_000);
  afterAll(async () => {
    await endProcess(relay.child, "SIGTERM");
    built.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  function run(args: string, more: Record<string, string> = {}): Promise<Ended> {
    return runRelayProgram(built.program, args.split(" "), { ...settings, ...more });
  }

  it("shows what is set, and no password", async () => {
    const { code, output } = await run("config check --guests off", {
      SEALEAF_STORE: "postgres://relay:s3cret@db/sealeaf",
    });
    expect(code).toBe(0);
    expect(output).toMatch(/^SEALEAF_GUESTS=off +# --guests$/m);
    expect(output).toMatch(
      /^SEALEAF_STORE=postgres:\/\/relay:\*\*\*@db\/sealeaf +# SEALEAF_STORE$/m,
    );
    expect(output).toMatch(/^SEALEAF_ACCESS=open +# default$/m);
    expect(output).not.toContain("s3cret");
  });

  it("reads settings from a file, and says which one it cannot read", async () => {
    const path = join(dir, "relay.json");
    writeFileSync(path, JSON.stringify({ guests: false }));
    const told = await run("config check", { SEALEAF_CONFIG: path });
    expect(told.output).toContain(`# "guests" in ${path}`);
    const missing = await run(`config check --config ${path}.gone`);
    expect(missing).toEqual({
      code: 1,
      output: `The configuration file ${path}.gone cannot be read.\n`,
    });
  });

  it("copies the store while it is served, and the copy verifies and can be served", async () => {
    const copy = join(dir, "copy.db");
    expect(await run(`backup ${copy}`)).toMatchObject({ code: 0 });
    expect(readdirSync(dir).filter((name) => name.startsWith("copy"))).toEqual(["copy.db"]);
    expect(await run(`verify ${copy}`)).toEqual({
      code: 0,
      output: "All is well (spaces: 1, positions: 4, chunks: 0).\n",
    });
    const again = await run(`backup ${copy}`);
    expect(again.code).toBe(1);
    expect(again.output).toContain("is there already");

    // What the manual says: the copy becomes relay.db of an empty directory.
    const restored = join(dir, "restored");
    mkdirSync(restored);
    copyFileSync(copy, join(restored, "relay.db"));
    const second = await startRelayProcess(built.program, {
      SEALEAF_DATA: restored,
      SEALEAF_PORT: "0",
    });
    const client = await RawClient.connect(second.url);
    expect(await client.subscribe(space)).toMatchObject({ status: 0, head: 4 });
    await client.close();
    expect(await endProcess(second.child, "SIGTERM")).toBe(0);
  });

  it("finds a damaged copy damaged", async () => {
    const copy = join(dir, "damaged.db");
    await run(`backup ${copy}`);
    const db = new DatabaseSync(copy);
    db.exec("UPDATE log SET body = zeroblob(length(body)) WHERE pos = 3");
    db.close();
    const { code, output } = await run(`verify ${copy}`);
    expect(code).toBe(1);
    expect(output).toMatch(/^Space [0-9a-f]{8}… has other bytes at position 3\.\n$/);
  });

  it("tells figures, and whether it is ready", async () => {
    const { code, output } = await run("stats --json");
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ spaces: 1, deletedSpaces: 0, accessKeys: 0 });
    expect(await run("healthcheck")).toEqual({ code: 0, output: "ready\n" });
    expect(await run("healthcheck --port 1")).toEqual({
      code: 1,
      output: "No relay answers at 127.0.0.1:1.\n",
    });
    const doctor = await run("doctor");
    expect(doctor.code).toBe(0);
    expect(doctor.output).toContain("The store holds together (spaces: 1, positions: 4).");
    expect(doctor.output).toContain("The relay is running and ready.");
    expect(await run("compact")).toMatchObject({ code: 0 });
  });

  it("makes, lists and withdraws invitations while it is served", async () => {
    const made = await run("invite make --label Ann --days 3");
    const token = parseBase64url(made.output.trim());
    expect(token).toHaveLength(16);
    const listed = await run("invite list");
    expect(listed.output).toMatch(
      /^[0-9a-f]{16} {2}invitation, not redeemed, until \d{4}-\d\d-\d\d {2}Ann\n$/,
    );
    expect(listed.output).not.toContain(made.output.trim());
    const id = listed.output.slice(0, 16);
    expect(await run(`invite revoke ${id}`)).toMatchObject({ code: 0 });
    expect(await run(`invite revoke ${id}`)).toMatchObject({ code: 1 });
    expect((await run("invite list")).output).toBe("No invitations and no access keys.\n");
    expect((await run("invite make --days 0")).output).toBe(
      '--days is a number from 1 to 3650, not "0".\n',
    );
  });

  it.each([
    ["a file that is not there", "verify gone.db", /^There is no store at .*gone\.db\.\n$/],
    ["a file that is something else", "verify package.json", /is not a relay's store\.\n$/],
    ["too few arguments", "backup", /^It is used like this: sealeaf-relay backup FILE\n/],
    ["too many arguments", "stats now", /^It is used like this: sealeaf-relay stats/],
    ["a store that was never made", "stats --data nowhere", /^There is no store at .*nowhere/],
    ["a folder nobody can write to", "backup /proc/copy.db", /The store is as it was\.\n$/],
    ["a flag that is not there", "serve --colour red", /Unknown option '--colour'/],
  ])("says in a sentence that it was given %s", async (_, args, said) => {
    const { code, output } = await run(args);
    expect(code).toBe(1);
    expect(output).toMatch(said);
  });

  it("leaves a newer store alone, whatever it is asked", async () => {
    const newer = join(dir, "newer");
    mkdirSync(newer);
    const path = join(newer, "relay.db");
    const db = new DatabaseSync(path);
    db.exec("CREATE TABLE later (x); PRAGMA user_version = 99");
    db.close();
    const more = { SEALEAF_DATA: newer };
    for (const args of ["stats", "invite list", "compact", `backup ${join(dir, "n.db")}`]) {
      const { code, output } = await run(args, more);
      expect(code).toBe(1);
      expect(output).toContain("newer relay");
    }
    expect((await run("serve --port 0", more)).output).toContain("newer relay");
    expect(existsSync(join(dir, "n.db"))).toBe(false);
  });

  it("says that its metrics port is taken", async () => {
    const port = settings["SEALEAF_PORT"] ?? "";
    const ended = await run(`serve --port 0 --metrics-port ${port} --data ${join(dir, "metrics")}`);
    expect(ended).toEqual({
      code: 1,
      output: `Port ${port} is in use: stop the other program, or set SEALEAF_METRICS_PORT.\n`,
    });
  });
});
