/** A page with a tab's real connection, worker, broker and service worker, for tests of these alone. */
import { writeFileSync } from "node:fs";
import path from "node:path";
import { build } from "vite";
import { HEADERS } from "#client/build/headers.ts";
import { release } from "#client/build/release.ts";
import { buildServiceWorker } from "#client/build/service-worker.ts";

const root = path.resolve(import.meta.dirname, "../..");
const serviceWorker = path.join(root, "client/sw.ts");
const page = path.join(root, "tests/support/fake-device-page");

/** Builds it into `outDir`; behind it is a device that only counts, or the real one with its store. */
export async function buildConnectionPage(
  outDir: string,
  version: string,
  device: "fake" | "real" = "fake",
): Promise<void> {
  const fake = { "#client/worker/main.ts": path.join(page, "fake-device.ts") };
  await build({
    configFile: false,
    root: page,
    logLevel: "warn",
    define: { PAGE_VERSION: JSON.stringify(version) },
    plugins: device === "fake" ? [release(serviceWorker)] : [],
    resolve: { alias: device === "fake" ? fake : {} },
    worker: { format: "es" },
    build: {
      outDir,
      emptyOutDir: false,
      target: "es2023",
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  });
  if (device === "fake") return;
  // As a release, but uncompressed: the wasm of the real device takes long.
  await buildServiceWorker(serviceWorker, outDir);
  writeFileSync(path.join(outDir, "headers.json"), JSON.stringify(HEADERS));
}
