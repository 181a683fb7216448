/**
 * The file shim of the store knows sql.js by the minified names of one release. Another release may
 * give those names to other calls, which would damage files instead of failing: so the build fails.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Plugin } from "vite";
import { importModule, importNames, wasmSha256 } from "../../crdt-store/files/import-map.ts";
import { sha256OfFile } from "./output-folder.ts";

/** `root` is the folder that holds node_modules. */
export function sqlJsRelease(root: string): Plugin {
  return {
    name: "sealeaf:sql-js-release",
    async buildStart() {
      // The browser's file and Node's: one map is used for both.
      for (const name of ["sql-wasm-browser.wasm", "sql-wasm.wasm"]) {
        const file = path.join(root, "node_modules/sql.js/dist", name);
        if (sha256OfFile(file) !== wasmSha256) {
          this.error(
            `${name} is not the sql.js release that crdt-store/files/import-map.ts describes`,
          );
        }
        const missing = await missingImports(file);
        if (missing.length > 0) this.error(`${name} does not import ${missing.join(", ")}`);
      }
    },
  };
}

async function missingImports(file: string): Promise<string[]> {
  const imports = WebAssembly.Module.imports(await WebAssembly.compile(readFileSync(file)));
  const functions = imports.filter(
    ({ kind, module }) => kind === "function" && module === importModule,
  );
  const present = new Set(functions.map(({ name }) => name));
  return Object.values(importNames).filter((name) => !present.has(name));
}
