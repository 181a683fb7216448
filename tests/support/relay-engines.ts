/** The stores a relay can stand on: what a relay promises is tried on each of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, vi } from "vitest";
import { startPostgres, type TestPostgres } from "#tests/support/postgres.ts";
import { startTestRelay, type TestRelay, type TestRelayOptions } from "#tests/support/relay.ts";

export interface RelayEngine {
  readonly name: string;
  /** With a directory given, a relay on the data of the one before. */
  readonly start: (options?: TestRelayOptions) => Promise<TestRelay>;
}

export const relayEngines: readonly RelayEngine[] = [
  { name: "SQLite", start: startTestRelay },
  { name: "PostgreSQL", start: startOnPostgres },
];

/** One server for a test file, and a database for each data directory. */
let server: Promise<TestPostgres> | null = null;
const databaseByDir = new Map<string, string>();
// A server takes a few seconds to make, and each round trip to it longer than one to a file.
vi.setConfig({ hookTimeout: 60_000, testTimeout: 30_000 });
afterAll(async () => {
  await (await server)?.stop();
});

async function startOnPostgres(options: TestRelayOptions = {}): Promise<TestRelay> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), "sealeaf-relay-"));
  server ??= startPostgres();
  const store = databaseByDir.get(dir) ?? (await (await server).createDatabase());
  databaseByDir.set(dir, store);
  const settings = { ...options.settings, store };
  const relay = await startTestRelay({ ...options, dir, settings });
  return {
    ...relay,
    async stop() {
      await relay.stop();
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}
