/**
 * Changes that Automerge 3.5 should not be given: made as an attacker makes them, who may sign whatever he likes. One byte of a
 * genuine change is altered at a time and the checksum made right again; then it is tried what the change does.
 */
import { createHash } from "node:crypto";
import * as A from "@automerge/automerge/slim";
import { parseChange } from "#crdt-store/chunks.ts";
import { toHex } from "#relay/protocol/bytes.ts";

export type Harm =
  /** Automerge panics when it is applied. */
  | "panics"
  /** It is applied, and the document cannot be loaded any more once it was saved. */
  | "unloadable";

const masks = [0x5a, 0x01, 0x80, 0xff];

/** How many alterations of one change there are. */
export function alterations(change: Uint8Array): readonly { at: number; mask: number }[] {
  return Array.from({ length: change.length - 8 }, (_, ix) =>
    masks.map((mask) => ({ at: ix + 8, mask })),
  ).flat();
}

export function altered(
  change: Uint8Array,
  { at, mask }: { readonly at: number; readonly mask: number },
): Uint8Array {
  const bytes = change.slice();
  bytes[at] = (bytes[at] ?? 0) ^ mask;
  bytes.set(createHash("sha256").update(bytes.subarray(8)).digest().subarray(0, 4), 4);
  return bytes;
}

/** What applying a change does to a document that holds what it depends on; null if nothing bad. */
export function harmOf(base: A.Doc<unknown>, bytes: Uint8Array): Harm | null {
  let after: A.Doc<unknown>;
  try {
    [after] = A.applyChanges(A.clone(base), [bytes]);
  } catch (error) {
    return error instanceof Error && error.name === "PanicError" ? "panics" : null;
  }
  try {
    A.free(A.load(A.save(after)));
    return null;
  } catch {
    return "unloadable";
  }
}

/** Whether it still is a change, and by whom and on top of what it was before: what its author's device would sign. */
export function isSignable(change: Uint8Array, genuine: Uint8Array): boolean {
  const [made, model] = [parseChange(change), parseChange(genuine)];
  if (made.type === "failed" || model.type === "failed") return false;
  return (
    toHex(made.change.actor) === toHex(model.change.actor) && made.change.seq === model.change.seq
  );
}
