/**
 * Kills a browser again and again while somebody types in two tabs of the app and another device writes
 * and reads along through the relay. What the app had acknowledged is recorded outside the browser.
 *
 *   tab 1: a note the other device has open: each word becomes a change
 *   tab 2: a note nobody else looks at: typing becomes drafts
 *   the other device: appends to a third note, which arrives here between two deaths
 */
import { randomInt } from "node:crypto";
import type { Page } from "playwright";
import { loadAutomerge } from "#tests/support/automerge.ts";
import type { Person } from "#tests/support/browser.ts";
import { Targets } from "#tests/support/processes.ts";
import {
  bodyText,
  joinByLink,
  networkTrouble,
  openApp,
  parts,
  shareNote,
  startProduct,
  type Product,
} from "#tests/support/product.ts";
import { lookFor } from "#tests/support/time-limit.ts";
import { buildStoreCheck, type StoreCheck } from "./store-check.ts";
import type { StoreReport } from "./store-check.worker.ts";
import {
  listenToSaving,
  noteIn,
  openNote,
  TypingTab,
  toTheEnd,
  TypingTabs,
  untilTitled,
} from "./typing-tab.ts";

type Death = "renderer" | "browser";

export interface StormOptions {
  /** Deaths of each kind. */
  readonly cycles: number;
  readonly onCycle?: (line: string) => void;
}

export interface StormResult {
  readonly deaths: Readonly<Record<Death, number>>;
  /** Calls that saved something and were answered before a death. */
  readonly acknowledged: number;
  /** Characters that were acknowledged, or shown as saved, and gone afterwards. */
  readonly lost: number;
  /** The control: characters that were typed, acknowledged by nobody, and gone afterwards. */
  readonly lostUnacknowledged: number;
  /** Texts that were not what had been typed up to some key. */
  readonly gaps: number;
  readonly checks: number;
  /** Changes in the journal in the end, and those that a snapshot stands for. */
  readonly journal: { readonly changes: number; readonly packed: number };
  /** What the checks of the store found, and errors of the app. */
  readonly problems: readonly string[];
  /** Whether both devices showed the same three texts in the end. */
  readonly converged: boolean;
}

const [together, alone, theirs] = ["Together", "Alone", "Theirs"] as const;
const wordsPerCycle = 1_500;
const wordsElsewhere = 10;
const fewestAnswers = 4;
const mostAnswers = 24;
/** And then so many keys: death comes at any time between two answers. */
const mostKeys = 48;
const arrivalLimitMs = 20_000;
const syncLimitMs = 60_000;

export async function killStorm({ cycles, onCycle }: StormOptions): Promise<StormResult> {
  await loadAutomerge();
  const check = await buildStoreCheck();
  await using product = await startProduct();
  const storm = new Storm(product, check);
  await storm.prepare();
  for (let cycle = 1; cycle <= 2 * cycles; cycle += 1) {
    const death = cycle % 2 === 0 ? "browser" : "renderer";
    const words = await storm.cycle(cycle, death);
    onCycle?.(`${cycle}: ${words}`);
  }
  // Awaited here: the product goes when this returns.
  return await storm.finish();
}

/** What is known of a text when its tab dies. */
interface Typed {
  readonly planned: string;
  /** Keys pressed. */
  readonly typed: number;
  /** Acknowledged by the device, or called saved by the page. */
  readonly safe: number;
}

class Storm {
  readonly #product: Product;
  readonly #check: StoreCheck;
  readonly #profile: string;
  #other: { readonly reads: Page; readonly writes: Page } | null = null;
  readonly #typed = new Map<string, Typed>();
  #written = "";
  readonly #deaths = { renderer: 0, browser: 0 };
  #acknowledged = 0;
  #lost = 0;
  #lostUnacknowledged = 0;
  #gaps = 0;
  #checks = 0;
  readonly #problems: string[] = [];

  constructor(product: Product, check: StoreCheck) {
    this.#product = product;
    this.#check = check;
    this.#profile = product.profile("typist");
  }

  /** Three notes in a shared notebook, and the other device in front of them. */
  async prepare(): Promise<void> {
    const { page, context } = await this.#launch("typist");
    await openApp(page, this.#product.address);
    await giveTitle(page, together);
    await untilUpToDate(page);
    const link = await shareNote(page, "Typist");
    const other = await this.#launch("other");
    await joinByLink(other.page, link, "Other", together);
    for (const title of [alone, theirs]) {
      await parts(page).newNote.click();
      await giveTitle(page, title);
    }
    const writes = await other.newTab();
    await openNote(writes, this.#product.address, theirs);
    this.#other = { reads: other.page, writes };
    await untilUpToDate(page);
    await context.close();
  }

  /** Answers what happened, in words. */
  async cycle(cycle: number, death: Death): Promise<string> {
    const person = await this.#launch("typist");
    // The app is the first to open what a death left behind; every other time the check is.
    if (cycle % 4 >= 2) await this.#checkStore(person.page);
    const tabs = await this.#openTabs(person, cycle);
    const shown = await Promise.all(tabs.map((tab) => this.#typeUntilShown(tab)));

    const answers = randomInt(fewestAnswers, mostAnswers);
    const keys = randomInt(mostKeys);
    const targets =
      death === "browser" ? Targets.browser(this.#profile) : Targets.renderers(this.#profile);
    const running = [...tabs.map((tab) => tab.type()), this.#writeElsewhere(cycle)];
    await Promise.all(tabs.map((tab) => tab.untilAnswers(tab.acknowledged.answers + answers)));
    await Promise.any(tabs.map((tab) => tab.untilTyped(keys)));
    await this.#kill(person, death, targets);
    await Promise.all(running);

    for (const [ix, tab] of tabs.entries()) {
      const { planned, typed, acknowledged } = tab;
      const safe = Math.max(acknowledged.length, shown[ix] ?? 0);
      this.#typed.set(tab.title, { planned, typed, safe });
      this.#acknowledged += acknowledged.answers;
    }
    const words = tabs.map(
      ({ title, typed, acknowledged }) => `${title} ${acknowledged.length} of ${typed} keys`,
    );
    return `${death} killed; acknowledged in ${words.join(", ")}`;
  }

  async finish(): Promise<StormResult> {
    const person = await this.#launch("typist");
    await this.#checkStore(person.page);
    const converged = await this.#converges(person);
    await person.context.close();
    const last = await this.#launch("typist");
    const report = await this.#checkStore(last.page);
    if (report.waiting > 0) this.#problems.push("changes wait although all was sent");
    await last.context.close();
    return {
      deaths: this.#deaths,
      acknowledged: this.#acknowledged,
      lost: this.#lost,
      lostUnacknowledged: this.#lostUnacknowledged,
      gaps: this.#gaps,
      checks: this.#checks,
      journal: { changes: report.changes, packed: report.packed },
      problems: this.#problems,
      converged,
    };
  }

  #launch(name: "typist" | "other"): Promise<Person> {
    const profile = name === "typist" ? this.#profile : this.#product.profile(name);
    return this.#product.person(profile, { expectedErrors: networkTrouble });
  }

  async #checkStore(page: Page): Promise<StoreReport> {
    const report = await this.#check.run(page, this.#product.address);
    this.#checks += 1;
    this.#problems.push(...report.problems);
    return report;
  }

  async #openTabs(person: Person, cycle: number): Promise<readonly TypingTab[]> {
    const listener = new TypingTabs();
    await listenToSaving(person.context, listener);
    const second = await person.newTab();
    const places = [
      { page: person.page, title: together, mark: "t" },
      { page: second, title: alone, mark: "a" },
    ];
    const tabs: TypingTab[] = [];
    for (const { page, title, mark } of places) {
      await openNote(page, this.#product.address, title);
      const kept = await this.#judge(page, title);
      const tab = new TypingTab(page, title, kept, wordsOf(`${mark}${cycle}`, wordsPerCycle));
      listener.add(tab);
      tabs.push(tab);
    }
    return tabs;
  }

  /** Compares a text with what was known of it when its tab died; answers what was kept. */
  async #judge(page: Page, title: string): Promise<string> {
    const { planned, typed, safe } = this.#typed.get(title) ?? { planned: "", typed: 0, safe: 0 };
    await lookFor(arrivalLimitMs, async () =>
      (await bodyText(page)).length >= safe ? true : null,
    );
    const kept = await bodyText(page);
    if (!planned.startsWith(kept)) this.#gaps += 1;
    this.#lost += Math.max(0, safe - kept.length);
    this.#lostUnacknowledged += Math.max(0, typed - Math.max(safe, kept.length));
    return kept;
  }

  /** Some words, then a pause long enough for the page to call them saved. */
  async #typeUntilShown(tab: TypingTab): Promise<number> {
    await tab.type(tab.typed + 100);
    return tab.untilShownSaved();
  }

  async #writeElsewhere(cycle: number): Promise<void> {
    if (this.#other === null) throw new Error("the storm is not prepared");
    const words = wordsOf(`o${cycle}`, wordsElsewhere);
    await toTheEnd(this.#other.writes);
    await this.#other.writes.keyboard.type(words);
    this.#written += words;
  }

  async #kill(person: Person, death: Death, targets: Targets): Promise<void> {
    const dead = targets.kill();
    this.#problems.push(...person.unexpectedErrors());
    this.#deaths[death] += 1;
    await dead;
    // What is left of the browser: the next visit opens the profile anew.
    if (death === "renderer") await person.context.close();
  }

  /** Whether both devices end with the same three texts. */
  async #converges(person: Person): Promise<boolean> {
    if (this.#other === null) return false;
    const { reads } = this.#other;
    for (const title of [together, alone, theirs]) {
      await openNote(person.page, this.#product.address, title);
      await openNote(reads, this.#product.address, title);
      if (title !== theirs) await this.#judge(person.page, title);
      const same = await lookFor(syncLimitMs, async () => {
        const [here, there] = [await bodyText(person.page), await bodyText(reads)];
        return here === there && (title !== theirs || here === this.#written) ? true : null;
      });
      if (same === null) return false;
    }
    await untilUpToDate(person.page);
    return true;
  }
}

/** Nothing that counted was lost, and the control proves that there was something to lose. */
export function isCalm(result: StormResult): boolean {
  const { lost, lostUnacknowledged, gaps, problems, converged } = result;
  return lost === 0 && gaps === 0 && problems.length === 0 && converged && lostUnacknowledged > 0;
}

export function summary(result: StormResult): string {
  const { deaths, acknowledged, lost, lostUnacknowledged, gaps } = result;
  const { checks, journal, problems, converged } = result;
  return [
    `cycles ${deaths.renderer + deaths.browser} (renderer ${deaths.renderer}, browser ${deaths.browser})`,
    `acknowledged calls ${acknowledged}`,
    `losses ${lost}, gaps ${gaps}`,
    `corruptions ${problems.length} in ${checks} checks of the store${problems.map((problem) => `\n  ${problem}`).join("")}`,
    `changes in the journal ${journal.changes}, packed ${journal.packed}`,
    `both devices equal in the end: ${converged ? "yes" : "no"}`,
    `control, typed but never acknowledged: ${lostUnacknowledged} characters lost`,
  ].join("\n");
}

async function giveTitle(page: Page, title: string): Promise<void> {
  await untilTitled(page, "");
  await parts(page).title.fill(title);
  await noteIn(page, title).waitFor();
}

async function untilUpToDate(page: Page): Promise<void> {
  await parts(page).status.filter({ hasText: "Up to date" }).waitFor({ timeout: syncLimitMs });
}

/** Numbered words in lines, so that a gap shows. */
function wordsOf(mark: string, count: number): string {
  const words = Array.from({ length: count }, (_, ix) => `${mark}.${ix}`);
  return words.map((word, ix) => word + (ix % 10 === 9 ? "\n" : " ")).join("");
}
