import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { StorageAdapter } from "#crdt-store/storage-adapter.ts";
import { openStore } from "#crdt-store/store.ts";

/** An adapter on a store of its own in real files, which `teardown` removes. */
export async function setupAdapter(key: Uint8Array | null) {
  const directory = mkdtempSync(join(tmpdir(), "sealeaf-adapter-"));
  const store = openStore({
    engine: await loadNodeEngine(),
    files: openNodeFiles(directory),
    key,
    clock: { now: () => 0 },
    random: (count) => randomBytes(count),
  });
  return {
    adapter: new StorageAdapter(store, { spaceOf: () => null }),
    teardown() {
      store.close();
      rmSync(directory, { recursive: true });
    },
  };
}
