/**
 * GENESIS and the ids that follow from it. A space id is the hash of its genesis, so creating a
 * space needs nobody's leave and two devices can never mean different spaces by one id.
 */
import { parseAll, Writer, type Parsed } from "./bytes.ts";
import { hashInDomain } from "./domain.ts";
import { protocolVersion } from "./limits.ts";

export const spaceIdBytes = 32;
export const docIdBytes = 16;
export const genesisBytes = 52;
export const noDocument: Uint8Array = new Uint8Array(docIdBytes);

export type SpaceKind = "notebook" | "vault";
const codeByKind: Record<SpaceKind, number> = { notebook: 1, vault: 2 };

/**
 * ```
 * 0 ver u8 | 1 type u8 = 1 | 2 kind u8 | 3 flags u8 = 0 | 4 adminPub 32 | 36 nonce 16     52 bytes
 * ```
 */
export interface Genesis {
  readonly kind: SpaceKind;
  /** Ed25519 key of the first administrator. */
  readonly adminPub: Uint8Array;
  readonly nonce: Uint8Array;
}

const genesisType = 1;

export function encodeGenesis(genesis: Genesis): Uint8Array {
  return new Writer()
    .u8(protocolVersion)
    .u8(genesisType)
    .u8(codeByKind[genesis.kind])
    .u8(0)
    .fixed(genesis.adminPub, 32)
    .fixed(genesis.nonce, 16)
    .finish();
}

export function parseGenesis(bytes: Uint8Array): Parsed<Genesis> {
  return parseAll(bytes, (reader) => {
    if (reader.u8() !== protocolVersion) reader.refuse("unknown version");
    if (reader.u8() !== genesisType) reader.refuse("not a genesis");
    const code = reader.u8();
    const kind = code === 1 ? "notebook" : code === 2 ? "vault" : reader.refuse("unknown kind");
    if (reader.u8() !== 0) reader.refuse("unknown flags");
    return { kind, adminPub: reader.bytes(32), nonce: reader.bytes(16) };
  });
}

export function spaceIdOf(genesis: Uint8Array): Uint8Array {
  return hashInDomain("space", genesis);
}

/** The document id a device may give to a new document of a space: nobody else can arrive at it. */
export function documentIdOf(
  spaceId: Uint8Array,
  devPub: Uint8Array,
  docNonce: Uint8Array,
): Uint8Array {
  return hashInDomain("doc", spaceId, devPub, docNonce).slice(0, docIdBytes);
}

/** The index document of a space, the same on every device. */
export function indexIdOf(spaceId: Uint8Array): Uint8Array {
  return hashInDomain("index", spaceId).slice(0, docIdBytes);
}
