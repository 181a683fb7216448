import { pause } from "#client/worker/browser-timers.ts";
import wasmUrl from "sql.js/dist/sql-wasm-browser.wasm?url";

import { loadEngine } from "#crdt-store/files/engine.ts";
import { openOpfsFiles } from "#crdt-store/files/opfs.ts";
import { databases } from "./canaries.ts";

/* Works on one database in OPFS, where handles exist in workers only, and closes it only if asked to. */

export interface Task {
  readonly database: string;
  readonly directory: string;
  readonly key: Uint8Array | null;
  readonly closes: boolean;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;
const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));

async function perform({ database, directory, key, closes }: Task): Promise<void> {
  const wasm = await WebAssembly.compileStreaming(fetch(wasmUrl));
  const engine = await loadEngine({ wasm, random });
  const files = await openOpfsFiles(directory, pause);
  const found = databases.find(({ name }) => name === database);
  const close = found?.work({ engine, files, key, random });
  if (closes) close?.();
}

scope.addEventListener("message", (event: MessageEvent<Task>) => {
  perform(event.data).then(
    () => scope.postMessage(null),
    (error: unknown) => scope.postMessage(String(error)),
  );
});
