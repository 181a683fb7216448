import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import { describeAccessStore } from "#tests/contract/access-store.ts";

describeAccessStore("SQLite", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-access-"));
  const opened: Awaited<ReturnType<typeof openSqliteStore>>[] = [];
  const open = async () => {
    const store = await openSqliteStore({ dir, workerUrl: null });
    opened.push(store);
    return store;
  };
  return {
    store: await open(),
    reopen: open,
    async dispose() {
      await Promise.allSettled(opened.map((store) => store.close()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
});
