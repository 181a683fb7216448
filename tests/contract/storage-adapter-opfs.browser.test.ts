import type { Chunk, StorageAdapterInterface } from "@automerge/automerge-repo/slim";
import { runStorageAdapterTests } from "@automerge/automerge-repo/helpers/tests/storage-adapter-tests.js";
import { expect, it } from "vitest";

import type { Answer, Call } from "./storage-adapter-opfs.calls.ts";

/** The adapter in a worker of its own, on an encrypted store in OPFS. */
class WorkerAdapter implements StorageAdapterInterface {
  readonly #worker = new Worker(new URL("./storage-adapter-opfs.worker.ts", import.meta.url), {
    type: "module",
  });
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #nextId = 1;

  constructor() {
    this.#worker.addEventListener("message", (event: MessageEvent<Answer>) => {
      this.#waiting.get(event.data.id)?.(event.data);
      this.#waiting.delete(event.data.id);
    });
  }

  load(key: string[]) {
    // Each method of the worker answers what the adapter's method of that name answers.
    return this.call({ method: "load", key }) as Promise<Uint8Array | undefined>;
  }

  async save(key: string[], data: Uint8Array) {
    await this.call({ method: "save", key, data });
  }

  async remove(key: string[]) {
    await this.call({ method: "remove", key });
  }

  loadRange(key: string[]) {
    return this.call({ method: "loadRange", key }) as Promise<Chunk[]>;
  }

  async removeRange(key: string[]) {
    await this.call({ method: "removeRange", key });
  }

  async call(call: Call): Promise<unknown> {
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#worker.postMessage({ id, call });
    });
    if ("error" in answer) throw new Error(answer.error);
    return answer.result;
  }

  terminate() {
    this.#worker.terminate();
  }
}

const key = new Uint8Array(32).fill(9);

async function setupAdapter(directory = crypto.randomUUID()) {
  const adapter = new WorkerAdapter();
  await adapter.call({ method: "open", directory, key });
  return {
    adapter,
    directory,
    async teardown() {
      await adapter.call({ method: "close" });
      await adapter.call({ method: "wipe", directory });
      adapter.terminate();
    },
  };
}

runStorageAdapterTests(setupAdapter, "encrypted store on OPFS");

it("a worker killed after a save leaves it for the next one, which waits for the files", async () => {
  const { adapter, directory } = await setupAdapter();
  await adapter.save(["a", "b", "c"], new Uint8Array([1, 2, 3]));
  adapter.terminate();
  const next = await setupAdapter(directory);
  expect(await next.adapter.load(["a", "b", "c"])).toEqual(new Uint8Array([1, 2, 3]));
  await next.teardown();
});

it("another key is refused in words", async () => {
  const { adapter, directory } = await setupAdapter();
  await adapter.call({ method: "close" });
  const opening = adapter.call({ method: "open", directory, key: new Uint8Array(32).fill(1) });
  await expect(opening).rejects.toThrow("do not open with this key");
  await adapter.call({ method: "wipe", directory });
  adapter.terminate();
});
