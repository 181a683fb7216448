/** Runs the check of a store in a page of the app's origin that is not the app. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Page } from "playwright";
import { build } from "vite";
import { within } from "#tests/support/time-limit.ts";
import type { StoreReport } from "./store-check.worker.ts";

const checkLimitMs = 30_000;

export interface StoreCheck {
  /** Leaves the page on an address of the app's origin where nothing runs. */
  run(page: Page, address: string): Promise<StoreReport>;
}

export async function buildStoreCheck(): Promise<StoreCheck> {
  const worker = await bundle(join(import.meta.dirname, "store-check.worker.ts"));
  const require = createRequire(import.meta.url);
  const wasm = readFileSync(require.resolve("sql.js/dist/sql-wasm-browser.wasm"), "base64");
  return {
    run: async (page, address) => {
      const url = new URL("store-check", address).href;
      // The app's own worker would answer with the app, and its policy would forbid what comes next.
      const devTools = await page.context().newCDPSession(page);
      await devTools.send("Network.enable");
      await devTools.send("Network.setBypassServiceWorker", { bypass: true });
      await page.route(url, (route) =>
        route.fulfill({ contentType: "text/html", body: "<!doctype html><title>check</title>" }),
      );
      await page.goto(url);
      const report = await within(
        checkLimitMs,
        "checking the store",
        page.evaluate(runInPage, { worker, wasm }),
      );
      await page.unroute(url);
      await devTools.send("Network.setBypassServiceWorker", { bypass: false });
      await devTools.detach();
      return report;
    },
  };
}

async function runInPage({
  worker,
  wasm,
}: {
  readonly worker: string;
  readonly wasm: string;
}): Promise<StoreReport> {
  const script = URL.createObjectURL(new Blob([worker], { type: "text/javascript" }));
  const bytes = Uint8Array.from(atob(wasm), (char) => char.charCodeAt(0));
  const compiled = await WebAssembly.compile(bytes);
  const running = new Worker(script, { type: "module" });
  try {
    return await new Promise((resolve, reject) => {
      running.addEventListener("message", ({ data }: MessageEvent<StoreReport>) => resolve(data));
      running.addEventListener("error", (event) => reject(new Error(event.message)));
      running.postMessage(compiled);
    });
  } finally {
    running.terminate();
  }
}

async function bundle(entry: string): Promise<string> {
  const built = await build({
    configFile: false,
    logLevel: "warn",
    build: {
      write: false,
      target: "es2023",
      rolldownOptions: { input: entry, output: { format: "es" } },
    },
  });
  if (!("output" in built)) throw new Error("one entry and no watching make one output");
  const [script, ...others] = built.output;
  if (others.length > 0) throw new Error("the check is more than one script");
  return script.code;
}
