import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { describe, expect, it } from "vitest";

import {
  importModule,
  importNames,
  memoryExport,
  sqlJsVersion,
  wasmSha256,
} from "#crdt-store/files/import-map.ts";
import { traceImports } from "./import-trace.ts";
import { importSignatures } from "./wasm-imports.ts";

const require = createRequire(import.meta.url);
const wasmOf = (name: string) => readFileSync(require.resolve(`sql.js/dist/${name}`));

describe("the import names of sql.js", () => {
  it("belong to the installed release, byte for byte", () => {
    const manifest = JSON.parse(
      readFileSync(new URL("../../../node_modules/sql.js/package.json", import.meta.url), "utf8"),
    );
    expect(manifest.version).toBe(sqlJsVersion);
    for (const file of ["sql-wasm.wasm", "sql-wasm-browser.wasm"]) {
      expect(createHash("sha256").update(wasmOf(file)).digest("hex")).toBe(wasmSha256);
    }
  });

  it("are what lining up the calls of the debug and the release build says", async () => {
    const named = await traceImports("sql-wasm-debug");
    const minified = await traceImports("sql-wasm");
    expect(minified.length).toBe(named.length);

    const lettersByName = new Map<string, Set<string>>();
    for (const [index, name] of named.entries()) {
      const letters = lettersByName.get(name) ?? new Set();
      lettersByName.set(name, letters.add(minified[index] ?? "none"));
    }
    const derived = Object.fromEntries(
      [...lettersByName].map(([name, letters]) => [name, [...letters].join()]),
    );
    // SQLite never calls newfstatat, so no trace can show it, and a wrong letter for it could do no harm.
    const { newfstatat: _, ...reached } = importNames;
    expect(derived).toMatchObject(reached);
    expect(named).not.toContain("newfstatat");
  });

  it("have the signatures of the debug build's, where the names are plain", () => {
    const named = importSignatures(wasmOf("sql-wasm-debug.wasm"));
    const minified = importSignatures(wasmOf("sql-wasm.wasm"));
    const plainNameOf = (name: string) =>
      name.startsWith("fd_") ? `wasi_snapshot_preview1.${name}` : `env.__syscall_${name}`;
    const expected = Object.keys(importNames).map((name) => named.get(plainNameOf(name)));
    const found = Object.values(importNames).map((letter) =>
      minified.get(`${importModule}.${letter}`),
    );
    expect(found).toEqual(expected);
    expect(expected).not.toContain(undefined);
    expect(named.get("wasi_snapshot_preview1.fd_seek")).toBe("i32,i64,i32,i32->i32");
  });

  it("name functions and the memory of the release build", () => {
    const module = new WebAssembly.Module(wasmOf("sql-wasm.wasm"));
    const functions = WebAssembly.Module.imports(module).filter(
      (entry) => entry.module === importModule && entry.kind === "function",
    );
    expect(functions.map((entry) => entry.name)).toEqual(
      expect.arrayContaining(Object.values(importNames)),
    );
    expect(new Set(Object.values(importNames)).size).toBe(Object.keys(importNames).length);
    expect(WebAssembly.Module.exports(module)).toContainEqual({
      name: memoryExport,
      kind: "memory",
    });
  });
});
