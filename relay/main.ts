#!/usr/bin/env node
/** The program `sealeaf-relay`: settings in, one line out, and a clean stop. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import pino from "pino";
import { runRelay } from "#relay/compose.ts";
import { readConfig, settings, type Config } from "#relay/config.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { StoreError } from "#relay/store/store.ts";

const here = dirname(fileURLToPath(import.meta.url));

function version(): string {
  // Built, the program lies in dist/ under the package; from source in relay/ under it.
  const manifestPath = join(here, "..", "package.json");
  if (!existsSync(manifestPath)) return "unknown";
  const manifest: unknown = JSON.parse(readFileSync(manifestPath, "utf8"));
  const isNamed = typeof manifest === "object" && manifest !== null && "version" in manifest;
  return isNamed ? String(manifest.version) : "unknown";
}

function help(): string {
  const width = Math.max(...settings.map(({ name }) => name.length));
  const lines = settings.map((setting) => `  ${setting.name.padEnd(width)}  ${setting.help}`);
  return [
    "Usage: sealeaf-relay [serve]",
    "",
    "Stores and forwards sealed notes, and serves the web client.",
    "",
    "Settings, from the environment:",
    ...lines,
    "",
    "  --help     shows this",
    "  --version  shows the version",
    "",
  ].join("\n");
}

async function serve(config: Config): Promise<void> {
  const logger = pino({ level: "info", base: null }, pino.destination({ dest: 2, sync: true }));
  const builtWorker = new URL("./sqlite-worker.js", import.meta.url);
  const running = await runRelay({
    dataDir: config.dataDir,
    workerUrl: existsSync(builtWorker) ? builtWorker : null,
    host: config.host,
    port: config.port,
    clientDir: config.clientDir ?? join(here, "client"),
    publicUrl: config.publicUrl,
    limits: { ...defaultLimits, connectionsPerAddress: config.connectionsPerAddress },
    version: version(),
    log: (level, event, numbers) => {
      if (level !== "info") logger[level](numbers ?? {}, event);
    },
  });
  let isStopping = false;
  const stop = () => {
    if (isStopping) return;
    isStopping = true;
    running.stop().then(
      () => process.exit(0),
      () => fail(["The relay did not stop cleanly."]),
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  const shownHost = ["127.0.0.1", "::1", "0.0.0.0", "::"].includes(config.host)
    ? "localhost"
    : config.host;
  console.log(`Sealeaf is ready at http://${shownHost}:${running.port}`);
}

function fail(sentences: readonly string[]): never {
  for (const sentence of sentences) console.error(sentence);
  process.exit(1);
}

function sentenceFor(error: unknown, config: Config): string {
  if (error instanceof StoreError) return error.message;
  const code = error instanceof Error && "code" in error ? error.code : null;
  const place = `${config.host}:${config.port}`;
  switch (code) {
    case "EADDRINUSE":
      return `Port ${config.port} is in use: stop the other program, or set SEALEAF_PORT.`;
    case "EACCES":
      return `Listening on ${place} is not allowed: set SEALEAF_PORT to one above 1023.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `This computer has no address ${config.host}: set SEALEAF_HOST.`;
    default:
      return `The relay could not start: ${error instanceof Error ? error.message : String(error)}.`;
  }
}

async function main(args: readonly string[]): Promise<void> {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: { help: { type: "boolean" }, version: { type: "boolean" } },
      allowPositionals: true,
    });
  } catch (error) {
    fail([error instanceof Error ? error.message : "Unknown option.", "", help()]);
  }
  if (parsed.values.help === true) return void process.stdout.write(help());
  if (parsed.values.version === true) return console.log(version());
  const [command = "serve", ...rest] = parsed.positionals;
  if (command !== "serve" || rest.length > 0) {
    fail([`There is no command "${parsed.positionals.join(" ")}".`, "", help()]);
  }
  const result = readConfig(process.env);
  if (!result.ok) fail(result.mistakes);
  try {
    await serve(result.config);
  } catch (error) {
    fail([sentenceFor(error, result.config)]);
  }
}

await main(process.argv.slice(2));
