#!/usr/bin/env node
/** The program `sealeaf-relay`: settings and a command in, sentences and an exit code out. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { helpText, parseCommandLine, type CommandLine } from "#relay/cli/command-line.ts";
import { OperatorError, type Program } from "#relay/cli/program.ts";
import { runCommand } from "#relay/cli/run-command.ts";
import type { Config } from "#relay/config/config.ts";
import { readConfig, type ConfigResult } from "#relay/config/config.ts";
import { fileSetting, variableOf } from "#relay/config/settings.ts";
import { StoreError } from "#relay/store/store.ts";

const here = dirname(fileURLToPath(import.meta.url));

function beside(): Program {
  const builtWorker = new URL("./sqlite-worker.js", import.meta.url);
  return {
    version: version(),
    workerUrl: existsSync(builtWorker) ? builtWorker : null,
    clientDir: join(here, "client"),
  };
}

function version(): string {
  // Built, the program lies in dist/ under the package; from source in relay/ under it.
  const manifestPath = join(here, "..", "package.json");
  if (!existsSync(manifestPath)) return "unknown";
  const manifest: unknown = JSON.parse(readFileSync(manifestPath, "utf8"));
  const isNamed = typeof manifest === "object" && manifest !== null && "version" in manifest;
  return isNamed ? String(manifest.version) : "unknown";
}

function fail(sentences: readonly string[]): never {
  for (const sentence of sentences) console.error(sentence);
  process.exit(1);
}

function configFor(line: CommandLine): ConfigResult {
  const environment = process.env;
  const path = line.configFile ?? environment[variableOf(fileSetting.name)] ?? "";
  if (path === "") return readConfig({ environment, flags: line.flags });
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return { ok: false, mistakes: [`The configuration file ${path} cannot be read.`] };
  }
  return readConfig({ environment, flags: line.flags, file: { path, text } });
}

function sentenceFor(error: unknown, { host, port, metrics }: Config): string {
  if (error instanceof StoreError || error instanceof OperatorError) return error.message;
  const code = error instanceof Error && "code" in error ? error.code : null;
  const asked = error instanceof Error && "port" in error ? Number(error.port) : port;
  const setting = metrics !== null && asked === metrics.port ? "METRICS_PORT" : "PORT";
  switch (code) {
    case "EADDRINUSE":
      return `Port ${asked} is in use: stop the other program, or set SEALEAF_${setting}.`;
    case "EACCES":
      return `Listening on ${host}:${asked} is not allowed: set SEALEAF_${setting} to one above 1023.`;
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return `This computer has no address ${host}: set SEALEAF_HOST.`;
    default:
      return `The relay could not go on: ${error instanceof Error ? error.message : String(error)}.`;
  }
}

async function main(args: readonly string[]): Promise<void> {
  const parsed = parseCommandLine(args);
  switch (parsed.type) {
    case "help":
      process.stdout.write(helpText());
      return;
    case "version":
      console.log(version());
      return;
    case "mistake":
      fail([parsed.sentence, "", helpText()]);
      break;
    case "run": {
      const result = configFor(parsed.line);
      if (!result.ok) fail(result.mistakes);
      try {
        process.exitCode = await runCommand(parsed.line, result, beside());
      } catch (error) {
        fail([sentenceFor(error, result.config)]);
      }
    }
  }
}

await main(process.argv.slice(2));
