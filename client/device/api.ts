/**
 * What a screen or a command line may ask of a device, and what a device tells them.
 *
 * A device is one installation: its store, its keys, its connections. In the browser it lives in
 * the leader's worker and this interface travels over message ports; on the command line it is
 * called directly. Everything here is plain data (structured clone), ids are text:
 * a note is named by its Automerge document id (bs58check), a notebook by its space id (64 hex digits).
 */
import type { Percentiles } from "#crdt-store/histogram.ts";
import type { Keep } from "#client/sync/keep.ts";
import type { Limits } from "#relay/protocol/limits.ts";
import type { DiffPart } from "#client/notes/text-diff.ts";

export type { DiffPart, Percentiles };

/** How far the newest change of a note is known to have come. */
export type NoteState = "saved-here" | "on-relay" | "seen-elsewhere";

export interface NoteRow {
  readonly id: string;
  readonly title: string;
  /** The first characters of the body as plain text, one line. */
  readonly preview: string;
  /** As they are written, without the #; each once, whatever its case. */
  readonly tags: readonly string[];
  /** The person's own mark: nobody else sees it. */
  readonly pinned: boolean;
  readonly notebook: string;
  /** Milliseconds since 1970 on the clock of the device that wrote last. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly trashed: boolean;
  /** False: it is not on this device yet, and what is shown is what the relay's list says of it. */
  readonly here: boolean;
  readonly state: NoteState;
  /** Changes of this note that the relay has not acknowledged. */
  readonly waiting: number;
  /** Names (or "another device") that are known to hold everything of this note. */
  readonly seenBy: readonly string[];
  /** Entries that could not be applied and are kept aside. */
  readonly quarantined: number;
  /** Changes that others name and that have not come: what was written on top of them is not shown yet. */
  readonly awaiting: number;
}

export type Role = "read" | "edit" | "admin";

export interface NotebookRow {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** Whether anybody but this person can open it (a link lives, or somebody joined). */
  readonly shared: boolean;
  readonly members: readonly { readonly name: string; readonly self: boolean }[];
  readonly notes: number;
  /** How much of it this device keeps; what is here stays. */
  readonly keep: Keep;
  /** Notes that are not on this device. */
  readonly missing: number;
  /** 0..7, for everybody in the notebook; null for none. */
  readonly colour: number | null;
  /**
   * It was made for one note that is shared alone: no list shows a notebook for it, and its note stands among those of
   * `parent`, which is where the person left it.
   */
  readonly single: boolean;
  /** The notebook this person has put it into; nobody else sees that. Never in a circle. */
  readonly parent: string | null;
  /** Where its relay listens (ws:// or wss://) if that is not this device's own, else null. */
  readonly relay: string | null;
  /** The ids it had in former homes: whoever knew it by one of them means this notebook. */
  readonly former: readonly string[];
  /**
   * "ended": access was taken away or given up; what was received stays readable. "deleted": somebody who manages it
   * deleted it for everybody; one of them can bring it back for 30 days.
   */
  readonly state: "active" | "joining" | "ended" | "deleted";
  /** When it was deleted, milliseconds since 1970; null while it is not. */
  readonly deletedAt: number | null;
  /**
   * Others have newer changes than the relay gives to this device: since when, and when it last had all that another
   * member had (null: never known). Ms since 1970; null while nothing says so.
   */
  readonly doubt: { readonly since: number; readonly lastConfirmedAt: number | null } | null;
}

/** Somebody with access to a notebook. */
export interface PersonRow {
  /** Their capability key, 64 hex digits: another one in every notebook. */
  readonly id: string;
  /**
   * As they signed it, or as they said when they joined, "" if neither. Where two are called alike, a piece of the
   * fingerprint is added to both.
   */
  readonly name: string;
  /** The name is signed by that key. */
  readonly verified: boolean;
  /** 0..7: which of the eight collaborator hues. */
  readonly colour: number;
  readonly self: boolean;
  readonly role: Role;
  /** Id of the link they came by. */
  readonly via: string | null;
  /** Of their key: 32 hex digits in groups of four, to be compared aloud. */
  readonly fingerprint: string;
  readonly devices: readonly { readonly id: string; readonly fingerprint: string }[];
}

export interface LinkRow {
  /** Its capability key, 64 hex digits. */
  readonly id: string;
  readonly role: Role;
  /** Milliseconds since 1970 by the relay's clock; null for never. */
  readonly expiresAt: number | null;
  /** How many people it lets in; null for any number. */
  readonly maxJoins: number | null;
  readonly joins: number;
  readonly state: "live" | "spent" | "expired" | "revoked";
  /** Known to the devices of whoever made it, while it lives. */
  readonly link: string | null;
}

/** Days between renewals of a notebook's keys that nobody asks for; null for none. */
export type RenewalDays = null | 7 | 30 | 90;

export interface Sharing {
  readonly people: readonly PersonRow[];
  readonly links: readonly LinkRow[];
  /** Whether this person may change any of it. */
  readonly mayManage: boolean;
  readonly renewal: { readonly everyDays: RenewalDays; readonly lastAt: number | null };
}

export interface LinkTerms {
  /** Milliseconds since 1970. */
  readonly expiresAt?: number | null;
  /** 1: for one person. */
  readonly maxJoins?: number | null;
}

/** Whose changes a note consists of, as far as signatures tell. */
export interface NoteAuthor {
  /** Their {@link PersonRow.id}; null where the device is nobody's who is known here. */
  readonly person: string | null;
  readonly name: string;
  /** Signed by a device that this person alone has vouched for. */
  readonly verified: boolean;
  /** The device's key, 64 hex digits; "" where nobody signed. */
  readonly device: string;
  /** Of the device's key. */
  readonly fingerprint: string;
  readonly changes: number;
  /** When the newest of them came to this device (ms since 1970); null where that is not known any more. */
  readonly lastAt: number | null;
  /**
   * Whoever brought the note here from another notebook, with what was written there: all of this is then as they saw it
   * (`name` is "" where they are not known). Null where signatures in this notebook tell it.
   */
  readonly statedBy: { readonly name: string; readonly self: boolean } | null;
}

export type SyncWord =
  | "saved-here"
  | "sending"
  | "up-to-date"
  | "offline"
  | "limited"
  | "needs-you";

/** One relay in use: this device's own, or one to which a notebook belongs. */
export interface RelayStatus {
  /** ws:// or wss:// with its path. */
  readonly relay: string;
  /** It keeps this person's list of notebooks, and those that are made here. */
  readonly isOwn: boolean;
  readonly word: SyncWord;
  /** One sentence for a person, empty when all is well. */
  readonly detail: string;
  readonly connected: boolean;
  /** Changes it has not acknowledged. */
  readonly waiting: number;
  /** Notebooks of this device that belong to it. */
  readonly notebooks: number;
  readonly lastAckAt: number | null;
}

export interface SyncStatus {
  readonly word: SyncWord;
  /** Changes not yet acknowledged by the relay, over all notes. */
  readonly waiting: number;
  /** One sentence for a person: why it is so and what to do, empty when all is well. */
  readonly detail: string;
  /** This device's own relay; null while this device does not connect to one. */
  readonly relay: string | null;
  /** To the own relay. */
  readonly connected: boolean;
  /** By whichever relay; milliseconds since 1970, null before the first acknowledgement. */
  readonly lastAckAt: number | null;
  /** False in a window that keeps nothing (no OPFS). */
  readonly durable: boolean;
  /** Nothing can be written here for want of room; it is tried again until it can. */
  readonly full: boolean;
  /** The person has chosen that nothing is synchronised until they say otherwise. */
  readonly workingOffline: boolean;
  /** Documents that are being fetched, since there last were none; null when there are none. */
  readonly fetching: { readonly done: number; readonly total: number } | null;
  /** The own one first; none before one is known. */
  readonly relays: readonly RelayStatus[];
}

/**
 * How synchronising goes, in figures and plain words. It may be shown to anybody: no text, name, id or key is in it, and
 * of the relay's address only the host. Counts and times are of this device, over all its processes.
 */
export interface SyncReport extends SyncStatus {
  readonly madeAt: number;
  /** The host alone. */
  readonly relay: string | null;
  /** Notes with changes that the relay has not acknowledged. */
  readonly waitingNotes: number;
  /** How many notes outside the trash are in which state. */
  readonly notes: Readonly<Record<NoteState, number>>;
  /** Sealed entries as the relay answered for them. */
  readonly pushes: { readonly taken: number; readonly refused: number };
  /** What had to be tried again, by what was in the way: a refusal's name, "unreachable", "broken" or "no-answer". */
  readonly retries: readonly { readonly reason: string; readonly times: number }[];
  /** In ms, lately; null for what was not measured yet. */
  readonly times: {
    readonly push: Percentiles | null;
    readonly pull: Percentiles | null;
    readonly upToDate: Percentiles | null;
    readonly acknowledged: Percentiles | null;
    readonly shown: Percentiles | null;
  };
  readonly divergence: { readonly checks: number; readonly found: number };
  /** Passages changed in two places at once: all that were ever met, and of those still listed how many are which. */
  readonly conflicts: { readonly found: number; readonly open: number; readonly reviewed: number };
  /** What could not be applied and is kept aside, the oldest first. */
  readonly quarantine: readonly SetAside[];
  readonly log: readonly LogLine[];
}

/** Something that could not be applied and is kept aside. */
export interface SetAside {
  readonly at: number;
  /** The end of a sentence for a person. */
  readonly reason: string;
  readonly bytes: number;
}

/** One note's way to the relay and to other devices, beside what its row says. */
export interface NoteSync {
  /** The devices that are known to hold everything of it, and when each last said how far it is. */
  readonly seenBy: readonly { readonly name: string; readonly at: number }[];
  readonly quarantine: readonly SetAside[];
  /** Passages changed in two places at once. */
  readonly conflicts: { readonly open: number; readonly reviewed: number };
}

/**
 * A passage of a note that this device and another changed without knowing of each other. Both edits are in the note; it
 * is for a person to see whether it still reads well.
 */
export interface ConflictRow {
  readonly id: string;
  readonly note: string;
  readonly field: NoteField;
  /** The line it began at in the version that both knew, from 0. */
  readonly line: number;
  /** Whose the other edit is: a name, or "another device". */
  readonly with: string;
  readonly at: number;
  readonly reviewed: boolean;
  /** More than 1 where two wrote side by side: how often their edits met. */
  readonly times: number;
  /** The versions, as hex hashes. */
  readonly heads: {
    readonly base: readonly string[];
    readonly ours: readonly string[];
    readonly theirs: readonly string[];
  };
  /** What either side made of the passage; a long one is cut off. */
  readonly ours: readonly DiffPart[];
  readonly theirs: readonly DiffPart[];
}

/** What happened, in plain words. */
export interface LogLine {
  readonly at: number;
  readonly level: "info" | "warn" | "error";
  readonly text: string;
}

/** What is kept on this device, in bytes. */
export interface StorageReport {
  /** Of all files together; the parts are what is in them. */
  readonly files: number;
  /** Texts with their history. */
  readonly notes: number;
  /** What the lists and the search are answered from. */
  readonly search: number;
  /** Waiting for the relay. */
  readonly waiting: number;
  /** In the files and used again before they grow. */
  readonly unused: number;
  /** What can still be written, null where the platform does not tell. */
  readonly free: number | null;
}

/** What a relay says of itself. */
export interface RelayAbout {
  readonly version: string;
  readonly protocol: number;
  readonly access: "open" | "invite" | "allowlist";
  /** Whether somebody without an access key is served in notebooks that are there. */
  readonly guests: boolean;
  readonly limits: Limits;
  /** Of all notebooks made with one access key; null where nobody needs one. */
  readonly keyBytes: number | null;
}

/** What the relay counts of the notebooks that this device may read, the vault among them. */
export interface RelayStored {
  /** Of each document its newest snapshot, what follows it, and its card; neither blobs nor what a snapshot replaced. */
  readonly bytes: number;
  readonly at: number;
}

/** A relay of this device: what it says, what it has proved, and what ties this device to it. */
export interface RelayInfo {
  /** ws:// or wss://; null where none is known yet. */
  readonly relay: string | null;
  /** Where people open it: http:// or https://. */
  readonly address: string | null;
  readonly connected: boolean;
  /** Of the key that it proved to this device, 32 hex digits in groups of four; null before the first connection. */
  readonly fingerprint: string | null;
  readonly about: RelayAbout | null;
  /** When it said so, milliseconds since 1970. */
  readonly aboutAt: number | null;
  /** One or two sentences: why `about` is from another time or missing, or cannot be believed. Empty when it was told now. */
  readonly trouble: string;
  /** This app came from there. */
  readonly servesThisApp: boolean;
  /** Notebooks of this device that it keeps; those that are administered from here. */
  readonly notebooks: { readonly all: number; readonly own: number };
  /** This device has this person's access key for it. */
  readonly holdsAccessKey: boolean;
  readonly stored: RelayStored | null;
  readonly lastAckAt: number | null;
}

/** How long this device keeps what nobody needs any more, in days. */
export interface RetentionSettings {
  /** Null: until somebody empties the trash. */
  readonly trashDays: null | 30 | 90 | 365;
  readonly logDays: 7 | 30 | 90;
  /** Passages changed in two places at once, reviewed or not. */
  readonly conflictDays: 30 | 90 | 365;
}

export interface TrashedNote {
  readonly id: string;
  /** When this device deletes it by itself (ms since 1970), if the relay has all of it then; null if never. */
  readonly goesAt: number | null;
  /** Some of it is only on this device. */
  readonly unsent: boolean;
}

export interface EmptiedTrash {
  readonly deleted: number;
  /** Left in the trash because some of them is only on this device. */
  readonly kept: number;
}

export interface DeviceInfo {
  readonly displayName: string;
  /** The hue the others see this person in, 0..7; null until one was chosen: each notebook then has its own. */
  readonly colour: number | null;
  /** "unsaved": the words wait to be shown and confirmed; "saved": they are gone from this device. */
  readonly words: "unsaved" | "saved";
  /** Another device has removed this one: what is here stays readable, and nothing comes or goes any more. */
  readonly removed: boolean;
  readonly durable: boolean;
}

/** One of this person's devices, or their words: whoever shares the vault. */
export interface DeviceRow {
  /** The capability key in the vault, 64 hex digits. */
  readonly id: string;
  /** What its owner or its platform calls it; "" if it never said. */
  readonly name: string;
  readonly self: boolean;
  /** Milliseconds since 1970, by the clock of whoever let it in. */
  readonly addedAt: number;
  /** When it last told that it was here: on coming online after an hour, and once a day. */
  readonly lastSeenAt: number | null;
  /** Of its key in the vault, 32 hex digits in groups of four. */
  readonly fingerprint: string;
  /** "words": what the 24 words open, from which new devices come. */
  readonly kind: "device" | "words";
}

/** What has come of removing a device: it is out of the vault; out of the notebooks where this person could see to it. */
export interface RemovedDevice {
  /** Notebooks with fresh access, which the removed device does not know. */
  readonly notebooks: number;
  /** Names of notebooks where somebody who manages them has to end the former access. */
  readonly waiting: readonly string[];
}

/** What the words lead to, as the relay shows it; proven to be theirs, not to be the newest there is. */
export interface FoundByWords {
  readonly notebooks: number;
  readonly devices: number;
  /** Milliseconds since 1970, by the clocks of these devices. */
  readonly lastChangeAt: number | null;
}

/** Access to notebooks that is renewed since a device was removed, this person's and others'. */
export interface AccessRenewal {
  /** Notebooks where this goes on by itself as soon as the relay can be reached. */
  readonly underWay: number;
  /** Notebooks where somebody who manages them has to do it. */
  readonly waiting: readonly {
    readonly notebook: string;
    readonly name: string;
    /** Of the new access, for whoever lets it in to compare. */
    readonly fingerprint: string;
    /** False where this person can only read, and so cannot ask in the notebook itself. */
    readonly asked: boolean;
  }[];
  /** Others who ask for it in notebooks that this person manages. A stolen device can ask, too: compare fingerprints. */
  readonly requests: readonly {
    readonly notebook: string;
    /** The capability that is to end, 64 hex digits, and how its holder is called ("" if they never said). */
    readonly person: string;
    readonly name: string;
    /** The capability that is to be let in. */
    readonly renewed: string;
    readonly fingerprint: string;
  }[];
}

/** One edit of a text field: at `at` (UTF-16 units), remove `remove` units, then insert `insert`. */
export interface Splice {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

export type NoteField = "title" | "body";

export interface FieldSplice extends Splice {
  readonly field: NoteField;
}

/** Everything a tab needs to open a note for editing. */
export interface OpenedNote {
  readonly id: string;
  /** Automerge chunks: a snapshot if there is one, then changes; any order, may repeat. */
  readonly chunks: readonly Uint8Array[];
  /** Fresh for this opening, 32 hex digits; never reused. */
  readonly actor: string;
  readonly notebook: string;
  readonly role: Role;
  readonly trashed: boolean;
}

/** Uncommitted typing, cumulative since `heads`: replaces the session's previous draft. */
export interface Draft {
  readonly session: string;
  readonly actor: string;
  /** Hex hashes the splices apply to, in order, positions sequential. */
  readonly heads: readonly string[];
  readonly edits: readonly FieldSplice[];
}

export interface Commit {
  readonly session: string;
  /** Automerge change chunks made by this session's actor (or merged remote ones: harmless). */
  readonly changes: readonly Uint8Array[];
  readonly title: string;
  readonly preview: string;
}

/** Another person's caret in a note. */
export interface PeerCursor {
  /** Stable while that peer is present. */
  readonly peer: string;
  readonly name: string;
  /** 0..7: which of the eight collaborator hues. */
  readonly hue: number;
  readonly field: NoteField;
  /** Automerge cursors (text), resolved by the holder of the document. */
  readonly anchor: string;
  readonly head: string;
}

export interface LinkPreview {
  readonly notebook: string;
  readonly name: string;
  readonly from: string;
  readonly role: Role;
  readonly notes: number;
  /** One note is shared alone, and called `name`. */
  readonly single: boolean;
  readonly alreadyJoined: boolean;
}

export type DeviceEvent =
  | { readonly type: "notes" }
  | { readonly type: "notebooks" }
  /** This person's devices, or what they say of themselves. */
  | { readonly type: "devices" }
  /** A search may find more than before. */
  | { readonly type: "search" }
  | { readonly type: "status"; readonly status: SyncStatus }
  /** Documents of this device that were missing and have come; `done` is `total` when there are no more. */
  | { readonly type: "fetching"; readonly done: number; readonly total: number }
  /** New change chunks of a note from elsewhere (another tab or another device). */
  | {
      readonly type: "changes";
      readonly id: string;
      readonly session: string | null;
      readonly changes: readonly Uint8Array[];
      /** When they came from the relay; not there for what was written on this device. */
      readonly arrivedAt?: number;
    }
  /** Something of a note was set aside: a document that was opened before may not take what comes now. */
  | { readonly type: "mended"; readonly id: string }
  | { readonly type: "presence"; readonly id: string; readonly peers: readonly PeerCursor[] }
  | { readonly type: "notice"; readonly text: string };

/** A piece of text, and whether it is what was looked for. Never markup. */
export interface TextPart {
  readonly text: string;
  readonly match: boolean;
}

export interface SearchHit {
  readonly id: string;
  readonly title: readonly TextPart[];
  /** The piece of the body that says it, as plain text; empty if the body does not. */
  readonly snippet: readonly TextPart[];
  /** The first match in the body as it was indexed, in UTF-16 units. */
  readonly found: { readonly at: number; readonly text: string } | null;
}

export interface SearchAnswer {
  readonly hits: readonly SearchHit[];
  readonly total: number;
  /** There are more than `total`. */
  readonly isMore: boolean;
  /** What was not understood and is left out, in sentences. */
  readonly remarks: readonly string[];
  /** How many of all notes can be found so far; null when all can. */
  readonly preparing: { readonly done: number; readonly total: number } | null;
}

/** A refusal a person can act on. Thrown by every method below; travels over ports by its fields. */
export interface DeviceRefusal {
  readonly code:
    | "offline"
    | "bad-link"
    | "bad-words"
    | "bad-relay"
    | "bad-input"
    | "no-such-note"
    | "no-such-notebook"
    | "no-access"
    | "link-spent"
    | "refused"
    /** What would be deleted is partly only on this device. */
    | "unsent"
    | "storage"
    /** The notes are locked with a passphrase: nothing can be read or written until they are unlocked. */
    | "locked"
    | "wrong-passphrase"
    | "unavailable";
  /** One or two sentences: what happened, what is safe, what to do. */
  readonly message: string;
}

/**
 * Names one call of a method that makes something new. Repeated under its name, because the answer was
 * lost, it makes nothing new and is given the same answer.
 */
export type CallName = string;

/** Every method may reject with a {@link DeviceRefusal}. Durable when resolved. */
export interface DeviceApi {
  info(): Promise<DeviceInfo>;
  setDisplayName(name: string): Promise<void>;
  /** The hue this person is shown in, 0..7, to all who share a notebook with them. */
  setColour(colour: number): Promise<void>;
  /** Enters a relay that asks for an invitation, this device's own where none is named; needs the relay. The person's other devices enter with it. */
  redeemInvite(invite: string, relay?: string | null): Promise<void>;
  status(): Promise<SyncStatus>;
  notes(): Promise<readonly NoteRow[]>;
  notebooks(): Promise<readonly NotebookRow[]>;
  createNote(
    input: { notebook?: string; title?: string; body?: string },
    call?: CallName,
  ): Promise<{ id: string }>;
  openNote(id: string, session: string): Promise<OpenedNote>;
  closeNote(id: string, session: string): Promise<void>;
  draft(id: string, draft: Draft): Promise<void>;
  commit(id: string, commit: Commit): Promise<void>;
  trashNote(id: string): Promise<void>;
  restoreNote(id: string): Promise<void>;
  /** What lies in the trash, what goes first in front. */
  trash(): Promise<readonly TrashedNote[]>;
  /**
   * Deletes a note in the trash from this device for ever. The relay and other devices keep theirs; one of them that puts
   * it back from the trash brings it back here. Refused with `unsent` if some of it is only here, unless `unsentToo`.
   */
  purgeNote(id: string, unsentToo: boolean): Promise<void>;
  /** The same with everything in the trash; what is partly only here stays there unless `unsentToo`. */
  emptyTrash(unsentToo: boolean): Promise<EmptiedTrash>;
  retention(): Promise<RetentionSettings>;
  setRetention(settings: RetentionSettings): Promise<void>;
  /** Shortens the files by what is unused in them; how many bytes that was. */
  freeSpace(): Promise<{ bytes: number }>;
  /**
   * The notes that answer what was typed (see client/notes/search-query.ts), the best first, at most `most` of them.
   * Any text is a query. Refused with `unavailable` where nothing can be searched.
   */
  search(typed: string, most: number): Promise<SearchAnswer>;
  /** For this person, on all their devices. */
  pinNote(id: string, pinned: boolean): Promise<void>;
  createNotebook(name: string, call?: CallName): Promise<{ id: string }>;
  renameNotebook(id: string, name: string): Promise<void>;
  /** 0..7, for everybody in the notebook; null takes it away. */
  setNotebookColour(notebook: string, colour: number | null): Promise<void>;
  /** How much of a notebook this device fetches from now on. */
  setKeep(notebook: string, keep: Keep): Promise<void>;
  /** Puts a notebook into another one, or (null) on its own, for this person on all their devices; whatever it allows. */
  nestNotebook(notebook: string, parent: string | null): Promise<void>;
  /**
   * Into another notebook, with all that was ever written in it; resolves to the new id. It is gone from the old one as soon
   * as the relay has it in the new one, here at once.
   */
  moveNote(id: string, notebook: string, call?: CallName): Promise<{ id: string }>;
  /**
   * A notebook for this note alone, named like it, where it goes with all that was ever written in it: to be shared. No list
   * shows it ({@link NotebookRow.single}). A note that has one already stays there.
   */
  shareNote(id: string, call?: CallName): Promise<{ notebook: string; id: string }>;
  /** Who has access to a notebook, and by which links. */
  sharing(notebook: string): Promise<Sharing>;
  /**
   * A link of its own, to be ended on its own. Works offline; the link opens once this device has reached the relay.
   * No link makes an administrator: somebody who is in can be made one.
   */
  share(
    notebook: string,
    role: Role,
    terms?: LinkTerms,
  ): Promise<{ readonly link: string; readonly id: string }>;
  /** Ends a link (its capability key in hex); who came by it stays. */
  revokeLink(notebook: string, link: string): Promise<void>;
  /**
   * Ends somebody's access (their capability key in hex), and that of the links they can still open the notebook with.
   * They keep what they have received. Works offline; it holds once this device has reached the relay.
   */
  removePerson(notebook: string, person: string): Promise<void>;
  setPersonRole(notebook: string, person: string, role: Role): Promise<void>;
  /** How often this person's devices renew the notebook's keys by themselves, while they are online and idle. */
  setRenewal(notebook: string, everyDays: RenewalDays): Promise<void>;
  /** None of this person's devices follows the notebook any more; what is here stays readable. */
  leaveNotebook(notebook: string): Promise<void>;
  /** Closes a notebook for everybody. They keep what they have; it can be brought back for 30 days. */
  deleteNotebook(notebook: string): Promise<void>;
  restoreNotebook(notebook: string): Promise<void>;
  /**
   * A notebook of this person's own with every note of this one that is here and not in the trash, with all that was ever
   * written in it. Again goes on with the same copy, and adds what has come since.
   */
  keepCopy(notebook: string, name: string): Promise<{ notebook: string; notes: number }>;
  /** Who wrote a note, by signature; whoever wrote last comes first. */
  noteAuthors(id: string): Promise<readonly NoteAuthor[]>;
  previewLink(link: string): Promise<LinkPreview>;
  join(link: string): Promise<{ notebook: string }>;
  /**
   * Gives a notebook a new home on the relay at this address; needs both roles: administrator here, admitted there. The
   * others are led over when they come by. Resolves when the relay has everything; again goes on with what was begun.
   */
  moveHome(notebook: string, relay: string): Promise<{ notebook: string }>;
  /** The 24 words while they still wait on this device, else null. */
  words(): Promise<readonly string[] | null>;
  /**
   * Three positions, ascending from 1, whose words are to be typed before the words are destroyed here; the same until
   * then. Refused with `bad-words` when they are gone.
   */
  wordsCheck(): Promise<readonly number[]>;
  /**
   * Destroys the words on this device, if the answers (position → word) are those that {@link wordsCheck} asks for; else
   * refused with `bad-words`. Without answers: where nobody can be asked, and the person says that they are safe.
   */
  confirmWords(answers?: Readonly<Record<number, string>>): Promise<void>;
  /** This device first, then the others in the order they came. */
  devices(): Promise<readonly DeviceRow[]>;
  /** How this person's other devices see this one. */
  setDeviceName(name: string): Promise<void>;
  /**
   * Takes a device out of everything, for good; needs the relay. It keeps what it has. Resolves when all is done, or after
   * half a minute with what is done by then: the rest goes on by itself.
   */
  removeDevice(id: string): Promise<RemovedDevice>;
  accessRenewal(): Promise<AccessRenewal>;
  /** Lets in what a member asks for in {@link AccessRenewal.requests}, and ends what they used before. */
  grantRenewal(notebook: string, renewed: string): Promise<void>;
  /** For one empty device that opens it within ten minutes (`becomeDevice`); ends the one that was shown before. Needs the relay. */
  deviceLink(): Promise<{ link: string; expiresAt: number }>;
  /** The link that is shown opens nothing any more. */
  cancelDeviceLink(): Promise<void>;
  /**
   * What the words open, without making or changing anything; needs the relay. Refused with `bad-words` for words that
   * are none, with `bad-link` where nothing is found under them.
   */
  previewWords(words: string): Promise<FoundByWords>;
  /** Replaces an empty device by the one the words open; needs the relay. A device that was removed comes back. */
  restore(words: string): Promise<void>;
  /** The same by the link that another device shows ({@link deviceLink}). */
  becomeDevice(link: string): Promise<void>;
  /**
   * For a stolen device: with the words, from any other one, also from an empty one (which is restored first). The vault
   * and every notebook get new keys, and every other device is out.
   */
  shutOthersOut(words: string): Promise<RemovedDevice>;
  /** Where this session's caret stands (Automerge cursors), or null when it left the note. */
  setCursor(
    id: string,
    session: string,
    cursor: { field: NoteField; anchor: string; head: string } | null,
  ): Promise<void>;
  /** The browser's own word on the network; a hint to try at once or to stop trying. */
  setOnline(online: boolean): Promise<void>;
  /** Whether somebody is looking: decides how soon a silent connection is noticed. */
  setVisible(visible: boolean): Promise<void>;
  /** Reads the head of every row: for somebody who asks, not for a status line. */
  storage(): Promise<StorageReport>;
  /** Where writing stopped for want of room, looks for some now; whether there is some. */
  tryStorage(): Promise<boolean>;
  /**
   * Asks a relay in use, this device's own where none is named; where it cannot be reached, what is known from last
   * time. Never rejects for want of a network.
   */
  relayInfo(relay?: string | null): Promise<RelayInfo>;
  syncLog(): Promise<readonly LogLine[]>;
  syncReport(): Promise<SyncReport>;
  noteSync(id: string): Promise<NoteSync>;
  /** Stops synchronising until it is called with false; what is written is kept here and sent then. */
  workOffline(offline: boolean): Promise<void>;
  /** Passages changed in two places at once, of one note or of all; the newest first. */
  conflicts(id?: string): Promise<readonly ConflictRow[]>;
  /** Somebody has looked at it. */
  markReviewed(conflict: string): Promise<void>;
  /** How many ms after it arrived each of some remote edits was on a screen: for the report alone. */
  shown(delays: readonly number[]): Promise<void>;
}

/** The Automerge shape of a note (DESIGN §3). Text fields are edited with splice only. */
export interface NoteDocument {
  format: number;
  title: string;
  body: string;
  tags: Record<string, boolean>;
  attachments: Record<string, Uint8Array>;
  createdAt: number;
}
