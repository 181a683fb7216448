import { writeFileSync } from "node:fs";
import path from "node:path";
import type { Plugin, ResolvedConfig } from "vite";
import { HEADERS } from "./headers.ts";
import { precompress } from "./precompress.ts";
import { buildServiceWorker } from "./service-worker.ts";

/** What follows the bundle: the service worker over the finished files, headers.json, compression. */
export function release(serviceWorkerSource: string): Plugin {
  let config: ResolvedConfig;
  let failed = false;
  return {
    name: "sealeaf:release",
    apply: "build",
    configResolved(resolved) {
      config = resolved;
    },
    buildEnd(error) {
      failed = error !== undefined;
    },
    closeBundle: {
      order: "post",
      sequential: true,
      async handler() {
        if (failed) return;
        const folder = path.resolve(config.root, config.build.outDir);
        await buildServiceWorker(serviceWorkerSource, folder);
        writeFileSync(path.join(folder, "headers.json"), `${JSON.stringify(HEADERS, null, 2)}\n`);
        await precompress(folder);
      },
    },
  };
}
