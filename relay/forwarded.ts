/** Who calls, and what they dialled, behind proxies: only those the operator trusts are believed. */
import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { plainAddress, type Networks } from "#relay/config/networks.ts";

export interface Caller {
  /** Counts as one: an IPv4 address, or the /64 of an IPv6 one. */
  readonly address: string;
  /** What was dialled: `host[:port]`, with `https://` before it where a proxy says which scheme it was. */
  readonly host: string | null;
}

export function callerOf(
  headers: IncomingHttpHeaders,
  remoteAddress: string,
  trusted: Networks,
): Caller {
  const host = headers.host ?? null;
  const nearest = plainAddress(remoteAddress);
  if (!trusted.includes(nearest)) return { address: countedAs(nearest), host };
  const told = lastOf(headers["x-forwarded-host"]) ?? host;
  const scheme = lastOf(headers["x-forwarded-proto"]);
  return {
    address: countedAs(farthestTrusted(partsOf(headers["x-forwarded-for"]), nearest, trusted)),
    host: told !== null && isScheme(scheme) ? `${scheme}://${told}` : told,
  };
}

/**
 * The nearest address that is no trusted proxy's: what stands before it a client may have made up.
 */
function farthestTrusted(path: readonly string[], nearest: string, trusted: Networks): string {
  let address = nearest;
  for (const part of path.toReversed()) {
    const before = plainAddress(part);
    if (isIP(before) === 0) return address;
    address = before;
    if (!trusted.includes(address)) return address;
  }
  return address;
}

function isScheme(text: string | null): boolean {
  return text === "http" || text === "https";
}

function partsOf(header: string | readonly string[] | undefined): readonly string[] {
  const text = typeof header === "string" ? header : (header ?? []).join(",");
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** Of several proxies the one next to the relay is believed. */
function lastOf(header: string | readonly string[] | undefined): string | null {
  return partsOf(header).at(-1) ?? null;
}

/** Everybody behind one IPv6 /64 is one. */
function countedAs(address: string): string {
  if (isIP(address) !== 6) return address;
  const [front = "", back = ""] = address.split("::");
  const groups = front.split(":").filter((group) => group !== "");
  const after = address.includes("::") ? back.split(":").filter((group) => group !== "") : [];
  const gap = Array.from({ length: Math.max(0, 8 - groups.length - after.length) }, () => "0");
  return [...groups, ...gap, ...after].slice(0, 4).join(":");
}
