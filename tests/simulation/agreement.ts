/** What devices hold, told so that it can be compared. */
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";

/** What a device holds of a space, in lines that must be the same on every device. */
export function tellSpace(store: Store, id: Uint8Array): string {
  const cursor = store.inbox.cursor(id);
  const control = store.spaces.control(id).map((row) => `control ${row.pos} ${toHex(row.hash)}`);
  const positions = store.changes.lastPositions();
  const changes = store.documents
    .ofSpace(id)
    .flatMap(({ doc }) => {
      // Whatever a device has packed and whatever it has not.
      const rows = store.changes.ofDocument(doc).map(({ hash }) => hash);
      // Where a change stands is told by whichever entry or snapshot brought it: there may be several.
      const { unplaced } = positions.get(toHex(doc)) ?? { unplaced: 0 };
      return [
        `document ${toHex(doc)}, ${unplaced} not there`,
        ...[...rows, ...store.changes.packedHashes(doc)].map(
          (hash) => `change ${toHex(doc)} ${toHex(hash)}`,
        ),
      ];
    })
    .toSorted();
  return [
    `cursor ${cursor?.pos} ${cursor === null ? "" : toHex(cursor.chain)}`,
    ...control,
    ...changes,
  ].join("\n");
}

/** Lines that only one of them has. */
export function firstDifference(one: string, other: string): string {
  const others = new Set(other.split("\n"));
  const ones = new Set(one.split("\n"));
  const only = [
    ...[...ones].filter((line) => !others.has(line)).map((line) => `  + ${line}`),
    ...[...others].filter((line) => !ones.has(line)).map((line) => `  - ${line}`),
  ];
  return only.slice(0, 12).join("\n");
}
