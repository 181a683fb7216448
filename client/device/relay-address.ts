/** `ws://host/v1` ⇄ `http://host/`: a relay serves the app from its own address. */

export function appOf(relay: string): string {
  return relay.replace(/^ws/, "http").replace(/\/v1$/, "/");
}

/** The relay that serves the app a link points to; null for a link without an address. */
export function relayOf(link: string): string | null {
  const app = /^https?:\/\/[^#]*/.exec(link.trim())?.[0];
  return app === undefined ? null : `${app.replace(/^http/, "ws").replace(/\/*$/, "")}/v1`;
}

export function sameRelay(a: string, b: string): boolean {
  return withOneLoopback(a) === withOneLoopback(b);
}

function withOneLoopback(url: string): string {
  return url.replace(/\/\/(localhost|127\.0\.0\.1)(?=[:/])/, "//localhost");
}
