import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import type { RelayStore } from "#relay/open-store.ts";
import { openPostgresStore } from "#relay/store/postgres.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import { systemTimers } from "#relay/system-timers.ts";
import { describeAccessStore, type AccessStoreUnderTest } from "#tests/contract/access-store.ts";
import { startPostgres, type TestPostgres } from "#tests/support/postgres.ts";

describeAccessStore("SQLite", () => {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-access-"));
  return underTest(
    () => openSqliteStore({ dir, workerUrl: null }),
    () => rmSync(dir, { recursive: true, force: true }),
  );
});

describe("on a server", () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server.stop());
  describeAccessStore("PostgreSQL", async () => {
    const address = await server.createDatabase();
    return underTest(() => openPostgresStore({ address, node: "one", after: systemTimers.after }));
  });
});

async function underTest(
  open: () => Promise<RelayStore>,
  remove: () => void = () => undefined,
): Promise<AccessStoreUnderTest> {
  const opened: RelayStore[] = [];
  const openOne = async (): Promise<RelayStore> => {
    const store = await open();
    opened.push(store);
    return store;
  };
  return {
    store: await openOne(),
    reopen: openOne,
    async dispose() {
      await Promise.allSettled(opened.map((store) => store.close()));
      remove();
    },
  };
}
