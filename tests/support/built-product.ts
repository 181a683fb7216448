/** End-to-end tests run what is shipped: built again here if a source is newer than the build. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../..");
const SOURCES = ["client", "crdt-store", "relay", "vite.config.ts", "package-lock.json"];
/** Written last by each half of the build. */
const PRODUCTS = ["dist/client/headers.json", "dist/sealeaf-relay.js", "dist/sealeaf.js"];

export default function setup(): void {
  if (!isStale()) return;
  execFileSync("npm", ["run", "build"], {
    cwd: root,
    stdio: "inherit",
    timeout: 300_000,
    // The runner says "test", for which the app would be built with the framework's aids for development.
    env: { ...process.env, NODE_ENV: "production" },
  });
}

function isStale(): boolean {
  const products = PRODUCTS.map((product) => path.join(root, product));
  if (!products.every((product) => existsSync(product))) return true;
  const oldestProduct = Math.min(...products.map((product) => statSync(product).mtimeMs));
  return SOURCES.some((source) => newestChange(path.join(root, source)) > oldestProduct);
}

function newestChange(source: string): number {
  const entry = statSync(source);
  if (!entry.isDirectory()) return entry.mtimeMs;
  const children = readdirSync(source).map((name) => newestChange(path.join(source, name)));
  return Math.max(0, ...children);
}
