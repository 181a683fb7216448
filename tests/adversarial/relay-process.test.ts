/** The relay as a program: started wrongly, stopped, and killed in the middle of its work. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseEntry } from "#relay/protocol/entry.ts";
import {
  buildRelay,
  endProcess,
  runRelayProgram,
  startRelayProcess,
  type BuiltRelay,
} from "#tests/support/built-relay.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const killRounds = 6;

describe("the program", () => {
  let built: BuiltRelay;
  let dir: string;
  beforeAll(async () => {
    built = await buildRelay();
    dir = mkdtempSync(join(tmpdir(), "sealeaf-process-"));
  }, 60_000);
  afterAll(() => {
    built.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  it("says how it is used", async () => {
    const help = await runRelayProgram(built.program, ["--help"]);
    expect(help).toMatchObject({ code: 0 });
    expect(help.output).toContain("SEALEAF_DATA");
    expect(await runRelayProgram(built.program, ["frobnicate"])).toMatchObject({ code: 1 });
    expect(await runRelayProgram(built.program, ["--frobnicate"])).toMatchObject({ code: 1 });
  });

  it("names all mistakes of its settings at once, and does not start", async () => {
    const ended = await runRelayProgram(built.program, [], {
      SEALEAF_PORT: "eighty",
      SEALEAF_PUBLIC_URL: "notes",
      SEALEAF_DATTA: "/data",
    });
    expect(ended.code).toBe(1);
    expect(ended.output.trim().split("\n")).toEqual([
      "SEALEAF_DATTA is not a setting of this relay.",
      'SEALEAF_PUBLIC_URL is an address like https://notes.example or https://example.org/notes, not "notes".',
      'SEALEAF_PORT is a number from 0 to 65535, not "eighty".',
    ]);
  });

  it("says in one sentence that its port is taken, or its directory is not its own", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const address = taken.address();
    if (address === null || typeof address === "string") throw new Error("a TCP port");
    const onPort = await runRelayProgram(built.program, ["serve"], {
      SEALEAF_DATA: join(dir, "port"),
      SEALEAF_PORT: String(address.port),
    });
    expect(onPort).toEqual({
      code: 1,
      output: `Port ${address.port} is in use: stop the other program, or set SEALEAF_PORT.\n`,
    });
    taken.close();

    const file = join(dir, "file");
    writeFileSync(file, "");
    const onFile = await runRelayProgram(built.program, [], {
      SEALEAF_DATA: file,
      SEALEAF_PORT: "0",
    });
    expect(onFile).toEqual({
      code: 1,
      output: `The data directory ${file} cannot be written.\n`,
    });
  });

  it("shares its directory with no other relay, and stops cleanly when asked", async () => {
    const settings = { SEALEAF_DATA: join(dir, "shared"), SEALEAF_PORT: "0" };
    const first = await startRelayProcess(built.program, settings);
    const second = await runRelayProgram(built.program, [], settings);
    expect(second.code).toBe(1);
    expect(second.output).toContain("is in use by another relay");
    const health = await fetch(`${first.httpUrl}/healthz`);
    expect(health.status).toBe(200);
    expect(await endProcess(first.child, "SIGTERM")).toBe(0);
    const third = await startRelayProcess(built.program, settings);
    expect(await endProcess(third.child, "SIGINT")).toBe(0);
  });

  it("[PUSH-6] killed at any moment, keeps every entry it acknowledged, once each", async () => {
    const settings = { SEALEAF_DATA: join(dir, "killed"), SEALEAF_PORT: "0" };
    const space = new TestSpace("killed");
    const device = new TestDevice(space, "laptop");
    const acknowledged = new Map<number, Uint8Array>();
    let unanswered: Uint8Array[] = [];
    for (let round = 0; round < killRounds; round += 1) {
      const { child, url } = await startRelayProcess(built.program, settings);
      const client = await RawClient.connect(url);
      if (round === 0) {
        await client.createSpace(space);
        await client.certify(device);
      }
      const pushes = [...unanswered, ...Array.from({ length: 60 }, () => device.entry())];
      const killAfter = 5 + ((round * 13) % 50);
      let answers = 0;
      unanswered = [];
      await Promise.all(
        pushes.map(async (entry) => {
          try {
            const [result] = await client.push(entry);
            expect(result?.status).toBe(0);
            acknowledged.set(result?.pos ?? 0, entry);
            answers += 1;
            if (answers === killAfter) child.kill("SIGKILL");
          } catch {
            unanswered.push(entry);
          }
        }),
      );
      expect(await endProcess(child, "SIGKILL")).toBeNull();
      unanswered.sort((a, b) => ctrOf(a) - ctrOf(b));
    }

    const relay = await startTestRelay({
      dir: settings.SEALEAF_DATA,
      workerUrl: built.workerUrl,
      limits: { entriesPerSecond: 10_000, entryBurst: 10_000 },
    });
    const client = await RawClient.connect(relay.url);
    const resent = await client.push(...unanswered);
    for (const [ix, { status, pos }] of resent.entries()) {
      expect(status).toBe(0);
      const entry = unanswered[ix];
      if (entry !== undefined) acknowledged.set(pos, entry);
    }
    const { head } = await client.subscribe(space);
    expect(head).toBe(2 + killRounds * 60);
    expect([...acknowledged.keys()].toSorted((a, b) => a - b)).toEqual(
      Array.from({ length: killRounds * 60 }, (_, ix) => ix + 3),
    );
    let next = 1;
    while (next <= head) {
      for (const { pos, bytes } of (await client.next("data")).items) {
        expect(pos).toBe(next);
        next += 1;
        const entry = acknowledged.get(pos);
        const isTheOne = entry === undefined || Buffer.compare(entry, bytes) === 0;
        expect(isTheOne || bytes.length === 53).toBe(true);
      }
    }
    await relay.stop();
  }, 60_000);
});

function ctrOf(entry: Uint8Array): number {
  const parsed = parseEntry(entry, entry.length);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value.ctr;
}
