import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { newInvite } from "#relay/access.ts";
import { toBase64url } from "#relay/protocol/bytes.ts";
import type { ConfigResult } from "#relay/config/config.ts";
import { backUp } from "./backup.ts";
import type { CommandLine } from "./command-line.ts";
import { compact } from "./compact.ts";
import { showConfig } from "./config-check.ts";
import { examine } from "./doctor.ts";
import { askHealth } from "./healthcheck.ts";
import { listAccess, makeInvite, revokeAccess } from "./invites.ts";
import { migrateStore } from "./migrate-store.ts";
import { sqlitePathOf, withStore } from "./operator-store.ts";
import type { Program } from "./program.ts";
import { serve } from "./serve.ts";
import { bytesText, figureLines, figuresOf } from "./stats.ts";
import { verify } from "./verify.ts";

/** Runs a command; answers the exit code. Rejects with an OperatorError, a StoreError or a system's error. */
export async function runCommand(
  line: CommandLine,
  { config, effective }: Extract<ConfigResult, { ok: true }>,
  program: Program,
): Promise<number> {
  const [argument = ""] = line.args;
  switch (line.command) {
    case "serve":
      await serve(config, program);
      return 0;
    case "config check":
      showConfig(effective);
      return 0;
    case "invite make": {
      const token = newInvite((length) => new Uint8Array(randomBytes(length)));
      const { label, days } = line;
      await withStore(config, "write", ({ access }) =>
        makeInvite(access, { token, label, days, now: Date.now() }),
      );
      console.log(toBase64url(token));
      return 0;
    }
    case "invite list": {
      const lines = await withStore(config, "read", ({ access }) => listAccess(access, Date.now()));
      for (const text of lines) console.log(text);
      if (lines.length === 0) console.log("No invitations and no access keys.");
      return 0;
    }
    case "invite revoke": {
      const what = await withStore(config, "write", ({ access }) => revokeAccess(access, argument));
      console.log(
        what === "key" ? "The access key makes no more notebooks." : "The invitation is withdrawn.",
      );
      return 0;
    }
    case "backup": {
      const path = sqlitePathOf(config, "copy it with pg_dump or your provider's backups");
      const bytes = await backUp(path, resolve(argument));
      console.log(`${argument} holds the store as it was a moment ago, ${bytesText(bytes)}.`);
      return 0;
    }
    case "verify": {
      const report = await verify(config, line.args.length === 0 ? null : resolve(argument));
      for (const sentence of report.troubles) console.error(sentence);
      if (report.troubles.length > 0) return 1;
      const { spaces, positions, chunks } = report;
      console.log(`All is well (spaces: ${spaces}, positions: ${positions}, chunks: ${chunks}).`);
      return 0;
    }
    case "stats": {
      const figures = await withStore(config, "read", (store) => figuresOf(store, config));
      if (line.json) console.log(JSON.stringify(figures));
      else for (const text of figureLines(figures)) console.log(text);
      return 0;
    }
    case "doctor": {
      const findings = await examine(config, config.clientDir ?? program.clientDir);
      for (const { level, text } of findings) console.log(`${level.padEnd(7)}  ${text}`);
      const isWell = findings.every(({ level }) => level !== "trouble");
      if (isWell) console.log("All is well.");
      return isWell ? 0 : 1;
    }
    case "compact":
      sqlitePathOf(config, "it gives room back by itself (autovacuum)");
      console.log(`${bytesText(await compact(config))} went back to the disk.`);
      return 0;
    case "healthcheck":
      await askHealth(config);
      console.log("ready");
      return 0;
    case "migrate-store": {
      const [from = "", to = ""] = line.args;
      for (const sentence of await migrateStore(from, to)) console.log(sentence);
      return 0;
    }
  }
}
