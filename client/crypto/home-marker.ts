/**
 * Where a notebook has its new home, said in the index of the old space. Whoever may edit may write there, so an
 * administrator signs it: nobody else can lead the members away.
 */
import { parseAll, utf8, Writer } from "#relay/protocol/bytes.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import { genesisBytes } from "#relay/protocol/genesis.ts";
import type { Ed25519, SigningKey } from "./ed25519.ts";
import { isRelayAddress, longestRelayAddress } from "./link.ts";

export interface HomeMarker {
  /** Of the new space. */
  readonly genesis: Uint8Array;
  /** Where its relay listens, ws:// or wss://. */
  readonly relay: string;
  /** The capability that signed it, to be looked up in the old space. */
  readonly capPub: Uint8Array;
}

const version = 1;

/**
 * ```
 * 0 ver 1 | genesis 52 | capPub 32 | n u16 | relay n, UTF-8 | sig_cap 64
 * ```
 */
export function signHome(
  ed: Ed25519,
  capability: SigningKey,
  spaceId: Uint8Array,
  home: Pick<HomeMarker, "genesis" | "relay">,
): Uint8Array {
  const message = homeMessage(spaceId, home);
  return new Writer()
    .u8(version)
    .fixed(home.genesis, genesisBytes)
    .fixed(capability.publicKey, 32)
    .text16(home.relay)
    .fixed(ed.sign(capability.seed, message), 64)
    .finish();
}

/** Null for bytes of a later version, and for what its capability did not sign. */
export function openHome(ed: Ed25519, spaceId: Uint8Array, bytes: Uint8Array): HomeMarker | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== version) reader.refuse("unknown version");
    return {
      genesis: reader.bytes(genesisBytes),
      capPub: reader.bytes(32),
      relay: reader.text16(4 * longestRelayAddress),
      signature: reader.bytes(64),
    };
  });
  if (!parsed.ok || !isRelayAddress(parsed.value.relay)) return null;
  const { signature, ...home } = parsed.value;
  return ed.verify(home.capPub, homeMessage(spaceId, home), signature) ? home : null;
}

function homeMessage(
  spaceId: Uint8Array,
  { genesis, relay }: Pick<HomeMarker, "genesis" | "relay">,
): Uint8Array {
  return inDomain("home", spaceId, genesis, utf8(relay));
}
