/**
 * The relay as it is shipped: `dist/relay` holds the bundled program, its SQLite driver and the web
 * client, needs Node and nothing else, and may be copied anywhere.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { UserConfig } from "vite";

/** Native code cannot be bundled: it lies beside, with what finds it. */
const driver = "@photostructure/sqlite";
const driverParts = [
  `${driver}/package.json`,
  `${driver}/LICENSE`,
  `${driver}/dist`,
  `${driver}/prebuilds/linux-x64`,
  `${driver}/prebuilds/linux-arm64`,
  "node-gyp-build",
];
/** Asked for only where somebody has installed them. */
const optional = ["pg-native", "bufferutil", "utf-8-validate", "pg-cloudflare"];

/** `vite build --mode relay`, after the client has been built. */
export function standaloneRelay(root: string): UserConfig {
  const outDir = join(root, "dist/relay");
  return {
    root,
    ssr: { target: "node", noExternal: true, external: [driver, ...optional] },
    plugins: [
      {
        name: "sealeaf:standalone-relay",
        buildStart() {
          rmSync(outDir, { recursive: true, force: true });
        },
        closeBundle() {
          assemble(root, outDir);
        },
      },
    ],
    build: {
      ssr: true,
      outDir: join(outDir, "program"),
      emptyOutDir: false,
      target: "node20",
      rolldownOptions: {
        input: {
          "sealeaf-relay": join(root, "relay/main.ts"),
          "sqlite-worker": join(root, "relay/store/sqlite-worker.ts"),
        },
        output: {
          format: "es",
          entryFileNames: "[name].js",
          chunkFileNames: "shared-[name].js",
        },
      },
    },
  };
}

function assemble(root: string, outDir: string): void {
  mkdirSync(outDir, { recursive: true });
  for (const part of driverParts) {
    cpSync(join(root, "node_modules", part), join(outDir, "node_modules", part), {
      recursive: true,
      dereference: true,
    });
  }
  cpSync(join(root, "dist/client"), join(outDir, "program/client"), { recursive: true });
  cpSync(join(root, "LICENSE"), join(outDir, "LICENSE"));
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    version: string;
    license: string;
    engines: object;
  };
  const { version, license, engines } = manifest;
  const shipped = {
    name: "sealeaf-relay",
    version,
    private: true,
    license,
    type: "module",
    engines,
  };
  writeFileSync(join(outDir, "package.json"), `${JSON.stringify(shipped, null, 2)}\n`);
}
