/** What a relay says of itself at `relay.json`, for a device that believes nothing it cannot read. */
import { defaultLimits, type Limits } from "#relay/protocol/limits.ts";
import type { RelayAbout } from "./api.ts";
import { appOf } from "./relay-address.ts";

/** Far more than a relay has to say. */
const mostCharacters = 64 << 10;
const longestVersion = 40;
const accessModes = ["open", "invite", "allowlist"] as const;
const limitNames = Object.keys(defaultLimits) as (keyof Limits)[]; // the keys of a literal

export type AboutAnswer =
  | { readonly type: "told"; readonly about: RelayAbout; readonly fingerprint: string }
  /** What is there is no description of a Sealeaf relay. */
  | { readonly type: "nonsense" };

/** @param relay ws:// or wss:// */
export function aboutAddress(relay: string): string {
  return `${appOf(relay)}relay.json`;
}

export function parseAbout(text: string): AboutAnswer {
  const json = text.length > mostCharacters ? null : objectIn(text);
  if (json === null || json["name"] !== "sealeaf") return { type: "nonsense" };
  const { version, protocol, relayKey, guests } = json;
  const access = accessModes.find((mode) => mode === json["access"]);
  const limits = limitsIn(json["limits"]);
  const isSound =
    typeof version === "string" &&
    /^[\w.+-]+$/.test(version) &&
    version.length <= longestVersion &&
    isSize(protocol) &&
    typeof relayKey === "string" &&
    /^[0-9a-f]{4}( [0-9a-f]{4}){7}$/.test(relayKey) &&
    typeof guests === "boolean";
  const keyBytes = json["keyBytes"] ?? null;
  if (!isSound || access === undefined || limits === null) return { type: "nonsense" };
  if (keyBytes !== null && !isSize(keyBytes)) return { type: "nonsense" };
  const about = { version, protocol, access, guests, limits, keyBytes };
  return { type: "told", about, fingerprint: relayKey };
}

function limitsIn(value: unknown): Limits | null {
  if (!isObject(value)) return null;
  const sizes = limitNames.map((name) => [name, value[name]] as const);
  // Every name has a size, as was just looked at.
  return sizes.every(([, size]) => isSize(size))
    ? (Object.fromEntries(sizes) as unknown as Limits)
    : null;
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
