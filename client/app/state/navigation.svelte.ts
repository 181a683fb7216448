import type { NotebookRow, NoteRow } from "#client/device/api.ts";

export type Sheet =
  /**
   * As they were when the sheet opened: making a link may move the note to another notebook and id. Without a note the
   * notebook as a whole is meant.
   */
  | { readonly type: "share"; readonly note: NoteRow | null; readonly notebook: NotebookRow }
  | { readonly type: "words" }
  | { readonly type: "restore" }
  | { readonly type: "settings" }
  | { readonly type: "add-device" }
  | { readonly type: "stolen" }
  | { readonly type: "relay" }
  | { readonly type: "sync" }
  /** One note's sync, by the note's id. */
  | { readonly type: "note-sync"; readonly note: string }
  /** Deleting for ever; null for everything in the trash. */
  | { readonly type: "delete"; readonly note: NoteRow | null }
  /** A notebook for everybody in it. */
  | { readonly type: "delete-notebook"; readonly notebook: NotebookRow }
  /** Who wrote a note, by the note's id. */
  | { readonly type: "authors"; readonly note: string }
  | { readonly type: "new-notebook" };

/** A piece of a note's body: where it stood, in UTF-16 units, and what it says. */
export interface Reveal {
  readonly note: string;
  readonly at: number;
  readonly text: string;
}

/** Which part of the app is in front: matters where the window is too narrow for all of it. */
export class Navigation {
  /** On a phone one pane at a time: the list or the note. */
  pane = $state<"list" | "note">("list");
  drawerOpen = $state(false);
  sheet = $state.raw<Sheet | null>(null);
  /** A link somebody sent, read from the address and already removed from it. */
  link = $state.raw<string | null>(null);
  /** Asks the open note to take the keyboard; the number tells one wish from the next. */
  focusWish = $state.raw<{ readonly number: number; readonly field: "title" | "body" }>({
    number: 0,
    field: "body",
  });

  /** Asks the search field to take the keyboard, as soon as it is there. */
  searchWish = $state(false);
  /** Asks the open note to show what was found in it. */
  revealWish = $state.raw<Reveal | null>(null);

  show(sheet: Sheet): void {
    this.drawerOpen = false;
    this.sheet = sheet;
  }

  closeSheet(): void {
    this.sheet = null;
  }

  wishFocus(field: "title" | "body"): void {
    this.focusWish = { number: this.focusWish.number + 1, field };
  }

  wishSearch(): void {
    this.searchWish = true;
  }

  reveal(wish: Reveal): void {
    this.revealWish = wish;
  }
}

/** The link in an address's fragment, or null when the fragment is none of ours. */
export function linkIn(address: string): string | null {
  return /#1[red][.]/.test(address) ? address : null;
}

/** Made by another device of the same person, for this one to become theirs, too. */
export function isDeviceLink(link: string): boolean {
  return link.includes("#1d.");
}
