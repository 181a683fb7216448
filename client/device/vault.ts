/**
 * The vault's index document: what this person's devices tell each other. Every edit belongs into the caller's
 * transaction; what it says is put into spaces, facts and settings of this device.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { Store } from "#crdt-store/store.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { docIdBytes, spaceIdBytes, spaceIdOf } from "#relay/protocol/genesis.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { Clock } from "#client/sync/ports.ts";
import { loadAccessKey, saveAccessKey } from "#client/sync/relay-access.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import {
  formerKey,
  formerPrefix,
  packFormer,
  unpackFormer,
  type FormerAccess,
} from "./former-access.ts";
import { loadBackupKey, saveBackupKey, saveDisplayName, savePersonColour } from "./identity.ts";
import {
  accessKeyName,
  accessPrefix,
  leftKey,
  packMoment,
  packNotebook,
  packParent,
  parentKey,
  pinKey,
  pinPrefix,
  successorKey,
  successorPrefix,
  textOf,
  unpackColour,
  unpackNotebook,
  vaultIndexGenesis,
  type VaultIndex,
  type VaultNotebook,
} from "./index-document.ts";
import { editedIndex } from "./index-edit.ts";
import { parentsIn, saveParents } from "./nesting.ts";
import type { RelayDesk } from "./relay-desk.ts";
import { saveWitnesses } from "./rollback-witnesses.ts";
import type { Shelf } from "./shelf.ts";

type Doc<T> = AutomergeModule.Doc<T>;

export interface VaultPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly events: DeviceEvents;
  /** What opens a space may not be what it was. */
  readonly accessChanged: (space: Space) => void;
}

export class Vault {
  readonly #ports: VaultPorts;
  readonly #store: Store;
  #held: Doc<VaultIndex> | null = null;

  constructor(ports: VaultPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** Loads it anew when it is next needed. */
  forget(): void {
    this.#held = null;
  }

  /** As it is held; not to be kept. */
  read(documents: DeviceDocuments): Doc<VaultIndex> {
    this.#held ??= loadVault(documents, this.#ports.shelf.vault);
    return this.#held;
  }

  /** Takes in what has arrived. */
  reload(documents: DeviceDocuments): void {
    this.#held = loadVault(documents, this.#ports.shelf.vault);
    this.project();
  }

  edit(documents: DeviceDocuments, change: (vault: VaultIndex) => void): void {
    const { shelf, desk } = this.#ports;
    this.#held = editedIndex(this.#ports, documents, shelf.vault, this.read(documents), change);
    desk.poke(shelf.vault);
  }

  /** The person keeps a notebook in another one, or (null) not any more. */
  nest(documents: DeviceDocuments, space: Space, parent: Space | null): void {
    const key = parentKey(space.hex);
    this.edit(documents, (vault) => {
      if (parent === null) delete vault[key];
      else vault[key] = packParent(parent.id);
    });
    saveParents(this.#store, parentsIn(this.read(documents)));
  }

  /** The person's other devices find the notebook from now on. */
  list(documents: DeviceDocuments, space: Space): void {
    const row = this.#store.spaces.get(space.id);
    if (row === null || row.capSecret === null) return;
    const { genesis, capSecret, createdAt, relayUrl } = row;
    this.edit(documents, (vault) => {
      vault.notebooks[space.hex] = packNotebook({
        genesis,
        capSecret,
        addedAt: createdAt,
        relay: relayUrl,
      });
      if (vault[leftKey(space.hex)] !== undefined) delete vault[leftKey(space.hex)];
    });
  }

  /** Fresh access to notebooks, for the person's other devices, beside what it replaces; before it is taken here. */
  renewAccess(
    documents: DeviceDocuments,
    renewed: readonly { readonly space: Space; readonly capSecret: Uint8Array }[],
  ): void {
    for (let at = 0; at < renewed.length; at += mostRenewedAtOnce) {
      this.edit(documents, (vault) => {
        for (const { space, capSecret } of renewed.slice(at, at + mostRenewedAtOnce)) {
          const row = this.#store.spaces.get(space.id);
          if (row === null) continue;
          const { genesis, createdAt: addedAt, capSecret: former, relayUrl: relay } = row;
          vault.notebooks[space.hex] = packNotebook({ genesis, capSecret, addedAt, relay });
          if (former === null) continue;
          const { publicKey } = capabilityFrom(this.#ports.ed, former).sign;
          const packed = packFormer({ space: space.id, capSecret: former });
          vault[formerKey(toHex(publicKey))] = packed;
        }
      });
    }
  }

  /**
   * Two devices may have come into a notebook in different ways without knowing of each other, one only to read: the vault
   * says what was written there last. What may do most is used, and told to the others.
   */
  useStrongest(documents: DeviceDocuments, space: Space): void {
    const { shelf, desk, accessChanged } = this.#ports;
    const stronger = shelf.strongerFormer(space);
    if (stronger === null || !shelf.vault.mayWrite) return;
    this.#store.transaction(() => {
      shelf.takeAccess(space, stronger);
      this.list(documents, space);
    });
    desk.restart(space);
    accessChanged(space);
  }

  /** The person's other devices, and those to come, take the new home of a notebook for it. */
  listSuccessor(documents: DeviceDocuments, space: Space, next: Space): void {
    this.list(documents, next);
    const key = successorKey(space.hex);
    if (this.read(documents)[key] !== undefined) return;
    this.edit(documents, (vault) => {
      vault[key] = next.id;
    });
  }

  /** What {@link listSuccessor} has listed, on whichever device. */
  successors(documents: DeviceDocuments): readonly { from: Uint8Array; to: Uint8Array }[] {
    return successorsIn(this.read(documents));
  }

  /** This person's devices do not follow the notebook any more, from now on. */
  noteLeft(documents: DeviceDocuments, space: Space): void {
    this.edit(documents, (vault) => {
      delete vault.notebooks[space.hex];
      vault[leftKey(space.hex)] = packMoment(this.#ports.clock.now());
    });
  }

  hasLeft(documents: DeviceDocuments, space: Space): boolean {
    return hasLeft(this.read(documents), space);
  }

  /** The person's other devices enter that relay with the same key. */
  keepAccessKey(documents: DeviceDocuments, relayPub: Uint8Array): void {
    const secret = loadAccessKey(this.#store, relayPub);
    const key = accessKeyName(toHex(relayPub));
    if (secret === null || this.read(documents)[key] !== undefined) return;
    this.edit(documents, (vault) => {
      vault[key] = secret;
    });
  }

  /** What opens this person's backups, for devices that never see the words; in the caller's transaction. */
  keepBackupKey(documents: DeviceDocuments): void {
    const own = loadBackupKey(this.#store);
    const { backup } = this.read(documents);
    if (own === null || backup !== undefined || !this.#ports.shelf.vault.mayWrite) return;
    this.edit(documents, (vault) => {
      vault.backup = own;
    });
  }

  #projectBackupKey({ backup }: VaultIndex): void {
    if (!(backup instanceof Uint8Array) || backup.length !== 32) return;
    if (loadBackupKey(this.#store) === null) saveBackupKey(this.#store, backup);
  }

  /** The first key that was kept for a relay is this person's on every device. */
  #projectAccessKeys(vault: VaultIndex): void {
    const come = Object.entries(vault).flatMap(([key, secret]) => {
      const relayPub = key.startsWith(accessPrefix)
        ? parseHex(key.slice(accessPrefix.length))
        : null;
      if (relayPub === null || !(secret instanceof Uint8Array) || secret.length !== 32) return [];
      const held = loadAccessKey(this.#store, relayPub);
      return held !== null && equal(held, secret) ? [] : [{ relayPub, secret }];
    });
    for (const { relayPub, secret } of come) saveAccessKey(this.#store, relayPub, secret);
    if (come.length > 0) this.#ports.desk.accessKeyCame();
  }

  /** The person wants a note in front, or not any more. */
  pin(documents: DeviceDocuments, doc: Uint8Array, pinned: boolean): void {
    const key = pinKey(toHex(doc));
    if ((this.read(documents)[key] !== undefined) === pinned) return;
    this.edit(documents, (vault) => {
      if (pinned) vault[key] = packMoment(this.#ports.clock.now());
      else delete vault[key];
    });
    this.#projectPins(this.read(documents));
  }

  #projectPins(vault: VaultIndex): void {
    const changed = this.#store.pins.replace(pinnedIn(vault));
    for (const doc of changed) this.#store.notes.tell(doc);
    if (changed.length > 0) this.#ports.events.notify("notes");
  }

  /** A notebook belongs to the relay that the vault says. */
  #place(space: Space, relay: string | null): void {
    if (this.#store.spaces.get(space.id)?.relayUrl === relay) return;
    this.#store.spaces.update(space.id, { relayUrl: relay });
    this.#ports.desk.moved(space);
  }

  /** Notebooks another device of the same person has put into the vault, and the person's name. */
  project(): void {
    const { shelf, desk, events } = this.#ports;
    if (this.#held === null) return;
    events.notify("devices");
    const name = textOf(this.#held.displayName);
    if (name !== "") {
      saveDisplayName(this.#store, name);
      desk.tellName();
    }
    const { personColour } = this.#held;
    const hue = personColour === undefined ? null : unpackColour(personColour);
    if (hue !== null) savePersonColour(this.#store, hue);
    saveParents(this.#store, parentsIn(this.#held));
    this.#projectPins(this.#held);
    this.#projectAccessKeys(this.#held);
    this.#projectBackupKey(this.#held);
    saveWitnesses(this.#store, this.#held);
    const formers = formersIn(this.#held);
    const left = new Set(successorsIn(this.#held).map(({ from }) => toHex(from)));
    const accesses = Object.values(this.#held.notebooks).flatMap((packed) => {
      const access = unpackNotebook(packed);
      // Nobody is there any more, and this device has written nothing there.
      const isOver = (id: Uint8Array): boolean =>
        shelf.get(id) === undefined && left.has(toHex(id));
      return access === null || isOver(spaceIdOf(access.genesis)) ? [] : [access];
    });
    // A new device finds all notebooks of a person at once: one commit for them all.
    const taken = this.#store.transaction(() =>
      accesses.map((access) => this.#takeAccess(access, formers)),
    );
    for (const notebook of taken) this.#synchronise(notebook);
    this.#projectLeft(this.#held);
    events.notify("notebooks");
  }

  #projectLeft(vault: VaultIndex): void {
    const { shelf, desk } = this.#ports;
    for (const space of shelf.spaces()) {
      // Where this person's own access is being ended, that has to reach the relay first.
      const isUnderWay = this.#store.spaces.hasUnconfirmedControl(space.id);
      if (hasLeft(vault, space) && space.capability !== null && !isUnderWay) {
        this.#store.transaction(() => shelf.leave(space));
        desk.forget(space);
      }
    }
  }

  /** A notebook, or another secret for one, that came with another device of this person; in the caller's transaction. */
  #takeAccess(access: VaultNotebook, formers: readonly FormerAccess[]): TakenNotebook {
    const { shelf } = this.#ports;
    const id = spaceIdOf(access.genesis);
    const known = shelf.get(id);
    const isRenewed = known !== undefined && !shelf.uses(known, access.capSecret);
    const space = known ?? shelf.add("notebook", access);
    if (isRenewed) shelf.takeAccess(space, access.capSecret);
    for (const former of formers) {
      if (equal(former.space, id)) shelf.keepFormer(space, former.capSecret);
    }
    space.certifyDevice();
    return { space, relay: access.relay, isNew: known === undefined, isRenewed };
  }

  #synchronise({ space, relay, isNew, isRenewed }: TakenNotebook): void {
    const { desk, accessChanged } = this.#ports;
    if (isNew) desk.add(space);
    else this.#place(space, relay);
    if (isRenewed) desk.restart(space);
    accessChanged(space);
  }
}

/** A notebook of the vault that this device holds by now. */
interface TakenNotebook {
  readonly space: Space;
  readonly relay: string | null;
  readonly isNew: boolean;
  readonly isRenewed: boolean;
}

/** One edit of the vault is one entry, which the relay takes up to a size. */
const mostRenewedAtOnce = 200;

function formersIn(vault: VaultIndex): readonly FormerAccess[] {
  return Object.entries(vault).flatMap(([key, packed]) => {
    if (!key.startsWith(formerPrefix) || !(packed instanceof Uint8Array)) return [];
    return unpackFormer(packed) ?? [];
  });
}

function hasLeft(vault: Readonly<VaultIndex>, { hex }: Space): boolean {
  return vault[leftKey(hex)] !== undefined && vault.notebooks[hex] === undefined;
}

/** The documents that a vault has pinned. */
function pinnedIn(vault: VaultIndex): Uint8Array[] {
  return Object.keys(vault).flatMap((key) => {
    const doc = key.startsWith(pinPrefix) ? parseHex(key.slice(pinPrefix.length)) : null;
    return doc?.length === docIdBytes ? [doc] : [];
  });
}

function successorsIn(vault: VaultIndex): readonly { from: Uint8Array; to: Uint8Array }[] {
  return Object.entries(vault).flatMap(([key, to]) => {
    const from = key.startsWith(successorPrefix)
      ? parseHex(key.slice(successorPrefix.length))
      : null;
    const isSound = from?.length === spaceIdBytes && to instanceof Uint8Array;
    return isSound && to.length === spaceIdBytes ? [{ from, to }] : [];
  });
}

function loadVault(documents: DeviceDocuments, space: Space): Doc<VaultIndex> {
  return documents.load(space.indexId, vaultIndexGenesis(documents.automerge));
}
