/** What a library must do to be measured: one device of it, in a process of its own. */
import type { Splice } from "#client/device/api.ts";

export interface Place {
  /** Of its own, empty. */
  readonly directory: string;
  /** Where its server listens. */
  readonly url: string;
}

export interface NoteText {
  readonly title: string;
  readonly body: string;
}

/** What another device must be given to get at the notes. */
export interface Invitation {
  /** Where a library knows no lists these are all notes; ours finds them by itself. */
  readonly names: readonly string[];
  readonly words: string;
}

/** Milliseconds of {@link now} at which a device that had nothing had so much. */
export interface Arrival {
  readonly listed: number;
  /** A note from among them was open. */
  readonly opened: number;
  readonly here: number;
  readonly searchable: number;
}

/** A note open for typing. */
export interface EditedText {
  length(): number;
  text(): string;
  /** One step of typing, as an editor hands it over. */
  edit(splice: Splice): void;
  /** A pause: what was gathered since the last one becomes one change, where a library gathers. */
  pause(): void;
  onChange(listener: () => void): void;
}

export interface Library {
  /** Everything it needs is loaded; nothing is exchanged. */
  begin(place: Place): Promise<void>;
  /** Becomes the first device, connected. */
  found(): Promise<void>;
  /** Becomes another device with these notes, connected. */
  join(invitation: Invitation): Promise<void>;
  create(notes: readonly NoteText[]): Promise<readonly string[]>;
  /** Whatever others are shown of the notes before they have them is at the server. Answers the words, "" for none. */
  invite(): Promise<string>;
  /** The server has everything. Where a library has no word for it, the server is asked instead. */
  settled(): Promise<void>;
  /** Everything named in the invitation comes to this device, which has just joined. */
  arrive(invitation: Invitation): Promise<Arrival>;
  open(name: string): Promise<EditedText>;
  /** A note whose text has been typed, each group of edits a change. */
  typed(groups: Iterable<readonly Splice[]>): Promise<string>;
  disconnect(): Promise<void>;
  /** Resolves when every note is known to be as it is at the server. */
  reconnect(): Promise<void>;
}

/** A clock that all processes of this machine share. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** What is typed comes before it: a note that is there at all can be told from one that has not come. */
export const emptyBody = "\n";

export const notesPerLap = 100;

/** About 2 KB that compress no better than prose does. */
export function noteText(number: number): NoteText {
  let state = number + 1;
  const words = Array.from({ length: 330 }, () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return (state % 60_000).toString(36);
  });
  return { title: `Note ${number}`, body: `${lapOf(number)} ${words.join(" ")}` };
}

/** A word that {@link notesPerLap} notes share. */
export function lapOf(number: number): string {
  return `lap${Math.floor(number / notesPerLap)}x`;
}
