import { pause } from "#client/worker/browser-timers.ts";
import wasmUrl from "sql.js/dist/sql-wasm-browser.wasm?url";

import { loadEngine } from "#crdt-store/files/engine.ts";
import { openOpfsFiles, removeOpfsFiles } from "#crdt-store/files/opfs.ts";
import { StorageAdapter } from "#crdt-store/storage-adapter.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import type { Answer, Call } from "./storage-adapter-opfs.calls.ts";

/*
 * The other end of the adapter under test: handles for synchronous access exist in dedicated workers only. `open`, `close`
 * and `wipe` manage the store in an OPFS directory, the rest are the adapter's own methods.
 */

const scope = self as unknown as DedicatedWorkerGlobalScope;
const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));

let store: Store | undefined;
let adapter: StorageAdapter | undefined;

async function perform(call: Call): Promise<unknown> {
  switch (call.method) {
    case "open": {
      const wasm = await WebAssembly.compileStreaming(fetch(wasmUrl));
      const engine = await loadEngine({ wasm, random });
      const files = await openOpfsFiles(call.directory, pause);
      store = openStore({ engine, files, key: call.key, clock: { now: () => 0 }, random });
      adapter = new StorageAdapter(store, { spaceOf: () => null });
      return undefined;
    }
    case "close":
      store?.close();
      return undefined;
    case "wipe":
      return removeOpfsFiles(call.directory);
    case "load":
      return adapter?.load(call.key);
    case "save":
      return adapter?.save(call.key, call.data);
    case "remove":
      return adapter?.remove(call.key);
    case "loadRange":
      return adapter?.loadRange(call.key);
    case "removeRange":
      return adapter?.removeRange(call.key);
  }
}

scope.addEventListener("message", (event: MessageEvent<{ id: number; call: Call }>) => {
  const { id, call } = event.data;
  perform(call).then(
    (result) => scope.postMessage({ id, result } satisfies Answer),
    (error: unknown) => scope.postMessage({ id, error: String(error) } satisfies Answer),
  );
});
