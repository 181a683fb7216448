import { createHash } from "node:crypto";
import path from "node:path";
import { build } from "vite";
import { filesIn, sha256OfFile } from "./output-folder.ts";

const NOT_CACHED = /\.(map|gz|br)$|^(sw\.js|headers\.json)$/;

/** Path → SHA-256 (hex) of every file a browser needs, below the page's folder, which is "./". */
export function precacheList(folder: string): Record<string, string> {
  const files = filesIn(folder).filter((file) => !NOT_CACHED.test(file));
  return Object.fromEntries(
    files.map((file) => [
      file === "index.html" ? "./" : `./${file}`,
      sha256OfFile(path.join(folder, file)),
    ]),
  );
}

/** Bundles `source` into `folder`/sw.js with the list of what `folder` holds now. */
export async function buildServiceWorker(source: string, folder: string): Promise<void> {
  const list = JSON.stringify(precacheList(folder));
  const version = createHash("sha256").update(list).digest("hex").slice(0, 16);
  await build({
    configFile: false,
    root: path.dirname(source),
    logLevel: "warn",
    define: { PRECACHE: list, VERSION: JSON.stringify(version) },
    build: {
      outDir: folder,
      emptyOutDir: false,
      copyPublicDir: false,
      target: "es2023",
      rolldownOptions: { input: source, output: { format: "iife", entryFileNames: "sw.js" } },
    },
  });
}
