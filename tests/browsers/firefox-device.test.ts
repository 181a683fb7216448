/** One person's device in Firefox: tabs that take over, death without warning, and a window that keeps nothing. */
import { expect, describe, it } from "vitest";
import {
  bodyText,
  click,
  fill,
  joinByLink,
  openApp,
  shareNote,
  shownNote,
  typeAfter,
  untilBody,
  untilBodyHolds,
  untilSaved,
  untilSync,
  waitFor,
} from "#tests/support/engine-page.ts";
import { firefoxEngine, requireEngine } from "#tests/support/engines.ts";
import { firefoxNetworkTrouble, launchFirefox } from "#tests/support/firefox.ts";
import { startProduct } from "#tests/support/product.ts";

const trouble = { expectedErrors: firefoxNetworkTrouble };

describe("two tabs of one Firefox", () => {
  it("go on and save when the tab that held the files is closed", async (context) => {
    requireEngine(context, firefoxEngine);
    await using product = await startProduct();
    const profile = product.profile("ana");
    const ana = await launchFirefox(profile, trouble);
    await openApp(ana.page, product.address);
    await fill(ana.page, "Note body", "From the first tab.");
    await untilSaved(ana.page);
    const second = await ana.newTab();
    await openApp(second, product.address);
    await untilBody(second, "From the first tab.");
    await typeAfter(second, "From the first tab.", " From the second.");
    await untilBodyHolds(ana.page, "From the second.");

    // Only the second tab is left, and without a relay only its own worker can save.
    product.proxy.setMode("cut");
    await ana.page.close();
    await typeAfter(second, "From the second.", " Alone now.");
    const saved = await untilSaved(second);
    expect(saved).toBe("From the first tab. From the second. Alone now.");
    await ana.close();

    product.proxy.setMode("pass");
    await using again = await launchFirefox(profile, trouble);
    await openApp(again.page, product.address);
    await untilBody(again.page, saved);
  });
});

describe("a Firefox killed while somebody types", () => {
  it("comes back with everything it had called saved, five times over", async (context) => {
    requireEngine(context, firefoxEngine);
    await using product = await startProduct();
    const profile = product.profile("ana");
    let ana = await launchFirefox(profile, trouble);
    await openApp(ana.page, product.address);
    await fill(ana.page, "Note body", "Begin.");
    let typed = "Begin.";
    let lost = 0;
    for (let cycle = 1; cycle <= 5; cycle += 1) {
      const more = wordsOf(cycle, 12);
      await typeAfter(ana.page, typed.slice(-12), more);
      typed += more;
      const saved = await untilSaved(ana.page);
      expect(saved).toBe(typed);

      const running = wordsOf(cycle, 400, "r");
      const typing = typeAfter(ana.page, typed.slice(-12), running).catch(() => undefined);
      await untilBodyHolds(ana.page, `r${cycle}.${10 + cycle}`);
      await ana.kill(cycle % 2 === 0 ? "pages" : "everything");
      await typing;

      ana = await launchFirefox(profile, trouble);
      await openApp(ana.page, product.address);
      await untilBodyHolds(ana.page, saved);
      const kept = await bodyText(ana.page);
      // No gap: what came back is what was typed, up to some keystroke.
      expect(`${typed}${running}`.startsWith(kept)).toBe(true);
      lost += `${typed}${running}`.length - kept.length;
      typed = kept;
    }
    // The control: there was something to lose, for typing ran into the end each time.
    expect(lost).toBeGreaterThan(0);
    await untilSync(ana.page, "Up to date");
    await ana.close();
  });
});

describe("a private window of Firefox", () => {
  it("says that nothing is saved on this device, and one can write and share all the same", async (context) => {
    requireEngine(context, firefoxEngine);
    await using product = await startProduct();
    const hidden = { ...trouble, isPrivate: true };
    await using ana = await launchFirefox(product.profile("ana"), hidden);
    await openApp(ana.page, product.address);
    await waitFor(ana.page, "text", "not saved on this device");
    await fill(ana.page, "Note title", "Passing");
    await fill(ana.page, "Note body", "Written in private.");
    await untilSync(ana.page, "Up to date");
    await click(ana.page, "button", "New note");
    await waitFor(ana.page, "note", "Untitled");
    await untilBody(ana.page, "");
    await click(ana.page, "note", "Passing");
    await untilBody(ana.page, "Written in private.");
    expect((await shownNote(ana.page)).line).not.toContain("Saved on this device");

    const link = await shareNote(ana.page, "Ana");
    await using ben = await launchFirefox(product.profile("ben"), trouble);
    await joinByLink(ben.page, link, "Ben", "Passing");
    await typeAfter(ben.page, "Written in private.", " Read by Ben.");
    await untilBodyHolds(ana.page, "Read by Ben.");
  });
});

/** Numbered words, so that a gap shows. */
function wordsOf(cycle: number, count: number, mark = "s"): string {
  return Array.from({ length: count }, (_, ix) => ` ${mark}${cycle}.${ix}`).join("");
}
