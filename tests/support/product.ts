/** The built product as people meet it: a relay that serves the app, behind a line that can fail. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Locator, Page } from "playwright";
import { launchPerson, type Person, type PersonOptions } from "./browser.ts";
import { startTestRelay, type TestRelay, type TestRelayOptions } from "./relay.ts";
import { startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

const dist = resolve(import.meta.dirname, "../../dist");

export interface Product extends AsyncDisposable {
  /** Where people go: through the proxy. */
  readonly address: string;
  readonly proxy: TcpProxy;
  /** The relay's data directory. */
  readonly dir: string;
  relay(): TestRelay;
  /** Stops the relay; its port stays reserved for {@link startRelay}. */
  stopRelay(): Promise<void>;
  startRelay(): Promise<void>;
  /** A fresh profile of a person, deleted in the end. */
  profile(name: string): string;
  /** Opens the app in a browser of that profile. */
  person(profile: string, options?: PersonOptions): Promise<Person>;
}

/** What a browser prints when the relay is away: provoked here on purpose. */
export const networkTrouble: readonly RegExp[] = [
  /WebSocket connection to .* failed/,
  /net::ERR_/,
  /Failed to load resource/,
];

/** @param settings of the relay, by name, as flags */
export async function startProduct(settings: TestRelayOptions["settings"] = {}): Promise<Product> {
  const root = mkdtempSync(join(tmpdir(), "sealeaf-product-"));
  const dir = join(root, "data");
  const options = {
    dir,
    settings,
    clientDir: join(dist, "client"),
    workerUrl: new URL(`file://${join(dist, "sqlite-worker.js")}`),
  };
  let running = await startTestRelay(options);
  const { port } = running;
  const proxy = await startTcpProxy(port);
  const people: Person[] = [];
  let isUp = true;
  return {
    address: `http://localhost:${proxy.port}/`,
    proxy,
    dir,
    relay: () => running,
    stopRelay: async () => {
      isUp = false;
      await running.stop();
    },
    startRelay: async () => {
      running = await startTestRelay({ ...options, port });
      isUp = true;
    },
    profile: (name) => mkdtempSync(join(root, `${name}-`)),
    person: async (profile, personOptions) => {
      const person = await launchPerson(profile, personOptions);
      people.push(person);
      return person;
    },
    [Symbol.asyncDispose]: async () => {
      for (const { context } of people) {
        try {
          await context.close();
        } catch {
          // The test has killed that browser.
        }
      }
      await proxy.close();
      if (isUp) await running.stop();
      // A browser's last helpers may still be writing.
      rmSync(root, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

/** The parts of the app by the names that assistive technology and tests rely on. */
export function parts(page: Page): {
  readonly title: Locator;
  readonly body: Locator;
  readonly list: Locator;
  readonly status: Locator;
  readonly share: Locator;
  readonly newNote: Locator;
} {
  return {
    title: page.getByRole("textbox", { name: "Note title" }),
    body: page.getByRole("textbox", { name: "Note body" }),
    list: page.getByRole("list", { name: "Notes" }),
    status: page.getByRole("status", { name: "Sync status" }),
    share: page.getByRole("button", { name: "Share", exact: true }),
    newNote: page.getByRole("button", { name: "New note" }),
  };
}

export async function openApp(page: Page, address: string): Promise<void> {
  await page.goto(address);
  await parts(page).body.waitFor();
}

/** The note's Markdown as the editor holds it, whatever the live preview hides. */
export async function bodyText(page: Page): Promise<string> {
  return parts(page).body.evaluate((element) => {
    type View = {
      cmTile?: { view?: { state: { doc: { toString(): string } } } };
      cmView?: { view?: { state: { doc: { toString(): string } } } };
    };
    const held = element as HTMLElement & View;
    const view = held.cmTile?.view ?? held.cmView?.view;
    if (view === undefined) throw new Error("the body is not an editor");
    return view.state.doc.toString();
  });
}

/** Puts the caret behind the first occurrence of `after` and types. */
export async function typeAfter(page: Page, after: string, text: string): Promise<void> {
  await parts(page).body.evaluate((element, wanted) => {
    type View = {
      state: { doc: { toString(): string } };
      dispatch(spec: { selection: { anchor: number } }): void;
      focus(): void;
    };
    const held = element as HTMLElement & { cmTile?: { view?: View }; cmView?: { view?: View } };
    const view = held.cmTile?.view ?? held.cmView?.view;
    if (view === undefined) throw new Error("the body is not an editor");
    const at = view.state.doc.toString().indexOf(wanted);
    if (at < 0) throw new Error(`“${wanted}” is not in the note`);
    view.focus();
    view.dispatch({ selection: { anchor: at + wanted.length } });
  }, after);
  await page.keyboard.type(text);
}

/** What a link is to allow, as the sheet says it; what is left out stays as the sheet proposes it. */
export interface LinkTerms {
  readonly role?: "can read" | "can edit";
  readonly for?: "one person" | "several people";
}

/** Makes a link to the notebook of the open note and returns it. */
export async function shareNote(page: Page, name: string, terms: LinkTerms = {}): Promise<string> {
  await parts(page).share.click();
  const nameField = page.getByRole("textbox", { name: "Your name, for those you share with" });
  if (await nameField.isVisible()) await nameField.fill(name);
  const { role, for: uses } = terms;
  if (role) await page.getByLabel("Whoever has the link").selectOption(role);
  if (uses) await page.getByLabel("It is for").selectOption(uses);
  await page.getByRole("button", { name: "Make a link" }).click();
  const link = await page.getByRole("textbox", { name: "Share link" }).inputValue();
  await page.getByRole("button", { name: "Done" }).click();
  return link;
}

/** Opens a link, joins, and waits for the note of that title. */
export async function joinByLink(
  page: Page,
  link: string,
  name: string,
  title: string,
): Promise<void> {
  await page.goto(link);
  await page.getByRole("textbox", { name: "Your name, for the others" }).fill(name);
  await page.getByRole("button", { name: /^(Join|Open) “/ }).click();
  await parts(page).list.getByText(title).first().click();
  await parts(page).body.waitFor();
}

/** Shows the 24 recovery words, reads them, and closes the sheet again. */
export async function readWords(page: Page): Promise<readonly string[]> {
  await page
    .getByRole("button", { name: /24 words|Show the words/ })
    .first()
    .click();
  const items = page.getByRole("dialog").getByRole("listitem");
  await items.nth(23).waitFor();
  const words = (await items.allInnerTexts()).map((item) => item.replace(/[^a-z]/g, ""));
  await page.keyboard.press("Escape");
  return words;
}
