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
