import { describe, expect, it } from "vitest";

import { databases, foundIn, type Database } from "./canaries.ts";
import type { Task } from "./canaries.worker.ts";

async function workInWorker(task: Task): Promise<void> {
  const worker = new Worker(new URL("./canaries.worker.ts", import.meta.url), { type: "module" });
  const failure = await new Promise<string | null>((resolve) => {
    worker.addEventListener("message", (event: MessageEvent<string | null>) => resolve(event.data));
    worker.postMessage(task);
  });
  // Without closing, this is what a crash leaves.
  worker.terminate();
  if (failure !== null) throw new Error(failure);
}

/** What stands in the files after a crash, after another worker, and after closing. */
async function look(database: Database, key: Uint8Array | null): Promise<readonly string[]> {
  const directory = crypto.randomUUID();
  const root = await navigator.storage.getDirectory();
  const found = new Set<string>();
  for (const closes of [false, true, false]) {
    await workInWorker({ database: database.name, directory, key, closes });
    for await (const handle of (await root.getDirectoryHandle(directory)).values()) {
      if (!(handle instanceof FileSystemFileHandle)) continue;
      const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      for (const word of foundIn(bytes, database.canaries)) found.add(word);
    }
  }
  return [...found];
}

for (const database of databases) {
  describe(`the files of the database "${database.name}" in OPFS`, () => {
    it("hold no word, no name of a table or column and no sign of SQLite", async () => {
      expect(await look(database, new Uint8Array(32).fill(4))).toEqual([]);
    });

    it("hold every one of them in clear, which shows that they would be found", async () => {
      expect([...(await look(database, null))].sort()).toEqual([...database.canaries].sort());
    });
  });
}
