import type { Plugin } from "vite";

/**
 * Fails the build where a chunk takes something from a worker's entry: WebKit evaluates the script of a module worker once
 * more when a part of it is imported by its address (seen in WebKitGTK 2.50.6), and everything in there exists twice.
 */
export function workerEntries(): Plugin {
  return {
    name: "sealeaf:worker-entries",
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const name of [...chunk.imports, ...chunk.dynamicImports]) {
          const imported = bundle[name];
          if (imported?.type === "chunk" && imported.isEntry) {
            this.error(`${chunk.fileName} imports ${name}, the entry of a worker`);
          }
        }
      }
    },
  };
}
