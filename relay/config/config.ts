/** What an operator may set: defaults, then a file, then `SEALEAF_*` of the environment, then flags. */
import { resolve } from "node:path";
import type { AccessMode } from "#relay/protocol/access.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { isSoundSigningKey } from "#relay/protocol/keys.ts";
import { defaultLimits, type Limits } from "#relay/protocol/limits.ts";
import { isLoopback, isNetwork, Networks } from "./networks.ts";
import { PostgresAddress } from "./postgres-address.ts";
import { SettingReader, type ConfigSources } from "./setting-reader.ts";
import { settings } from "./settings.ts";

export interface Config {
  readonly dataDir: string;
  readonly store: StoreChoice;
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Where the built client is; null for the one beside the program. */
  readonly clientDir: string | null;
  /** What people open, when it is not what reaches the relay as Host header; null to go by that. */
  readonly publicUrl: URL | null;
  /** Whose X-Forwarded-* headers count. */
  readonly trustedProxies: Networks;
  readonly access: AccessMode;
  /** Ed25519 keys admitted without an invitation. */
  readonly allowedKeys: readonly Uint8Array[];
  /** Whether whoever holds a capability of an existing space is served without a key. */
  readonly guests: boolean;
  readonly limits: Limits;
  /** Bytes of all spaces made with one access key. */
  readonly keyQuotaBytes: number;
  /** Room on the disk below which nothing but control records is written. */
  readonly keepFreeBytes: number;
  readonly metrics: { readonly host: string; readonly port: number } | null;
  readonly logLevel: LogLevel;
}

export type StoreChoice =
  | { readonly type: "sqlite" }
  | { readonly type: "postgres"; readonly address: PostgresAddress };

const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** One line of `config check`. */
export interface EffectiveSetting {
  readonly name: string;
  /** Without secrets. */
  readonly value: string;
  readonly origin: string;
}

export type ConfigResult =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly effective: readonly EffectiveSetting[];
    }
  /** Every mistake, each a sentence for the operator. */
  | { readonly ok: false; readonly mistakes: readonly string[] };

/** Less room would not hold the first records of a notebook with a few members. */
const leastQuotaBytes = 1 << 20;

export function readConfig(sources: ConfigSources): ConfigResult {
  const reader = new SettingReader(sources);
  const host = reader.text("host") ?? "";
  const publicUrl = readPublicUrl(reader);
  const config: Config = {
    dataDir: resolve(reader.text("data") ?? ""),
    store: readStore(reader),
    host,
    port: reader.number("port", 0, 65_535),
    clientDir: resolvedOrNull(reader.text("client-dir")),
    publicUrl,
    trustedProxies: readProxies(reader),
    access: reader.choice("access", ["open", "invite", "allowlist"], accessBy(host, publicUrl)),
    allowedKeys: readKeys(reader),
    guests: reader.choice("guests", ["on", "off"], "on") === "on",
    limits: {
      ...defaultLimits,
      spaceBytes: reader.size("space-quota", leastQuotaBytes),
      connectionsPerAddress: reader.number("connections-per-address", 1, 1e6),
      entriesPerSecond: reader.number("entries-per-second", 1, 1e6),
      entryBurst: reader.number("entry-burst", 1, 1e6),
    },
    keyQuotaBytes: reader.size("key-quota", leastQuotaBytes),
    keepFreeBytes: reader.size("keep-free", 0),
    metrics: readMetrics(reader),
    logLevel: reader.choice("log", logLevels, "info"),
  };
  if (reader.mistakes.length > 0) return { ok: false, mistakes: reader.mistakes };
  return { ok: true, config, effective: effectiveSettings(reader, config) };
}

function resolvedOrNull(path: string | null): string | null {
  return path === null ? null : resolve(path);
}

function readStore(reader: SettingReader): StoreChoice {
  const text = reader.text("store") ?? "sqlite";
  if (text === "sqlite") return { type: "sqlite" };
  const address = PostgresAddress.parse(text);
  if (address !== null) return { type: "postgres", address };
  const origin = reader.found("store")?.origin ?? "";
  // Not repeated: a mistyped address holds the password as well.
  reader.mistakes.push(`${origin} is sqlite, or like postgres://user:password@host/database.`);
  return { type: "sqlite" };
}

function readPublicUrl(reader: SettingReader): URL | null {
  const text = reader.text("public-url");
  if (text === null) return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  const isPlain = url !== null && url.search === "" && url.hash === "" && url.username === "";
  if (isPlain && ["http:", "https:"].includes(url.protocol)) return url;
  reader.refuse("public-url", "an address like https://notes.example or https://example.org/notes");
  return null;
}

function readProxies(reader: SettingReader): Networks {
  const texts = reader.list("trusted-proxies");
  if (texts.every(isNetwork)) return new Networks(texts);
  reader.refuse("trusted-proxies", "addresses or networks like 127.0.0.1, 10.0.0.0/8");
  return new Networks([]);
}

function readKeys(reader: SettingReader): readonly Uint8Array[] {
  const texts = reader.list("allowed-keys");
  const sound = texts.flatMap((text) => {
    const key = parseHex(text);
    return key !== null && isSoundSigningKey(key) ? [key] : [];
  });
  if (sound.length < texts.length) {
    reader.refuse("allowed-keys", "access keys of 64 hex digits, as a client shows its own");
  }
  return sound;
}

function readMetrics(reader: SettingReader): Config["metrics"] {
  if (reader.text("metrics-port") === "off") return null;
  const host = reader.text("metrics-host") ?? "";
  const text = reader.text("metrics-port") ?? "";
  if (!/^\d+$/.test(text) || Number(text) > 65_535) {
    reader.refuse("metrics-port", "off, or a number from 0 to 65535");
  }
  return { host, port: Number(text) };
}

/** Whoever reaches only this computer needs no invitation; a proxy in front lets the world in. */
function accessBy(host: string, publicUrl: URL | null): AccessMode {
  const isPublic = publicUrl !== null && !isLoopback(publicUrl.hostname.replace(/^\[|\]$/g, ""));
  return isLoopback(host) && !isPublic ? "open" : "invite";
}

function effectiveSettings(reader: SettingReader, config: Config): readonly EffectiveSetting[] {
  const shown: Partial<Record<string, string>> = {
    data: config.dataDir,
    store: config.store.type === "sqlite" ? "sqlite" : String(config.store.address),
    access: config.access,
    "client-dir": config.clientDir ?? "beside the program",
    "public-url": config.publicUrl?.href ?? "by the Host header",
  };
  return settings.map(({ name }) => {
    const found = reader.found(name);
    const value = shown[name] ?? found?.text ?? "";
    return { name, value: value === "" ? "none" : value, origin: found?.origin ?? "default" };
  });
}
