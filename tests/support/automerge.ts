import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { initializeWasm } from "@automerge/automerge-repo/slim";

let loading: Promise<void> | undefined;

/** Makes the one Automerge instance ready in Node. Repeating is safe and free. */
export function loadAutomerge(): Promise<void> {
  loading ??= initializeFromPackage();
  return loading;
}

async function initializeFromPackage(): Promise<void> {
  const wasm = createRequire(import.meta.url).resolve("@automerge/automerge/automerge.wasm");
  await initializeWasm(await readFile(wasm));
}
