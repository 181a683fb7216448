/** `doctor`: looks at settings, directory, disk, store and client files, and changes nothing. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "#relay/config/config.ts";
import { isLoopback } from "#relay/config/networks.ts";
import { checkStore } from "#relay/store-check.ts";
import { StoreError } from "#relay/store/store.ts";
import { askHealth } from "./healthcheck.ts";
import { withStore } from "./operator-store.ts";
import { bytesText } from "./stats.ts";

export interface Finding {
  readonly level: "well" | "note" | "trouble";
  /** What was found and, of a trouble, what to do. */
  readonly text: string;
}

export async function examine(config: Config, clientDir: string): Promise<readonly Finding[]> {
  const directory = config.store.type === "sqlite" ? directoryFindings(config.dataDir) : [];
  const hasStore =
    config.store.type === "postgres" || directory.every(({ level }) => level === "well");
  return [
    ...settingFindings(config),
    ...directory,
    ...(config.store.type === "sqlite" ? await diskFindings(config) : []),
    ...(hasStore ? await storeFindings(config) : []),
    clientFinding(clientDir),
    await runningFinding(config),
  ];
}

function settingFindings(config: Config): readonly Finding[] {
  const findings: Finding[] = [];
  const isAlone = isLoopback(config.host);
  const isPublic = config.publicUrl !== null && !isLoopback(config.publicUrl.hostname);
  if ((!isAlone || isPublic) && config.access === "open") {
    findings.push(
      note(
        "Anybody who reaches this relay may make notebooks: SEALEAF_ACCESS=invite asks for invitations.",
      ),
    );
  }
  if (isPublic && config.publicUrl?.protocol === "http:") {
    findings.push(trouble("SEALEAF_PUBLIC_URL is http: browsers keep notes only behind https."));
  }
  if (isPublic && config.trustedProxies.texts.length === 0) {
    findings.push(
      note(
        "No proxy is trusted: behind one everybody has its address and shares its connections. Name it in SEALEAF_TRUSTED_PROXIES.",
      ),
    );
  }
  return findings.length > 0 ? findings : [well("The settings fit together.")];
}

function directoryFindings(dir: string): readonly Finding[] {
  if (!existsSync(dir)) {
    return [note(`The data directory ${dir} is not there yet: the first start makes it.`)];
  }
  try {
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return [trouble(`The data directory ${dir} cannot be written by this user: change its owner.`)];
  }
  if (!existsSync(join(dir, "relay.db"))) {
    return [note(`There is no store in ${dir} yet: the first start makes it.`)];
  }
  const others = statSync(dir).mode & 0o077;
  return others === 0
    ? [well("The data directory is this user's alone.")]
    : [well("The data directory can be written.")];
}

async function diskFindings({ dataDir, keepFreeBytes }: Config): Promise<readonly Finding[]> {
  if (!existsSync(dataDir)) return [];
  const { bavail, bsize } = await statfs(dataDir);
  const free = bavail * bsize;
  if (free >= keepFreeBytes) return [well(`The disk has ${bytesText(free)} of room.`)];
  return [
    trouble(
      `The disk has ${bytesText(free)} of room, less than the ${bytesText(keepFreeBytes)} that SEALEAF_KEEP_FREE keeps: the relay only reads. Make room; it goes on by itself.`,
    ),
  ];
}

async function storeFindings(config: Config): Promise<readonly Finding[]> {
  try {
    return await withStore(config, "read", async (store) => {
      const { spaces, positions, troubles } = await checkStore(store);
      if (troubles.length > 0) {
        return [
          ...troubles.map(trouble),
          note(
            "Restore a backup: clients give back what came after it. Keep the damaged file until then.",
          ),
        ];
      }
      return [well(`The store holds together (spaces: ${spaces}, positions: ${positions}).`)];
    });
  } catch (error) {
    if (error instanceof StoreError) return [trouble(error.message)];
    throw error;
  }
}

function clientFinding(clientDir: string): Finding {
  return existsSync(join(clientDir, "index.html"))
    ? well("The web client is there.")
    : note(`There is no web client in ${clientDir}: people cannot open the relay in a browser.`);
}

async function runningFinding(config: Config): Promise<Finding> {
  try {
    await askHealth(config);
    return well("The relay is running and ready.");
  } catch (error) {
    return note(error instanceof Error ? error.message : "The relay does not answer.");
  }
}

function well(text: string): Finding {
  return { level: "well", text };
}

function note(text: string): Finding {
  return { level: "note", text };
}

function trouble(text: string): Finding {
  return { level: "trouble", text };
}
