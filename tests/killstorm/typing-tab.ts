/** A tab of the real app in which somebody appends to one note, and what its device acknowledged of that. */
import type { BrowserContext, Locator, Page } from "playwright";
import { bodyText, parts } from "#tests/support/product.ts";
import { AcknowledgedText, type SavingCall } from "./acknowledged-text.ts";

/** Sent to each page before its scripts: tells this process of every call that saves, and of its answer. */
const spy = `
  const post = MessagePort.prototype.postMessage;
  const heard = new WeakSet();
  const saving = new Set();
  MessagePort.prototype.postMessage = function (message, ...rest) {
    if (message?.type === "call" && (message.method === "draft" || message.method === "commit")) {
      const { id, method, args: [note, content] } = message;
      if (!heard.has(this)) {
        heard.add(this);
        this.addEventListener("message", ({ data }) => {
          if (data.type === "answer" && saving.delete(data.id)) window.stormAnswered(data.id);
        });
      }
      saving.add(id);
      window.stormPosted(id, method === "draft"
        ? { method, edits: content.edits }
        : { method, changes: content.changes.map((change) => [...change]) });
    }
    return post.call(this, message, ...rest);
  };
`;

/** To be called on a browser before it opens the app. */
export async function listenToSaving(context: BrowserContext, tabs: TypingTabs): Promise<void> {
  await context.exposeBinding("stormPosted", ({ page }, id: number, call: SentCall) =>
    tabs.posted(page, id, call),
  );
  await context.exposeBinding("stormAnswered", ({ page }, id: number) => tabs.answered(page, id));
  await context.addInitScript({ content: spy });
}

type SentCall =
  | { readonly method: "commit"; readonly changes: readonly (readonly number[])[] }
  | Extract<SavingCall, { readonly method: "draft" }>;

export class TypingTabs {
  readonly #tabs = new Map<Page, TypingTab>();

  add(tab: TypingTab): void {
    this.#tabs.set(tab.page, tab);
  }

  posted(page: Page, id: number, call: SentCall): void {
    this.#tabs
      .get(page)
      ?.acknowledged.posted(
        id,
        call.method === "draft"
          ? call
          : { method: "commit", changes: call.changes.map((change) => Uint8Array.from(change)) },
      );
  }

  answered(page: Page, id: number): void {
    this.#tabs.get(page)?.answered(id);
  }
}

/** Under way to the browser together: one after the other, its answers would set the speed. */
const keysAtOnce = 32;

export class TypingTab {
  readonly page: Page;
  readonly title: string;
  readonly acknowledged: AcknowledgedText;
  /** All that this tab means to have typed in the end. */
  readonly planned: string;
  /** Keys pressed so far, one for each character. */
  typed: number;
  #waiting: { readonly isOver: () => boolean; readonly resolve: () => void }[] = [];

  /** @param page shows the note of that title, whose body is `text` */
  constructor(page: Page, title: string, text: string, more: string) {
    this.page = page;
    this.title = title;
    this.planned = text + more;
    this.typed = text.length;
    this.acknowledged = new AcknowledgedText(text.length);
  }

  /** Types at full speed, until there are so many characters or the tab is dead. */
  async type(upTo = this.planned.length): Promise<void> {
    const failures: Error[] = [];
    const underWay: Promise<void>[] = [];
    const press = async (key: string): Promise<void> => {
      try {
        await this.page.keyboard.type(key);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        failures.push(error);
      }
    };
    await toTheEnd(this.page);
    while (this.typed < upTo && failures.length === 0) {
      underWay.push(press(this.planned.charAt(this.typed)));
      this.typed += 1;
      this.#look();
      if (underWay.length >= keysAtOnce) await underWay.shift();
    }
    await Promise.all(underWay);
    // A killed tab types no more, as planned; nothing else may stop it.
    const [failure] = failures;
    if (failure !== undefined && !/closed|crashed/i.test(failure.message)) throw failure;
  }

  /** Resolves with the answer of this number. */
  untilAnswers(answers: number): Promise<void> {
    return this.#until(() => this.acknowledged.answers >= answers);
  }

  /** Resolves when so many more keys have been pressed. */
  untilTyped(keys: number): Promise<void> {
    const goal = Math.min(this.typed + keys, this.planned.length);
    return this.#until(() => this.typed >= goal);
  }

  answered(id: number): void {
    this.acknowledged.answered(id);
    this.#look();
  }

  #until(isOver: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isOver, resolve });
      this.#look();
    });
  }

  #look(): void {
    const over = this.#waiting.filter(({ isOver }) => isOver());
    this.#waiting = this.#waiting.filter((wait) => !over.includes(wait));
    for (const { resolve } of over) resolve();
  }

  /** Waits until the page calls its note saved; answers the length of the text it said that of. */
  async untilShownSaved(): Promise<number> {
    const { page } = this;
    await page
      .locator("footer .state")
      .filter({ hasText: /Saved on this device|On the relay|Seen by/ })
      .first()
      .waitFor();
    return (await bodyText(page)).length;
  }
}

export async function toTheEnd(page: Page): Promise<void> {
  await parts(page).body.focus();
  await page.keyboard.press("Control+End");
}

export function noteIn(page: Page, title: string): Locator {
  return parts(page).list.getByText(title, { exact: true }).first();
}

export async function openNote(page: Page, address: string, title: string): Promise<void> {
  await page.goto(address);
  await noteIn(page, title).click();
  await untilTitled(page, title);
}

/** Waits until the open note has this title. */
export async function untilTitled(page: Page, title: string): Promise<void> {
  await page.waitForFunction(
    (wanted) =>
      document.querySelector<HTMLTextAreaElement>('[aria-label="Note title"]')?.value === wanted,
    title,
  );
}
