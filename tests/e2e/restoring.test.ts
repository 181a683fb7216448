/** Many notes come back by the words: the list first, then whatever is opened, the rest by itself; also after a crash. */
import type { Locator, Page } from "playwright";
import { describe, expect, it } from "vitest";
import { noteText } from "#tests/bench/sync/library.ts";
import { fillRelay } from "#tests/support/filled-relay.ts";
import { Targets } from "#tests/support/processes.ts";
import { bodyText, networkTrouble, openApp, parts, startProduct } from "#tests/support/product.ts";

const trouble = { expectedErrors: networkTrouble };
const notes = Array.from({ length: 1_000 }, (_, ix) => noteText(ix));
const notesPerNotebook = 200;
/** Of each notebook, the one a device begins with and the vault. */
const mostLists = notes.length / notesPerNotebook + 2;
const patience = { timeout: 90_000, interval: 20 };

describe("a thousand notes at the relay", { timeout: 300_000 }, () => {
  it("are listed in a new profile, opened before their turn, and fetched by themselves, also after the browser was killed", async () => {
    // As fast as they are written: a person would have taken years.
    await using product = await startProduct({
      "entries-per-second": "100000",
      "entry-burst": "100000",
    });
    const { proxy } = product;
    const words = await fillRelay(product.relay().url, notes, notesPerNotebook);
    const profile = product.profile("other");
    const first = await product.person(profile, trouble);
    // Heard at once: looked for now and then, the last note could come before somebody looks.
    let left = Number.NaN;
    await onFetching(first.page, ({ done, total }) => {
      left = total - done;
      if (done > 500) proxy.setMode("cut");
    });
    await openApp(first.page, product.address);
    await first.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await enterWords(first.page, words);
    const deliveredBefore = proxy.delivered();
    const listed = listTakes(first.page, notes.length);
    await first.page.getByRole("button", { name: "Bring back my notes" }).click();
    const listMs = await listed;

    // The oldest is the last that would come.
    const oldest = await inList(first.page, 0);
    const clickedAt = performance.now();
    await oldest.click();
    await expect.poll(() => bodyText(first.page), patience).toBe(notes[0]?.body);
    const openMs = performance.now() - clickedAt;
    console.log(
      `1,000 notes: listed ${Math.round(listMs)} ms after the button, the oldest opened in ${Math.round(openMs)} ms`,
    );

    await expect.poll(() => parts(first.page).status.innerText(), patience).toContain("Offline");
    await Targets.browser(profile).kill();
    const delivered = proxy.delivered();
    const beforeKill = delivered - deliveredBefore;

    const { page: again } = await product.person(profile, trouble);
    const totals: number[] = [];
    await onFetching(again, ({ total }) => totals.push(total));
    // The note that it opens with may be one of those that have not come.
    await again.goto(product.address);
    await inList(again, 999);
    proxy.setMode("pass");
    await expect.poll(() => parts(again).status.innerText(), patience).toContain("Up to date");
    await parts(again).body.waitFor();
    expect(totals.length).toBeGreaterThan(0);
    // Beside what was left, the lists of notebooks and the vault may have something new.
    expect(Math.max(...totals)).toBeLessThanOrEqual(left + mostLists);
    // Fetched anew it would be more than what had come by then.
    expect(proxy.delivered() - delivered).toBeLessThan(beforeKill);

    proxy.setMode("cut");
    for (const number of [1, 500, 999]) {
      await (await inList(again, number)).click();
      await expect.poll(() => bodyText(again), patience).toBe(notes[number]?.body);
    }
  });
});

async function enterWords(page: Page, words: readonly string[]): Promise<void> {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: /with your words/ }).click();
  await page.getByRole("textbox", { name: "Recovery words" }).fill(words.join(" "));
  await page.getByRole("button", { name: "Look what they open" }).click();
  await page.getByText(/^These words open /).waitFor();
}

/** Milliseconds from the next click to a list of so many notes on the screen, each with its title. */
function listTakes(page: Page, count: number): Promise<number> {
  return page.evaluate(
    (wanted) =>
      new Promise<number>((resolve) => {
        let clickedAt = 0;
        const options = { capture: true, once: true };
        addEventListener("click", () => (clickedAt = performance.now()), options);
        const look = (): void => {
          const [row] = document.querySelectorAll(
            `[aria-label="Notes"] [aria-setsize="${wanted}"]`,
          );
          const isUntitled = document.querySelector('[aria-label="Notes"] .untitled') !== null;
          if (row !== undefined && !isUntitled) resolve(performance.now() - clickedAt);
          else requestAnimationFrame(look);
        };
        look();
      }),
    count,
  );
}

/** The row of a note, scrolled to: the newest stands first. */
async function inList(page: Page, number: number): Promise<Locator> {
  const { list } = parts(page);
  await list.evaluate(
    (element, part) => {
      element.parentElement?.scrollTo({ top: part * element.scrollHeight });
    },
    (notes.length - 1 - number) / notes.length,
  );
  const row = list.getByText(`Note ${number}`, { exact: true });
  await row.waitFor();
  return row;
}

/** Calls with each state of fetching that the page's list tells of from its next opening on. */
async function onFetching(
  page: Page,
  heard: (progress: { done: number; total: number }) => void,
): Promise<void> {
  await page.exposeFunction("fetchingShown", (words: string) => {
    const [, done, total] = /(\d+) of (\d+)/.exec(words) ?? [];
    if (done !== undefined) heard({ done: Number(done), total: Number(total) });
  });
  await page.addInitScript(() => {
    let last = "";
    new MutationObserver(() => {
      const words = document.querySelector(".fetching")?.textContent ?? "";
      if (words === last) return;
      last = words;
      Reflect.get(globalThis, "fetchingShown")(words);
    }).observe(document, { childList: true, characterData: true, subtree: true });
  });
}
