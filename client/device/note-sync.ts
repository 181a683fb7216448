/** What is known of one note's way to the relay and to other devices. */
import type { Store } from "#crdt-store/store.ts";
import { equal } from "#relay/protocol/bytes.ts";
import type { NoteSync } from "./api.ts";
import { quarantineWords } from "./report-words.ts";

/** @param seenBy the devices that are known to hold everything of the note, with when they last said how far they are */
export function noteSync(store: Store, doc: Uint8Array, seenBy: NoteSync["seenBy"]): NoteSync {
  const conflicts = store.conflicts.list(doc);
  const reviewed = conflicts.filter((conflict) => conflict.reviewed).length;
  const setAside = store.inbox
    .quarantined()
    .filter((item) => item.doc !== null && equal(item.doc, doc));
  return {
    seenBy,
    quarantine: setAside.map(({ at, reason, bytes }) => ({
      at,
      reason: quarantineWords(reason),
      bytes: bytes.length,
    })),
    conflicts: { open: conflicts.length - reviewed, reviewed },
  };
}
