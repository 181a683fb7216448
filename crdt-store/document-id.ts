import { sha256 } from "@noble/hashes/sha2.js";

/*
 * automerge-repo writes document ids as base58check: base 58 of the bytes followed by the first four of their double
 * SHA-256 (https://en.bitcoin.it/wiki/Base58Check_encoding). Done here because automerge-repo's own functions would
 * bring Automerge into the worker, which does without it.
 */

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const documentBytes = 16;
const checksumBytes = 4;
const longestText = 28;

/** The text of a document id of 16 bytes. */
export function documentIdToText(doc: Uint8Array): string {
  const bytes = new Uint8Array([...doc, ...checksum(doc)]);
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(zeros === -1 ? bytes.length : zeros) + base58(bytes).replace(/^1+/, "");
}

// Long division of 16-bit limbs by 58⁴, so that every step is exact in a number: lists have ten thousand ids.
function base58(bytes: Uint8Array): string {
  const limbs = Array.from(
    { length: bytes.length / 2 },
    (_, index) => (bytes[2 * index] ?? 0) * 256 + (bytes[2 * index + 1] ?? 0),
  );
  let text = "";
  while (text.length < longestText) {
    let rest = 0;
    for (const [index, limb] of limbs.entries()) {
      const value = rest * 65_536 + limb;
      limbs[index] = Math.floor(value / 11_316_496);
      rest = value % 11_316_496;
    }
    for (let digit = 0; digit < 4; digit += 1) {
      text = alphabet.charAt(rest % 58) + text;
      rest = Math.floor(rest / 58);
    }
  }
  return text;
}

/** The 16 bytes of a document id; undefined if the text is not one. */
export function parseDocumentId(text: string): Uint8Array | undefined {
  if (text.length > longestText) return undefined;
  let value = 0n;
  for (const character of text) {
    const digit = alphabet.indexOf(character);
    if (digit === -1) return undefined;
    value = value * 58n + BigInt(digit);
  }
  const bytes = new Uint8Array(documentBytes + checksumBytes);
  for (let index = bytes.length - 1; index >= 0; index -= 1) {
    bytes[index] = Number(value & 0xffn);
    value >>= 8n;
  }
  const doc = bytes.slice(0, documentBytes);
  // Comparing the text anew refuses a wrong checksum, a wrong length and superfluous leading ones alike.
  return value === 0n && documentIdToText(doc) === text ? doc : undefined;
}

function checksum(bytes: Uint8Array): Uint8Array {
  return sha256(sha256(bytes)).subarray(0, checksumBytes);
}
