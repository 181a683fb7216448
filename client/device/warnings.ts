/** What is said to a person, and kept in the log, of a relay or an administrator that does not do what they should. */
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceEvents } from "./events.ts";
import type { Shelf } from "./shelf.ts";

export interface WarningsPorts {
  readonly store: Store;
  readonly shelf: Shelf;
  readonly events: DeviceEvents;
}

export class Warnings {
  readonly #ports: WarningsPorts;
  /** Notebooks, by space in hex, whose wrong key was told of. */
  readonly #toldMiskeyed = new Set<string>();

  constructor(ports: WarningsPorts) {
    this.#ports = ports;
  }

  /** Said once while the device runs. */
  miskeyed(space: Space): void {
    const { store, shelf, events } = this.#ports;
    if (this.#toldMiskeyed.has(space.hex)) return;
    this.#toldMiskeyed.add(space.hex);
    const rotation = space.records.findLast(({ record }) => record.body.type === "rotate");
    const signer = rotation === undefined ? "" : toHex(rotation.record.signerPub);
    const { members, name } = shelf.facts(space.id);
    const who = members.find(({ cap }) => cap === signer)?.name ?? "whoever manages it";
    const text = `${name} cannot be opened further: ${who} gave this device a key that is not the notebook's. Ask them to renew its keys. What you had received is still on this device.`;
    store.syncLog.add(
      "error",
      "A notebook's administrator gave this device a key that is not the notebook's.",
    );
    events.emit({ type: "notice", text });
  }

  forked(): void {
    const { store, events } = this.#ports;
    const text =
      "The relay has shown different people different things in one notebook. Nothing of yours is lost: everything that came is kept. Tell whoever runs the relay.";
    store.syncLog.add("error", text);
    events.emit({ type: "notice", text });
    events.notify("status");
  }

  /** @param changes that this device gave back to the relay; 0 where others did */
  madeGood(changes: number): void {
    const { store, events } = this.#ports;
    if (changes === 0) {
      store.syncLog.add("info", "The relay had lost some recent data. Everything is there again.");
      return;
    }
    const text = "The relay lost some recent data. This device has put it back.";
    store.syncLog.add("warning", text);
    events.emit({ type: "notice", text });
  }
}
