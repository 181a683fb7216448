/** One configuration for everything: `vite build` the client, `--mode node` the programs, `--mode relay` the shipped relay, `vitest`. */
import { readFileSync } from "node:fs";
import { svelte, vitePreprocess } from "@sveltejs/vite-plugin-svelte";
import { playwright } from "@vitest/browser-playwright";
import type { UserConfig } from "vite";
import { defineConfig } from "vitest/config";
import type { TestProjectInlineConfiguration } from "vitest/config";
import { release } from "./client/build/release.ts";
import { singleAutomerge } from "./client/build/single-automerge.ts";
import { sqlJsRelease } from "./client/build/sql-js-release.ts";
import { workerEntries } from "./client/build/worker-entries.ts";
import { standaloneRelay } from "./relay/packaging/standalone.ts";
import { findOrInstallBrowser, launchArguments } from "./tests/support/browser.ts";

const root = import.meta.dirname;

/** @param id of a module, its path */
function isOwnButNoEntry(id: string): boolean {
  return !id.includes("node_modules") && !/worker\/(?:entry|broker|opener-thread)\.ts/.test(id);
}

/** What browsers get, in a build and in a test. */
const forBrowsers = {
  plugins: [svelte({ configFile: false, preprocess: vitePreprocess() })],
  resolve: {
    // cbor-x probes for `new Function` at import, which the page's policy refuses and reports.
    alias: [{ find: /^cbor-x$/, replacement: "cbor-x/index-no-eval" }],
    dedupe: ["@automerge/automerge"],
  },
  worker: {
    format: "es",
    plugins: () => [singleAutomerge(), workerEntries()],
    rolldownOptions: {
      // What an entry shares with chunks that come later stands beside it, and the bundler's own helpers, too.
      output: { codeSplitting: { groups: [{ name: "shared", test: isOwnButNoEntry }] } },
    },
  },
  // Found only in workers: without this the dev server reloads the page when it meets them.
  optimizeDeps: {
    include: [
      "sql.js",
      "hash-wasm",
      "@noble/ciphers/chacha.js",
      "@noble/ciphers/utils.js",
      "@noble/hashes/sha2.js",
      "@noble/hashes/utils.js",
      "@automerge/automerge/slim",
      "@automerge/automerge-repo/slim",
      // Only tests meet these late: found one by one they would be bundled twice.
      "@codemirror/commands",
      "@codemirror/language",
      "@codemirror/state",
      "@codemirror/view",
      "@lezer/common",
      "@lezer/markdown",
      "style-mod",
      "fflate",
    ],
  },
} satisfies UserConfig;

const client: UserConfig = {
  ...forBrowsers,
  root: `${root}/client`,
  // Every address is relative to the page's: a relay may serve it under any path.
  base: "./",
  plugins: [
    ...forBrowsers.plugins,
    singleAutomerge(),
    sqlJsRelease(root),
    release(`${root}/client/sw.ts`),
  ],
  build: {
    outDir: `${root}/dist/client`,
    emptyOutDir: true,
    target: "es2023",
    // Every file is in the precache list and under one rule of the policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
};

const { dependencies } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as {
  dependencies: Record<string, string>;
};

const programs: UserConfig = {
  root,
  // What is installed with the program stays outside; everything else is bundled.
  ssr: { target: "node", noExternal: true, external: Object.keys(dependencies) },
  build: {
    ssr: true,
    outDir: `${root}/dist`,
    // The client is built into a folder below.
    emptyOutDir: false,
    target: "node20",
    rolldownOptions: {
      input: {
        sealeaf: `${root}/client/cli/main.ts`,
        "sealeaf-relay": `${root}/relay/main.ts`,
        "sqlite-worker": `${root}/relay/store/sqlite-worker.ts`,
        "opener-thread": `${root}/client/cli/opener-thread.ts`,
      },
      output: {
        format: "es",
        entryFileNames: "[name].js",
        // Beside the programs, so that addresses relative to `import.meta.url` hold in every chunk.
        chunkFileNames: "shared-[name].js",
      },
    },
  },
};

type Project = NonNullable<NonNullable<UserConfig["test"]>["projects"]>[number];

function nodeProject(
  name: string,
  include: string[],
  options: TestProjectInlineConfiguration["test"] = {},
): TestProjectInlineConfiguration {
  return { root, test: { name, include, environment: "node", ...options } };
}

const DOM_TESTS = "tests/**/*.dom.test.ts";
const BROWSER_TESTS = "tests/**/*.browser.test.ts";

function testProjects(): Project[] {
  // Tests that need no browser run without one; those that do then fail with Playwright's explanation.
  const browser = findOrInstallBrowser();
  const executablePath = browser === null ? {} : { executablePath: browser };
  return [
    nodeProject("node", ["tests/{unit,contract,adversarial,powerloss,damage}/**/*.test.ts"], {
      exclude: [DOM_TESTS, BROWSER_TESTS],
      // Only what hangs is ended: a busy machine takes several times as long as a quiet one.
      testTimeout: 30_000,
    }),
    nodeProject("simulation", ["tests/simulation/**/*.test.ts"], { testTimeout: 120_000 }),
    {
      ...forBrowsers,
      root,
      resolve: { ...forBrowsers.resolve, conditions: ["browser"] },
      test: { name: "dom", include: [DOM_TESTS], environment: "happy-dom" },
    },
    {
      ...forBrowsers,
      root,
      test: {
        name: "browser",
        include: [BROWSER_TESTS],
        sequence: { groupOrder: 1 },
        browser: {
          enabled: true,
          headless: true,
          screenshotFailures: false,
          provider: playwright({
            launchOptions: { ...executablePath, args: [...launchArguments] },
          }),
          instances: [{ browser: "chromium" }],
        },
      },
    },
    nodeProject("e2e", ["tests/e2e/**/*.test.ts"], {
      globalSetup: [`${root}/tests/support/built-product.ts`],
      // Real browsers measure time and share two cores: one file after the other, after everything else.
      fileParallelism: false,
      sequence: { groupOrder: 2 },
      testTimeout: 60_000,
      hookTimeout: 120_000,
    }),
    // The main paths in other engines: `npm run test:browsers`.
    nodeProject("browsers", ["tests/browsers/**/*.test.ts"], {
      globalSetup: [`${root}/tests/support/built-product.ts`],
      fileParallelism: false,
      sequence: { groupOrder: 3 },
      testTimeout: 120_000,
      hookTimeout: 120_000,
    }),
  ];
}

export default defineConfig(({ mode }) => {
  if (mode === "test") return { root, test: { projects: testProjects() } };
  if (mode === "relay") return standaloneRelay(root);
  return mode === "node" ? programs : client;
});
