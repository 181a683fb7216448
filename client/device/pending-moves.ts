/** Notes that were copied to another notebook and whose copy the relay has not got: their marker waits for it. */
import type { Store } from "#crdt-store/store.ts";
import { parseHex, utf8 } from "#relay/protocol/bytes.ts";

/** Ids in hex. */
export interface PendingMove {
  readonly doc: string;
  readonly copy: string;
  /** The space it goes to. */
  readonly target: string;
}

const setting = "device/pending-moves";

export function loadMoves(store: Store): readonly PendingMove[] {
  const bytes = store.settings.get(setting);
  return bytes === null ? [] : (JSON.parse(new TextDecoder().decode(bytes)) as PendingMove[]); // written by saveMoves alone
}

export function saveMoves(store: Store, moves: readonly PendingMove[]): void {
  store.settings.put(setting, utf8(JSON.stringify(moves)));
}

/** The copies, by the ids in hex of the notes they were made of. */
export function pendingCopies(store: Store): ReadonlyMap<string, Uint8Array> {
  return new Map(
    loadMoves(store).map(({ doc, copy }) => [doc, parseHex(copy) ?? new Uint8Array()]),
  );
}
