/**
 * `ws://host/path/v1` ⇄ `http://host/path/`: a relay serves the app from its own address. The app may also come from
 * elsewhere.
 */

export function appOf(relay: string): string {
  return relay.replace(/^ws/, "http").replace(/\/v1$/, "/");
}

/** The relay that serves the app a link points to; null for a link without an address. */
export function relayOf(link: string): string | null {
  const app = /^https?:\/\/[^#]*/.exec(link.trim())?.[0];
  return app === undefined ? null : `${app.replace(/^http/, "ws").replace(/\/*$/, "")}/v1`;
}

export function sameRelay(a: string, b: string): boolean {
  return relayName(a) === relayName(b);
}

/** The same for every spelling of one address. */
export function relayName(url: string): string {
  return url.replace(/\/\/(localhost|127\.0\.0\.1)(?=[:/])/, "//localhost");
}

/** Host and port, for a person; "unreadable address" for what is none. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "unreadable address";
}

/**
 * Whether a browser refuses to dial `relay` from an app that came from `servedBy`: from a page that came encrypted it
 * reaches nothing that is not, but this machine.
 */
export function isMixedContent(servedBy: string | null, relay: string): boolean {
  if (servedBy === null || !servedBy.startsWith("wss:") || !relay.startsWith("ws:")) return false;
  return !/^ws:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]/.test(relay);
}

/** The address to dial for what a person types; null if it is none. */
export function relayAddress(typed: string): string | null {
  if (!URL.canParse(typed)) return null;
  const { protocol, host, pathname } = new URL(typed);
  const scheme = schemes.get(protocol);
  if (scheme === undefined || host === "") return null;
  const path = pathname.replace(/\/+$/, "");
  return `${scheme}//${host}${path.endsWith("/v1") ? path : `${path}/v1`}`;
}

const schemes = new Map([
  ["http:", "ws:"],
  ["https:", "wss:"],
  ["ws:", "ws:"],
  ["wss:", "wss:"],
]);
