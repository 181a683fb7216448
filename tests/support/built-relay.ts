/** The relay as it is shipped: bundled, with its store in a worker, run as a program of its own. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { build } from "vite";

const root = resolve(import.meta.dirname, "../..");

export interface BuiltRelay {
  readonly program: string;
  readonly workerUrl: URL;
  remove(): void;
}

/** Bundles program and worker beside each other, below node_modules so that packages are found. */
export async function buildRelay(): Promise<BuiltRelay> {
  const outDir = join(root, "node_modules/.cache", `sealeaf-relay-${process.pid}`);
  await build({
    root,
    configFile: false,
    logLevel: "error",
    ssr: {
      target: "node",
      noExternal: [/^#/],
      external: ["ws", "pino", "@photostructure/sqlite", "@noble/curves", "@noble/hashes"],
    },
    build: {
      ssr: true,
      outDir,
      emptyOutDir: true,
      target: "node20",
      rolldownOptions: {
        input: {
          "sealeaf-relay": join(root, "relay/main.ts"),
          "sqlite-worker": join(root, "relay/store/sqlite-worker.ts"),
        },
        output: { format: "es", entryFileNames: "[name].js", chunkFileNames: "shared-[name].js" },
      },
    },
  });
  return {
    program: join(outDir, "sealeaf-relay.js"),
    workerUrl: pathToFileURL(join(outDir, "sqlite-worker.js")),
    remove: () => {
      rmSync(outDir, { recursive: true, force: true });
    },
  };
}

export interface RelayProcess {
  readonly child: ChildProcess;
  /** `ws://localhost:port/v1` */
  readonly url: string;
  readonly httpUrl: string;
}

export type Settings = Readonly<Record<string, string>>;

/** Starts the program and waits for the line with its address; rejects with what it said instead. */
export async function startRelayProcess(
  program: string,
  settings: Settings,
): Promise<RelayProcess> {
  const child = spawn(process.execPath, [program, "serve"], {
    env: { PATH: process.env["PATH"] ?? "", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const httpUrl = /^Sealeaf is ready at (http:\S+)$/.exec(line)?.[1];
    if (httpUrl === undefined) continue;
    // Nobody reads what it says from here on: a full pipe would stop it.
    child.stdout.resume();
    child.stderr.resume();
    return { child, httpUrl, url: `${httpUrl.replace("http:", "ws:")}/v1` };
  }
  throw new Error("the relay ended before it was ready");
}

export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs the program to its end. */
export async function runRelayProgram(
  program: string,
  args: readonly string[],
  settings: Settings = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", ...settings },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (data: Buffer) => (output += data.toString()));
  child.stderr.on("data", (data: Buffer) => (output += data.toString()));
  await once(child, "close");
  return { code: child.exitCode, output };
}

/** Ends it with a signal, if it has not ended; answers its exit code, null if the signal killed it. */
export async function endProcess(
  child: ChildProcess,
  signal: NodeJS.Signals,
): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }
  return child.exitCode;
}
