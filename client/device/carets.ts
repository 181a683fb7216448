/** Where carets stand: those of this device told to the others, those of the others told to the tabs. */
import { documentIdToText } from "#crdt-store/document-id.ts";
import { utf8 } from "#relay/protocol/bytes.ts";
import type { Space } from "#client/sync/space.ts";
import type { NoteField, PeerCursor } from "./api.ts";
import type { DeviceEvents } from "./events.ts";
import type { RelayDesk } from "./relay-desk.ts";

export interface CaretsPorts {
  readonly desk: RelayDesk;
  readonly events: DeviceEvents;
  /** Whose device it is, for a person. */
  readonly nameOf: (space: Space, dev: Uint8Array) => string;
  /** In which of the eight hues their caret is shown. */
  readonly hueOf: (space: Space, dev: Uint8Array) => number;
}

export class Carets {
  readonly #ports: CaretsPorts;
  /** Ids of notes with carets of others, by space in hex. */
  readonly #notesWithPeers = new Map<string, ReadonlySet<string>>();

  constructor(ports: CaretsPorts) {
    this.#ports = ports;
  }

  /** Automerge cursors of a tab's caret in a note of the space. */
  tell(
    space: Space,
    session: string,
    caret: {
      readonly docId: Uint8Array;
      readonly field: NoteField;
      readonly anchor: string;
      readonly head: string;
    } | null,
  ): void {
    this.#ports.desk.sessionOf(space)?.tellCursor(space, presenceSessionOf(session), {
      type: "cursor",
      cursor: caret,
    });
  }

  /** What the others told has changed: their carets, note by note. */
  changed(space: Space): void {
    const { desk, events, nameOf, hueOf } = this.#ports;
    const peersByNote = new Map<string, PeerCursor[]>();
    for (const { id: peer, devPub, name, cursor } of desk.sessionOf(space)?.peers(space) ?? []) {
      if (cursor === null) continue;
      const { docId, field, anchor, head } = cursor;
      const id = documentIdToText(docId);
      const hue = hueOf(space, devPub);
      const shown = name === "" ? nameOf(space, devPub) : name;
      const peers = peersByNote.get(id) ?? [];
      peers.push({ peer, name: shown, hue, field, anchor, head });
      peersByNote.set(id, peers);
    }
    for (const id of this.#notesWithPeers.get(space.hex) ?? []) {
      if (!peersByNote.has(id)) events.emit({ type: "presence", id, peers: [] });
    }
    this.#notesWithPeers.set(space.hex, new Set(peersByNote.keys()));
    for (const [id, peers] of peersByNote) events.emit({ type: "presence", id, peers });
  }
}

/** A tab's presence session from its name: stable for the tab, told apart from other tabs. */
function presenceSessionOf(session: string): Uint8Array {
  const hash = new Uint8Array(8);
  for (const [ix, byte] of utf8(session).entries()) {
    const at = ix % 8;
    hash[at] = ((hash[at] ?? 0) * 31 + byte + ix) & 255;
  }
  return hash;
}
