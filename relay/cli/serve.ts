/** `serve`: starts, says where, and stops cleanly when it is told to. */
import pino from "pino";
import { toBase64url } from "#relay/protocol/bytes.ts";
import { runRelay, type RunningRelay } from "#relay/compose.ts";
import type { Config, LogLevel } from "#relay/config/config.ts";
import { isLoopback } from "#relay/config/networks.ts";
import type { Log } from "#relay/relay.ts";
import type { Program } from "./program.ts";

/** Longer than the slowest clean stop: a supervisor's own patience ends after 30 s at the latest. */
const stopWithinMs = 25_000;

export async function serve(config: Config, program: Program): Promise<void> {
  const log = loggerAt(config.logLevel);
  const running = await runRelay({
    config,
    workerUrl: program.workerUrl,
    clientDir: config.clientDir ?? program.clientDir,
    version: program.version,
    log,
  });
  stopWhenTold(running, log);
  const { firstInvite, metricsPort } = running;
  if (firstInvite !== null) {
    console.log(`Whoever has this invitation may make notebooks here: ${toBase64url(firstInvite)}`);
  }
  log("info", "listening", {
    port: running.port,
    ...(metricsPort === null ? {} : { metricsPort }),
  });
  console.log(`Sealeaf is ready at ${addressOf(config, running.port)}`);
}

/** JSON lines on standard error, so that what it says to people stays apart. */
function loggerAt(level: LogLevel): Log {
  const logger = pino(
    { level, base: null, formatters: { level: (label) => ({ level: label }) } },
    pino.destination({ dest: 2, sync: true }),
  );
  return (at, event, numbers) => {
    logger[at](numbers ?? {}, event);
  };
}

function stopWhenTold(running: RunningRelay, log: Log): void {
  let isStopping = false;
  const stop = (): void => {
    // Told twice means at once; what was acknowledged is on the disk all the same.
    if (isStopping) process.exit(1);
    isStopping = true;
    log("info", "stopping");
    setTimeout(() => {
      console.error("The relay did not stop in time. What it acknowledged is on the disk.");
      process.exit(1);
    }, stopWithinMs).unref();
    running.stop().then(
      () => process.exit(0),
      () => {
        console.error("The relay did not stop cleanly. What it acknowledged is on the disk.");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

function addressOf({ host, publicUrl }: Config, port: number): string {
  if (publicUrl !== null) return publicUrl.href;
  const isHere = isLoopback(host) || host === "0.0.0.0" || host === "::";
  return `http://${isHere ? "localhost" : host.includes(":") ? `[${host}]` : host}:${port}`;
}
