import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

import type { PageCipherOf } from "./files/page-cipher.ts";
import { createPageCodec, type PageCodec } from "./files/page-codec.ts";

/** Seals the pages of the notes' database; null for a store in clear. */
export function notesCodec(
  { cipher }: { readonly cipher: PageCipherOf },
  key: Uint8Array | null,
  random: (count: number) => Uint8Array,
): PageCodec | null {
  return key === null ? null : createPageCodec({ key, databaseId: notesId(), random, cipher });
}

// Another database under the same key (a rebuildable index, say) takes another name, so their pages cannot be swapped.
function notesId(): Uint8Array {
  return sha256(utf8ToBytes("sealeaf/1/database\0notes")).slice(0, 16);
}
