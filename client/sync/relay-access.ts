/**
 * This person's way into a relay that is not open (docs/protocol.md, AUTH): one access key per relay,
 * known by the relay's own key, so that it fits under every address.
 */
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import type { Auth } from "#relay/protocol/messages.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { Random } from "./ports.ts";

const secretBytes = 32;
const noToken = new Uint8Array();

export function loadAccessKey(store: Store, relayPub: Uint8Array): Uint8Array | null {
  return store.settings.get(nameOf(relayPub));
}

export function saveAccessKey(store: Store, relayPub: Uint8Array, secret: Uint8Array): void {
  store.settings.put(nameOf(relayPub), secret);
}

function nameOf(relayPub: Uint8Array): string {
  return `relay-access/${toHex(relayPub)}`;
}

/**
 * What shows this person's key to the relay of this transcript; null without a key. With a token a
 * key is made first and kept: sent again after a lost answer, it is the same.
 */
export function authFor(
  ports: { readonly store: Store; readonly ed: Ed25519; readonly random: Random },
  relayPub: Uint8Array,
  transcript: Uint8Array,
  token: Uint8Array | null,
): Auth | null {
  let secret = loadAccessKey(ports.store, relayPub);
  if (secret === null) {
    if (token === null) return null;
    secret = ports.random(secretBytes);
    saveAccessKey(ports.store, relayPub, secret);
  }
  const shown = token ?? noToken;
  return {
    type: "auth",
    accessPub: ports.ed.publicKey(secret),
    token: shown,
    signature: ports.ed.sign(secret, inDomain("auth", transcript, shown)),
  };
}
