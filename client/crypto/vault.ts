/** The vault that a person's words lead to. */
import { encodeGenesis } from "#relay/protocol/genesis.ts";
import type { RootSecrets } from "./derive.ts";
import { signingKey, type Ed25519, type SigningKey } from "./ed25519.ts";

/** Its genesis record, 52 bytes, and the administrator whom nobody can remove. */
export function vaultOf(
  ed: Ed25519,
  root: RootSecrets,
): { readonly admin: SigningKey; readonly genesis: Uint8Array } {
  const admin = signingKey(ed, root.vaultAdmin);
  const { publicKey: adminPub } = admin;
  return { admin, genesis: encodeGenesis({ kind: "vault", adminPub, nonce: root.vaultNonce }) };
}
