/** What an operator may set: defaults, then `SEALEAF_*` of the environment. */
import { resolve } from "node:path";
import { defaultLimits } from "./protocol/limits.ts";

export interface Config {
  readonly dataDir: string;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Where the built client is; null for the one beside the program. */
  readonly clientDir: string | null;
  /** What people dial, when a proxy changes the Host header; null to go by that header. */
  readonly publicUrl: string | null;
  /** Behind a proxy everybody has the proxy's address. */
  readonly connectionsPerAddress: number;
}

export type ConfigResult =
  | { readonly ok: true; readonly config: Config }
  /** Every mistake, each a sentence for the operator. */
  | { readonly ok: false; readonly mistakes: readonly string[] };

/** The settings, in the order and with the words of `--help`. */
export const settings = [
  { name: "SEALEAF_DATA", help: "the data directory (default ./data)" },
  { name: "SEALEAF_HOST", help: "the address to listen on (default 127.0.0.1)" },
  { name: "SEALEAF_PORT", help: "the port to listen on (default 8787)" },
  { name: "SEALEAF_CLIENT_DIR", help: "the built web client (default beside the program)" },
  { name: "SEALEAF_PUBLIC_URL", help: "what people dial, if a proxy changes the Host header" },
  {
    name: "SEALEAF_CONNECTIONS_PER_ADDRESS",
    help: "connections one address may hold (default 32; more behind a proxy)",
  },
] as const;

/** Variables of the project's own tests and benches: nothing to the relay, and no typing errors. */
const testVariables = /^SEALEAF_(TEST_|BENCH_|SIM_|CHROMIUM$)/;

type SettingName = (typeof settings)[number]["name"];

export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
): ConfigResult {
  const mistakes: string[] = [];
  const known = new Set<string>(settings.map(({ name }) => name));
  for (const name of Object.keys(environment)) {
    if (name.startsWith("SEALEAF_") && !known.has(name) && !testVariables.test(name)) {
      mistakes.push(`${name} is not a setting of this relay.`);
    }
  }
  const value = (name: SettingName): string | null => {
    const text = environment[name]?.trim() ?? "";
    return text === "" ? null : text;
  };

  const portText = value("SEALEAF_PORT") ?? "8787";
  const port = Number(portText);
  if (!/^\d+$/.test(portText) || port > 65_535) {
    mistakes.push(`SEALEAF_PORT is a number from 0 to 65535, not "${portText}".`);
  }
  const publicUrl = value("SEALEAF_PUBLIC_URL");
  if (publicUrl !== null && !isWebAddress(publicUrl)) {
    mistakes.push(
      `SEALEAF_PUBLIC_URL is an address like https://notes.example, not "${publicUrl}".`,
    );
  }
  const connectionsText =
    value("SEALEAF_CONNECTIONS_PER_ADDRESS") ?? String(defaultLimits.connectionsPerAddress);
  const connectionsPerAddress = Number(connectionsText);
  if (!/^\d+$/.test(connectionsText) || connectionsPerAddress < 1 || connectionsPerAddress > 1e6) {
    mistakes.push(
      `SEALEAF_CONNECTIONS_PER_ADDRESS is a number from 1 to 1000000, not "${connectionsText}".`,
    );
  }
  if (mistakes.length > 0) return { ok: false, mistakes };
  const clientDir = value("SEALEAF_CLIENT_DIR");
  return {
    ok: true,
    config: {
      dataDir: resolve(value("SEALEAF_DATA") ?? "data"),
      host: value("SEALEAF_HOST") ?? "127.0.0.1",
      port,
      clientDir: clientDir === null ? null : resolve(clientDir),
      publicUrl,
      connectionsPerAddress,
    },
  };
}

function isWebAddress(text: string): boolean {
  return URL.canParse(text) && ["http:", "https:"].includes(new URL(text).protocol);
}
