import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

import type { PageCipherOf } from "./files/page-cipher.ts";
import { createPageCodec, type PageCodec } from "./files/page-codec.ts";

type CodecOf = (
  engine: { readonly cipher: PageCipherOf },
  key: Uint8Array | null,
  random: (count: number) => Uint8Array,
) => PageCodec | null;

/** Seals the pages of the notes' database; null for a store in clear. */
export const notesCodec: CodecOf = codecOf("notes");

/** The same for the search index. */
export const searchCodec: CodecOf = codecOf("index");

// Databases under one key have names of their own, so that a page of one can never stand in the other.
function codecOf(name: "notes" | "index"): CodecOf {
  return ({ cipher }, key, random) => {
    if (key === null) return null;
    const databaseId = sha256(utf8ToBytes(`sealeaf/1/database\0${name}`)).slice(0, 16);
    return createPageCodec({ key, databaseId, random, cipher });
  };
}
