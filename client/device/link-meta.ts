/** What a link tells before it is used, sealed under the notebook's key: `[name, from, notes]` as JSON. */
import { utf8 } from "#relay/protocol/bytes.ts";
import { cleanName } from "#client/crypto/profile.ts";

export interface LinkMeta {
  readonly name: string;
  readonly from: string;
  /** How many notes went along when the link was made. */
  readonly notes: number;
}

export const nothingKnown: LinkMeta = { name: "", from: "", notes: 0 };

export function encodeLinkMeta({ name, from, notes }: LinkMeta): Uint8Array {
  return utf8(JSON.stringify([name, from, notes]));
}

/** Written by whoever made the link: any shape is possible. */
export function decodeLinkMeta(bytes: Uint8Array): LinkMeta {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!Array.isArray(value)) return nothingKnown;
    const [name, from, notes] = value as readonly unknown[];
    return {
      name: typeof name === "string" ? cleanName(name) : "",
      from: typeof from === "string" ? cleanName(from) : "",
      notes: typeof notes === "number" && Number.isSafeInteger(notes) && notes > 0 ? notes : 0,
    };
  } catch {
    return nothingKnown;
  }
}
