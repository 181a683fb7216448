/** The script of the opener's thread on Node, built as it is shipped: Node's workers run no TypeScript. */
import { readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "vite";

const root = resolve(import.meta.dirname, "../..");

export interface BuiltOpener {
  readonly script: URL;
  remove(): void;
}

/** Below node_modules, so that packages are found. */
export async function buildOpenerThread(): Promise<BuiltOpener> {
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const outDir = join(root, "node_modules/.cache", `sealeaf-opener-${process.pid}`);
  await build({
    root,
    configFile: false,
    logLevel: "error",
    ssr: { target: "node", noExternal: true, external: Object.keys(dependencies) },
    build: {
      ssr: join(root, "client/cli/opener-thread.ts"),
      outDir,
      emptyOutDir: true,
      target: "node20",
      rolldownOptions: { output: { format: "es", entryFileNames: "[name].js" } },
    },
  });
  return {
    script: pathToFileURL(join(outDir, "opener-thread.js")),
    remove: () => rmSync(outDir, { recursive: true, force: true }),
  };
}
