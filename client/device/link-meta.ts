/** What a link tells before it is used, sealed under the notebook's key: `[name, from, notes, single]` as JSON. */
import { utf8 } from "#relay/protocol/bytes.ts";
import { cleanName } from "#client/crypto/profile.ts";

export interface LinkMeta {
  readonly name: string;
  readonly from: string;
  /** How many notes went along when the link was made. */
  readonly notes: number;
  /** Whether it is one note that is shared, and `name` its title. */
  readonly single: boolean;
}

export const nothingKnown: LinkMeta = { name: "", from: "", notes: 0, single: false };

export function encodeLinkMeta({ name, from, notes, single }: LinkMeta): Uint8Array {
  return utf8(JSON.stringify([name, from, notes, ...(single ? [true] : [])]));
}

/** Written by whoever made the link: any shape is possible. */
export function decodeLinkMeta(bytes: Uint8Array): LinkMeta {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!Array.isArray(value)) return nothingKnown;
    const [name, from, notes, single] = value as readonly unknown[];
    return {
      name: typeof name === "string" ? cleanName(name) : "",
      from: typeof from === "string" ? cleanName(from) : "",
      notes: typeof notes === "number" && Number.isSafeInteger(notes) && notes > 0 ? notes : 0,
      single: single === true,
    };
  } catch {
    return nothingKnown;
  }
}
