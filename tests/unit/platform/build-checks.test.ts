import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { build } from "vite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { precompress } from "#client/build/precompress.ts";
import { precacheList } from "#client/build/service-worker.ts";
import { singleAutomerge } from "#client/build/single-automerge.ts";
import { sqlJsRelease } from "#client/build/sql-js-release.ts";
import { workerEntries } from "#client/build/worker-entries.ts";

const root = path.resolve(import.meta.dirname, "../../..");
let folder = "";
beforeEach(() => {
  // Inside the project, so that planted modules find its packages.
  folder = mkdtempSync(path.join(root, "node_modules/.sealeaf-build-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function bundle(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  await build({
    configFile: false,
    root: folder,
    logLevel: "silent",
    plugins: [singleAutomerge()],
    worker: { format: "es", plugins: () => [singleAutomerge(), workerEntries()] },
    build: {
      write: false,
      minify: false,
      target: "es2023",
      rolldownOptions: { input: path.join(folder, "main.js") },
    },
  });
}

describe("the check for a second Automerge", () => {
  it("passes the slim entry", async () => {
    const files = { "main.js": `import * as A from "@automerge/automerge/slim"; console.log(A);` };
    await expect(bundle(files)).resolves.toBeUndefined();
  });

  it("fails a build with the full entry", async () => {
    const files = { "main.js": `import * as A from "@automerge/automerge"; console.log(A);` };
    await expect(bundle(files)).rejects.toThrow(/full Automerge/);
  });

  it("fails a build whose worker has the full entry", async () => {
    const files = {
      "main.js": `import url from "./worker.js?worker&url"; console.log(url);`,
      "worker.js": `import * as A from "@automerge/automerge"; console.log(A);`,
    };
    await expect(bundle(files)).rejects.toThrow(/full Automerge/);
  });
});

describe("the check of what stands in a worker's entry", () => {
  const main = `import url from "./worker.js?worker&url"; console.log(url);`;
  const late = `import { shared } from "./shared.js"; export const twice = shared + shared;`;

  it("passes a worker of which nobody else takes a part", async () => {
    const files = {
      "main.js": main,
      "worker.js": `import("./late.js").then(console.log);`,
      "shared.js": `export const shared = self.name;`,
      "late.js": late,
    };
    await expect(bundle(files)).resolves.toBeUndefined();
  });

  it("fails a build whose later part takes from the entry what both need", async () => {
    const files = {
      "main.js": main,
      "worker.js": `import { shared } from "./shared.js"; console.log(shared); import("./late.js").then(console.log);`,
      "shared.js": `export const shared = self.name;`,
      "late.js": late,
    };
    await expect(bundle(files)).rejects.toThrow(/the entry of a worker/);
  });
});

describe("the check of sql.js", () => {
  function check(packages: string): Promise<unknown> {
    return build({
      configFile: false,
      root: folder,
      logLevel: "silent",
      plugins: [sqlJsRelease(packages)],
      build: { write: false, rolldownOptions: { input: path.join(folder, "main.js") } },
    });
  }

  beforeEach(() => writeFileSync(path.join(folder, "main.js"), "console.log(1);"));

  it("passes the pinned release", async () => {
    await expect(check(root)).resolves.toBeDefined();
  });

  it("fails another one", async () => {
    const dist = path.join(folder, "node_modules/sql.js/dist");
    mkdirSync(dist, { recursive: true });
    for (const name of ["sql-wasm.wasm", "sql-wasm-browser.wasm"]) {
      const bytes = readFileSync(path.join(root, "node_modules/sql.js/dist", name));
      writeFileSync(path.join(dist, name), Buffer.concat([bytes, Buffer.from([0])]));
    }
    await expect(check(folder)).rejects.toThrow(/not the sql\.js release/);
  });
});

describe("the files beside the bundle", () => {
  it("lists the page as /, and neither the worker, headers nor compressed copies", () => {
    for (const name of ["index.html", "icon.svg", "sw.js", "headers.json", "a.js", "a.js.br"]) {
      writeFileSync(path.join(folder, name), name);
    }
    expect(Object.keys(precacheList(folder))).toEqual(["./a.js", "./icon.svg", "./"]);
  });

  it("compresses without loss and leaves tiny files alone", async () => {
    const text = "sealed ".repeat(1_000);
    writeFileSync(path.join(folder, "big.js"), text);
    writeFileSync(path.join(folder, "tiny.js"), "1");
    await precompress(folder);
    const compressed = (extension: string) =>
      readFileSync(path.join(folder, `big.js.${extension}`));
    expect(gunzipSync(compressed("gz")).toString()).toBe(text);
    expect(brotliDecompressSync(compressed("br")).toString()).toBe(text);
    expect(() => readFileSync(path.join(folder, "tiny.js.gz"))).toThrow(/ENOENT/);
  });
});
