/**
 * The documents no person writes in: a notebook's index and the vault's. Each starts from a change
 * that is the same, byte for byte, on every device, so that two devices may begin it apart; that
 * change is known by its place and never sent. Values are packed bytes: ten thousand nested maps
 * load 6.6 times slower (DESIGN §3).
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { parseAll, Writer } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import { docIdBytes, genesisBytes, spaceIdBytes } from "#relay/protocol/genesis.ts";
import { isRelayAddress, longestRelayAddress } from "#client/crypto/link.ts";
import type { DeviceKey } from "./device-entry.ts";
import type { FormerKey } from "./former-access.ts";
import type { RenewalKey } from "./renewal-request.ts";
import type { WitnessKey } from "./space-witness.ts";

export type Automerge = typeof AutomergeModule;

/** Keys are document ids in hex, members' keys are capability keys in hex. */
export interface NotebookIndex {
  format: number;
  name: AutomergeModule.ImmutableString;
  notes: Record<string, Uint8Array>;
  trash: Record<string, Uint8Array>;
  moved: Record<string, Uint8Array>;
  members: Record<string, Uint8Array>;
  /** {@link packColour}. Not in the first change, which is the same everywhere for ever. */
  colour?: Uint8Array;
  /** There, with {@link packMark}, where it was made for one note that is shared alone: no list shows a notebook for it. */
  single?: Uint8Array;
  /** Members who ask that their access be renewed, renewal-request.ts. */
  [renewal: RenewalKey]: Uint8Array;
  /** Where the notebook has its new home, home-marker.ts. For the same reason no map. */
  home?: Uint8Array;
  /** A document of the old home that came here → {@link packArrival}. */
  [arrival: ArrivalKey]: Uint8Array;
  /** A document that began elsewhere → what its copier states of that, client/crypto/past.ts. For the same reason no map. */
  [past: PastKey]: Uint8Array;
}

type PastKey = `past ${string}`;

export function pastKey(docHex: string): PastKey {
  return `past ${docHex}`;
}

export const homeKey = "home";

const arrivalPrefix = "from ";

type ArrivalKey = `${typeof arrivalPrefix}${string}`;

export function arrivalKey(docHex: string): ArrivalKey {
  return `${arrivalPrefix}${docHex}`;
}

/** Every document that came from the old home, by its id there in hex, with what its key holds. */
export function arrivalsIn(index: NotebookIndex): readonly (readonly [string, Uint8Array])[] {
  return Object.entries(index).flatMap(([key, packed]) =>
    key.startsWith(arrivalPrefix) && packed instanceof Uint8Array
      ? [[key.slice(arrivalPrefix.length), packed] as const]
      : [],
  );
}

/** Only the owner's own devices read it; no text of other people ever stands in it. */
export interface VaultIndex {
  format: number;
  displayName: AutomergeModule.ImmutableString;
  /** Space id in hex → {@link packNotebook}. */
  notebooks: Record<string, Uint8Array>;
  /**
   * A pinned note → {@link packMoment}. Keys of the vault itself, not of a map in it: the vault's first change
   * is the same everywhere for ever, and a map that two devices begin apart is one map that hides the other.
   */
  [pin: PinKey]: Uint8Array;
  /** The relay's key in hex → the secret of this person's access key there, 32 bytes. For the same reason. */
  [access: AccessKeyName]: Uint8Array;
  /** What a device of this person says of itself, device-entry.ts. For the same reason. */
  [device: DeviceKey]: Uint8Array;
  /** The key of this person's backup files, 32 bytes, for devices that never saw the words. */
  backup?: Uint8Array;
  /** What opened a notebook before, former-access.ts. For the same reason. */
  [former: FormerKey]: Uint8Array;
  /** A notebook that lies in another one → {@link packParent}. For the same reason. */
  [parent: ParentKey]: Uint8Array;
  /** A notebook that has a new home → the id of the space there. For the same reason. */
  [home: SuccessorKey]: Uint8Array;
  /** How far a device of this person has read a notebook, space-witness.ts. For the same reason. */
  [witness: WitnessKey]: Uint8Array;
  /** The person's own hue → {@link packColour}. */
  personColour?: Uint8Array;
  /** A link made by this person, its capability in hex → {@link packOwnLink}. */
  [link: OwnLinkKey]: Uint8Array;
  /** A notebook whose keys are renewed by themselves → {@link packDays}. */
  [age: KeyAgeKey]: Uint8Array;
  /** A notebook that this person has left → {@link packMoment}. */
  [left: LeftKey]: Uint8Array;
}

export const successorPrefix = "home ";

type SuccessorKey = `${typeof successorPrefix}${string}`;

export function successorKey(spaceHex: string): SuccessorKey {
  return `${successorPrefix}${spaceHex}`;
}

export const ownLinkPrefix = "link ";

type OwnLinkKey = `${typeof ownLinkPrefix}${string}`;

export function ownLinkKey(capHex: string): OwnLinkKey {
  return `${ownLinkPrefix}${capHex}`;
}

type KeyAgeKey = `key-age ${string}`;

export function keyAgeKey(spaceHex: string): KeyAgeKey {
  return `key-age ${spaceHex}`;
}

type LeftKey = `left ${string}`;

export function leftKey(spaceHex: string): LeftKey {
  return `left ${spaceHex}`;
}

/** A member's hue stands beside their name, under a key that no capability has. */
export function memberColourKey(capHex: string): string {
  return `${capHex} colour`;
}

export const parentPrefix = "parent ";

type ParentKey = `${typeof parentPrefix}${string}`;

export function parentKey(spaceHex: string): ParentKey {
  return `${parentPrefix}${spaceHex}`;
}

export const accessPrefix = "access ";

type AccessKeyName = `${typeof accessPrefix}${string}`;

export function accessKeyName(relayPubHex: string): AccessKeyName {
  return `${accessPrefix}${relayPubHex}`;
}

export const pinPrefix = "pin ";

type PinKey = `${typeof pinPrefix}${string}`;

export function pinKey(docHex: string): PinKey {
  return `${pinPrefix}${docHex}`;
}

const genesisActor = "00".repeat(16);

/** The change every notebook index begins with. */
export function notebookIndexGenesis(automerge: Automerge): AutomergeModule.Doc<NotebookIndex> {
  return automerge.change(
    automerge.init<NotebookIndex>({ actor: genesisActor }),
    { time: 0 },
    (index) => {
      index.format = 1;
      index.name = new automerge.ImmutableString("");
      index.notes = {};
      index.trash = {};
      index.moved = {};
      index.members = {};
    },
  );
}

/** The change every vault index begins with. */
export function vaultIndexGenesis(automerge: Automerge): AutomergeModule.Doc<VaultIndex> {
  return automerge.change(
    automerge.init<VaultIndex>({ actor: genesisActor }),
    { time: 0 },
    (vault) => {
      vault.format = 1;
      vault.displayName = new automerge.ImmutableString("");
      vault.notebooks = {};
    },
  );
}

const packVersion = 1;
export const notebookColours = 8;

/** A moment, in milliseconds since 1970: `ver u8 | at u64`. */
export function packMoment(at: number): Uint8Array {
  return new Writer().u8(packVersion).u64(at).finish();
}

/** Null for bytes of a later version, or that are no moment. */
export function unpackMoment(bytes: Uint8Array): number | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    return reader.u64();
  });
  return parsed.ok ? parsed.value : null;
}

/** One of the eight colours: `ver u8 | colour u8`. */
export function packColour(colour: number): Uint8Array {
  return new Writer().u8(packVersion).u8(colour).finish();
}

/** 0..7; null for bytes of a later version, or that are no colour. */
export function unpackColour(bytes: Uint8Array): number | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    const colour = reader.u8();
    return colour < notebookColours ? colour : reader.refuse("unknown colour");
  });
  return parsed.ok ? parsed.value : null;
}

/** Something that is so, or, where there is none, is not: `ver u8`. */
export function packMark(): Uint8Array {
  return new Writer().u8(packVersion).finish();
}

/** The notebook another one lies in: `ver u8 | space 32`. */
export function packParent(space: Uint8Array): Uint8Array {
  return new Writer().u8(packVersion).fixed(space, spaceIdBytes).finish();
}

export function unpackParent(bytes: Uint8Array): Uint8Array | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    return reader.bytes(spaceIdBytes);
  });
  return parsed.ok ? parsed.value : null;
}

/** Where a note went: `ver u8 | space 32 | doc 16`. */
export function packMove(space: Uint8Array, doc: Uint8Array): Uint8Array {
  return new Writer().u8(packVersion).fixed(space, spaceIdBytes).fixed(doc, docIdBytes).finish();
}

export function unpackMove(
  bytes: Uint8Array,
): { readonly space: Uint8Array; readonly doc: Uint8Array } | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    return { space: reader.bytes(spaceIdBytes), doc: reader.bytes(docIdBytes) };
  });
  return parsed.ok ? parsed.value : null;
}

/** What shows a link again: `ver u8 | space 32 | secret 32 | role u8` (1 read, 2 edit). */
export interface OwnLink {
  readonly space: Uint8Array;
  readonly secret: Uint8Array;
  readonly role: "read" | "edit";
}

export function packOwnLink({ space, secret, role }: OwnLink): Uint8Array {
  return new Writer()
    .u8(packVersion)
    .fixed(space, spaceIdBytes)
    .fixed(secret, 32)
    .u8(roles[role])
    .finish();
}

export function unpackOwnLink(bytes: Uint8Array): OwnLink | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    const space = reader.bytes(spaceIdBytes);
    const secret = reader.bytes(32);
    const code = reader.u8();
    const role = (["read", "edit"] as const).find((name) => roles[name] === code);
    return { space, secret, role: role ?? reader.refuse("unknown role") };
  });
  return parsed.ok ? parsed.value : null;
}

/** A number of days: `ver u8 | days u16`. */
export function packDays(days: number): Uint8Array {
  return new Writer().u8(packVersion).u16(days).finish();
}

export function unpackDays(bytes: Uint8Array): number | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    return reader.u16();
  });
  return parsed.ok ? parsed.value : null;
}

/** A document of the old home as it came into the new one. */
export interface Arrival {
  /** In the new home. */
  readonly doc: Uint8Array;
  /** The heads of the document there when it was copied. */
  readonly old: readonly Uint8Array[];
  /** The heads here that stand for them. */
  readonly now: readonly Uint8Array[];
}

/** `ver u8 | doc 16 | n u16 | old heads 32·n | m u16 | heads here 32·m` */
export function packArrival({ doc, old, now }: Arrival): Uint8Array {
  const writer = new Writer().u8(packVersion).fixed(doc, docIdBytes);
  for (const heads of [old, now]) {
    writer.u16(heads.length);
    for (const head of heads) writer.fixed(head, 32);
  }
  return writer.finish();
}

export function unpackArrival(bytes: Uint8Array): Arrival | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    const heads = (): Uint8Array[] => reader.list(reader.u16(), 32, () => reader.bytes(32));
    return { doc: reader.bytes(docIdBytes), old: heads(), now: heads() };
  });
  return parsed.ok ? parsed.value : null;
}

/**
 * What the vault keeps of a notebook. Version 1 belongs to the relay of the vault; a device that does not know
 * version 2 could not reach the relay either, and passes it over.
 * ```
 * 0 ver 1 | genesis 52 | capability secret 32 | addedAt u64
 * 0 ver 2 | genesis 52 | capability secret 32 | addedAt u64 | n u16 | relay n, UTF-8
 * ```
 */
export interface VaultNotebook {
  readonly genesis: Uint8Array;
  readonly capSecret: Uint8Array;
  readonly addedAt: number;
  /** Where its relay listens, ws:// or wss://; null for the one that keeps the vault. */
  readonly relay: string | null;
}

export function packNotebook({ genesis, capSecret, addedAt, relay }: VaultNotebook): Uint8Array {
  const writer = new Writer()
    .u8(relay === null ? 1 : 2)
    .fixed(genesis, genesisBytes)
    .fixed(capSecret, 32)
    .u64(addedAt);
  if (relay === null) return writer.finish();
  return writer.text16(relay).finish();
}

/** Null for bytes of a later version, or that are no notebook. */
export function unpackNotebook(bytes: Uint8Array): VaultNotebook | null {
  const parsed = parseAll(bytes, (reader) => {
    const version = reader.u8();
    if (version !== 1 && version !== 2) reader.refuse("unknown version");
    const access = {
      genesis: reader.bytes(genesisBytes),
      capSecret: reader.bytes(32),
      addedAt: reader.u64(),
    };
    if (version === 1) return { ...access, relay: null };
    const relay = reader.text16(4 * longestRelayAddress);
    return isRelayAddress(relay) ? { ...access, relay } : reader.refuse("no relay's address");
  });
  return parsed.ok ? parsed.value : null;
}

/** Of a name or a line that is replaced as a whole. */
export function textOf(value: AutomergeModule.ImmutableString | string): string {
  return typeof value === "string" ? value : value.val;
}
