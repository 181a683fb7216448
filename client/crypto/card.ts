/** What is sealed inside a card: what a list shows of a note before the note is here (PROTOCOL §4). */
import { parseAll, utf8, Writer, type Parsed } from "#relay/protocol/bytes.ts";
import { paddedLength } from "./payload.ts";

/**
 * ```
 * 0 ver u8 = 1 | 1 createdAt u64 | 9 updatedAt u64 | 17 title, preview: each len u16, text
 * | n u8 | tags: each len u16, text | zeros
 * ```
 * Times are milliseconds since 1970.
 */
export interface Card {
  readonly title: string;
  readonly preview: string;
  readonly tags: readonly string[];
  readonly createdAt: number;
  readonly updatedAt: number;
}

const cardVersion = 1;
const mostTextBytes = 1_000;
const mostTags = 64;
/** Before padding; with header, signature and padding it stays below the relay's 4 KiB. */
const mostPlainBytes = 3_200;

/** A clock that is set wrong, or a damaged row, may say anything. */
function moment(ms: number): number {
  return Number.isSafeInteger(ms) && ms > 0 ? ms : 0;
}

/** Padded like an entry. Tags that do not fit are left out. */
export function encodeCard(card: Card): Uint8Array {
  const start = new Writer()
    .u8(cardVersion)
    .u64(moment(card.createdAt))
    .u64(moment(card.updatedAt))
    .text16(cut(card.title))
    .text16(cut(card.preview))
    .finish();
  const tags: Uint8Array[] = [];
  let length = start.length + 1;
  for (const tag of card.tags.map(utf8)) {
    length += 2 + tag.length;
    if (tags.length >= mostTags || length > mostPlainBytes) break;
    tags.push(tag);
  }
  const writer = new Writer().bytes(start).u8(tags.length);
  for (const tag of tags) writer.block16(tag);
  const plain = writer.finish();
  const padded = new Uint8Array(paddedLength(plain.length));
  padded.set(plain);
  return padded;
}

/** Any bytes in (a member sealed them), never an exception. */
export function parseCard(bytes: Uint8Array): Parsed<Card> {
  return parseAll(bytes, (reader) => {
    if (reader.u8() !== cardVersion) reader.refuse("unknown version");
    const createdAt = reader.u64();
    const updatedAt = reader.u64();
    const title = reader.text16(mostTextBytes);
    const preview = reader.text16(mostTextBytes);
    const tags = reader.list(reader.u8(), 2, () => reader.text16(mostTextBytes));
    if (reader.bytes(reader.remaining).some((byte) => byte !== 0))
      reader.refuse("padding not zero");
    return { title, preview, tags, createdAt, updatedAt };
  });
}

/** The beginning of a text, by whole characters, that fits its field. */
function cut(text: string): string {
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += utf8(character).length;
    if (bytes > mostTextBytes) break;
    end += character.length;
  }
  return text.slice(0, end);
}
