/**
 * Links: `<app address>/#1<r|e|d>.<secret>.<spaceId>[.<relay URL>]`, parts in base64url. The fragment
 * never reaches a server; whoever has it has the capability it names (PROTOCOL §10).
 */
import { parseBase64url, toBase64url, utf8 } from "#relay/protocol/bytes.ts";

export interface ShareLink {
  /** "device": one more device of the same person; it opens the vault. */
  readonly role: "read" | "edit" | "device";
  /** 32 bytes: a capability of its own. */
  readonly secret: Uint8Array;
  readonly spaceId: Uint8Array;
  /** ws:// or wss:// address of the relay with its path, null for "where the app came from". */
  readonly relay: string | null;
}

export const longestRelayAddress = 2_000;

const letterByRole = { read: "r", edit: "e", device: "d" } as const;

const roleByLetter = new Map<string, ShareLink["role"]>(
  (["read", "edit", "device"] as const).map((role) => [letterByRole[role], role]),
);

/** @param app address of the web app, without fragment */
export function formatLink(app: string, link: ShareLink): string {
  const parts = [
    `1${letterByRole[link.role]}`,
    toBase64url(link.secret),
    toBase64url(link.spaceId),
    ...(link.relay === null ? [] : [toBase64url(utf8(link.relay))]),
  ];
  return `${app.replace(/#.*$/, "").replace(/\/*$/, "/")}#${parts.join(".")}`;
}

export type ParsedLink =
  | { readonly ok: true; readonly link: ShareLink }
  | { readonly ok: false; readonly message: string };

/** @param text a whole link or its fragment */
export function parseLink(text: string): ParsedLink {
  const trimmed = text.trim();
  const fragment = trimmed.includes("#") ? trimmed.slice(trimmed.indexOf("#") + 1) : trimmed;
  const [kind, secretText, spaceText, relayText, ...more] = fragment.split(".");
  const role = kind?.startsWith("1") === true ? roleByLetter.get(kind.slice(1)) : undefined;
  if (role === undefined || secretText === undefined || spaceText === undefined) {
    return refuse("This is not a Sealeaf link.");
  }
  const secret = parseBase64url(secretText);
  const spaceId = parseBase64url(spaceText);
  if (more.length > 0 || secret?.length !== 32 || spaceId?.length !== 32) {
    return refuse("This link is damaged: a part of it is missing or changed. Ask for it again.");
  }
  if (relayText === undefined) return { ok: true, link: { role, secret, spaceId, relay: null } };
  const relay = relayAddressIn(relayText);
  if (relay === null) {
    return refuse("This link is damaged: the relay it names cannot be read. Ask for it again.");
  }
  return { ok: true, link: { role, secret, spaceId, relay } };
}

function relayAddressIn(encoded: string): string | null {
  const bytes = parseBase64url(encoded);
  if (bytes === null) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return isRelayAddress(text) ? text : null;
  } catch {
    return null;
  }
}

/** Whether it is the whole address of a relay, as links and vaults carry it: one that was cut short is none. */
export function isRelayAddress(text: string): boolean {
  if (text.length > longestRelayAddress || !URL.canParse(text)) return false;
  const { protocol, host, pathname, search, hash } = new URL(text);
  const isWhole = pathname.endsWith("/v1") && search === "" && hash === "";
  return (protocol === "ws:" || protocol === "wss:") && host !== "" && isWhole;
}

function refuse(message: string): ParsedLink {
  return { ok: false, message };
}
