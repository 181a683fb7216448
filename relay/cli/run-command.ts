import type { ConfigResult } from "#relay/config/config.ts";
import type { CommandLine } from "./command-line.ts";
import { showConfig } from "./config-check.ts";
import type { Program } from "./program.ts";
import { OperatorError } from "./program.ts";
import { serve } from "./serve.ts";

/** Runs a command; answers the exit code. Rejects with an OperatorError, a StoreError or a system's error. */
export async function runCommand(
  line: CommandLine,
  { config, effective }: Extract<ConfigResult, { ok: true }>,
  program: Program,
): Promise<number> {
  switch (line.command) {
    case "serve":
      await serve(config, program);
      return 0;
    case "config check":
      showConfig(effective);
      return 0;
    default:
      throw new OperatorError(`${line.command} is not there yet.`);
  }
}
