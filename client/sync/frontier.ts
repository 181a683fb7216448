import type { Store } from "#crdt-store/store.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { chainTag } from "#relay/protocol/domain.ts";
import type { Frontier } from "#client/crypto/payload.ts";
import type { Space } from "./space.ts";

/**
 * Remembers how far another device says it has read. What cannot be checked yet counts only as far as
 * this device has read itself; a tag that differs from our chain counts for nothing: its sender was
 * shown another log.
 * @returns whether the frontier agrees with what is known here
 */
export function noteFrontier(
  store: Store,
  space: Space,
  devPub: Uint8Array,
  frontier: Frontier,
): boolean {
  const { pos } = space.cursor;
  if (frontier.pos <= pos) {
    const known = store.inbox.chainAt(space.id, frontier.pos);
    if (known !== null && !equal(chainTag(known), frontier.chainTag)) return false;
  }
  store.inbox.setFrontier(space.id, devPub, Math.min(frontier.pos, pos));
  return true;
}
