/** What tests need of a page in any browser engine, and the app's parts in it by their accessible names. */
import { expect } from "vitest";

export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [name: string]: Json };

/** One tab. Every call has a time limit; all real input goes through the browser, not through the page. */
export interface EnginePage {
  goto(url: string): Promise<void>;
  reload(): Promise<void>;
  /** Runs `act` in the page; it is sent as text and sees nothing of the test but its arguments. */
  evaluate<Args extends readonly Json[], Result>(
    act: (...args: Args) => Result | Promise<Result>,
    ...args: Args
  ): Promise<Result>;
  /** CSS pixels from the top left of the window. */
  clickAt(x: number, y: number): Promise<void>;
  type(text: string): Promise<void>;
  press(key: "Escape" | "Enter" | "Backspace"): Promise<void>;
  close(): Promise<void>;
}

export type Part =
  | "button"
  | "textbox"
  | "dialog"
  /** A note of the list "Notes": its title is enough. */
  | "note"
  /** Whatever is to be read somewhere on the page, hidden or not: the words are enough. */
  | "text";

export interface Seen {
  readonly text: string;
  readonly value: string;
  /** Its middle. */
  readonly x: number;
  readonly y: number;
}

/** The first such part on the page, scrolled into view; null if there is none. */
export function see(page: EnginePage, part: Part, name: string): Promise<Seen | null> {
  return page.evaluate(findPart, part, name);
}

// Sent to the page as text: it may use nothing from outside.
function findPart(part: Part, name: string): Seen | null {
  const selectors: Record<Part, string> = {
    button: "button, [role=button]",
    textbox: "input, textarea, [role=textbox]",
    dialog: "dialog[open], [role=dialog]",
    note: '[aria-label="Notes"] li, [aria-label="Notes"] [role=listitem]',
    text: "body *:not(script, style)",
  };
  const plain = (text: string | null | undefined): string =>
    (text ?? "").replaceAll(/\s+/g, " ").trim();
  const named = (element: Element): string => {
    const labelled = element.getAttribute("aria-labelledby");
    const labels = (element as HTMLInputElement).labels;
    return plain(
      element.getAttribute("aria-label") ??
        (labelled === null ? null : document.getElementById(labelled)?.textContent) ??
        labels?.[0]?.textContent ??
        element.textContent,
    );
  };
  for (const element of document.querySelectorAll<HTMLElement>(selectors[part])) {
    const box = element.getBoundingClientRect();
    const matches =
      part === "text" || part === "note"
        ? plain(element.textContent).includes(name)
        : named(element) === name && box.width > 0;
    if (!matches) continue;
    if (part !== "text") element.scrollIntoView({ block: "nearest" });
    const { left, top, width, height } = element.getBoundingClientRect();
    return {
      text: plain(element.innerText),
      value: (element as HTMLInputElement).value ?? "",
      x: left + width / 2,
      y: top + height / 2,
    };
  }
  return null;
}

const patience = { timeout: 20_000, interval: 50 };

/** Waits for a part to appear. */
export async function waitFor(page: EnginePage, part: Part, name: string): Promise<Seen> {
  let seen: Seen | null = null;
  await expect
    .poll(async () => (seen = await see(page, part, name)), {
      ...patience,
      message: `${part} “${name}”`,
    })
    .not.toBeNull();
  if (seen === null) throw new Error("it was just seen");
  return seen;
}

export async function click(page: EnginePage, part: Part, name: string): Promise<void> {
  const { x, y } = await waitFor(page, part, name);
  await page.clickAt(x, y);
}

/** Types into an empty text field. */
export async function fill(page: EnginePage, name: string, text: string): Promise<void> {
  await click(page, "textbox", name);
  await page.type(text);
}

export async function openApp(page: EnginePage, address: string): Promise<void> {
  await page.goto(address);
  await waitFor(page, "textbox", "Note body");
}

/** How the connection is, as the footer words it. */
export function syncWord(page: EnginePage): Promise<string> {
  return page.evaluate(
    () => document.querySelector<HTMLElement>('[aria-label="Sync status"]')?.innerText.trim() ?? "",
  );
}

/** Waits until the footer says this of the connection. */
export async function untilSync(page: EnginePage, word: string): Promise<void> {
  await expect.poll(() => syncWord(page), patience).toContain(word);
}

export interface Shown {
  readonly body: string;
  /** What the line under the note says of it: "Saving…", "Saved on this device", "On the relay", … */
  readonly line: string;
}

/** The note's Markdown as the editor holds it, and what the page says of it at the same moment. */
export function shownNote(page: EnginePage): Promise<Shown> {
  return page.evaluate(() => {
    interface Held {
      readonly view?: { readonly state: { readonly doc: { toString(): string } } };
    }
    const body = document.querySelector('[aria-label="Note body"]') as
      | (Element & { readonly cmTile?: Held; readonly cmView?: Held })
      | null;
    const view = body?.cmTile?.view ?? body?.cmView?.view;
    const line = document.querySelector<HTMLElement>('[aria-label="Note"] footer .state');
    return {
      body: view === undefined ? "" : view.state.doc.toString(),
      line: line?.innerText.replaceAll(/\s+/g, " ").trim() ?? "",
    };
  });
}

export async function bodyText(page: EnginePage): Promise<string> {
  return (await shownNote(page)).body;
}

/** Waits until the note's text is exactly this. */
export async function untilBody(page: EnginePage, text: string): Promise<void> {
  await expect.poll(() => bodyText(page), patience).toBe(text);
}

/** Waits until the note's text holds this. */
export async function untilBodyHolds(page: EnginePage, text: string): Promise<void> {
  await expect.poll(() => bodyText(page), patience).toContain(text);
}

/** Waits until the page calls the open note saved; answers the text it said that of. */
export async function untilSaved(page: EnginePage): Promise<string> {
  let saved = "";
  await expect
    .poll(async () => {
      const { body, line } = await shownNote(page);
      saved = body;
      return line;
    }, patience)
    .toMatch(/^(Saved on this device|On the relay|Seen by)/);
  return saved;
}

/** Puts the caret behind the first occurrence of `after` and types. */
export async function typeAfter(page: EnginePage, after: string, text: string): Promise<void> {
  const found = await page.evaluate((wanted) => {
    interface View {
      readonly state: { readonly doc: { toString(): string } };
      dispatch(spec: { selection: { anchor: number } }): void;
      focus(): void;
    }
    const body = document.querySelector('[aria-label="Note body"]') as
      | (Element & { readonly cmTile?: { view?: View }; readonly cmView?: { view?: View } })
      | null;
    const view = body?.cmTile?.view ?? body?.cmView?.view;
    const at = view?.state.doc.toString().indexOf(wanted) ?? -1;
    if (view === undefined || at < 0) return false;
    view.focus();
    view.dispatch({ selection: { anchor: at + wanted.length } });
    return true;
  }, after);
  if (!found) throw new Error(`“${after}” is not in the note`);
  await page.type(text);
}

/** Makes a link to the notebook of the open note and returns it. */
export async function shareNote(page: EnginePage, name: string): Promise<string> {
  await click(page, "button", "Share");
  await fill(page, "Your name, for those you share with", name);
  await click(page, "button", "Make a link");
  const { value } = await waitFor(page, "textbox", "Share link");
  await click(page, "button", "Done");
  return value;
}

/** Opens a link, joins, and waits for the note of that title. */
export async function joinByLink(
  page: EnginePage,
  link: string,
  name: string,
  title: string,
): Promise<void> {
  await page.goto(link);
  await fill(page, "Your name, for the others", name);
  await page.press("Enter");
  await click(page, "note", title);
  await waitFor(page, "textbox", "Note body");
}
