/** The main paths of two people in Firefox: together, apart, offline, and back at one text. */
import { describe, expect, it } from "vitest";
import {
  bodyText,
  fill,
  joinByLink,
  openApp,
  shareNote,
  typeAfter,
  untilBody,
  untilBodyHolds,
  untilSync,
  waitFor,
} from "#tests/support/engine-page.ts";
import { firefoxEngine, requireEngine } from "#tests/support/engines.ts";
import { firefoxNetworkTrouble, launchFirefox } from "#tests/support/firefox.ts";
import { startProduct } from "#tests/support/product.ts";

const trouble = { expectedErrors: firefoxNetworkTrouble };

describe("two people in two Firefoxes", () => {
  it("write one note together, go apart, reload without a server, and come back to one text", async (context) => {
    requireEngine(context, firefoxEngine);
    await using product = await startProduct();
    await using ana = await launchFirefox(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await fill(ana.page, "Note title", "Zanzibartitle");
    await fill(ana.page, "Note body", "The quick fox jumps over the dog. This marks the note.");
    await untilSync(ana.page, "Up to date");

    const link = await shareNote(ana.page, "Anapurna Displayname");
    await using ben = await launchFirefox(product.profile("ben"), trouble);
    await joinByLink(ben.page, link, "Benares Displayname", "Zanzibartitle");
    await untilBodyHolds(ben.page, "marks the note");
    expect(await ben.page.evaluate(() => location.hash)).toBe("");

    // Together: both type at once, each sees the other's caret.
    await Promise.all([
      typeAfter(ana.page, "The quick", " brown"),
      typeAfter(ben.page, "marks the note.", " Ben adds this."),
    ]);
    await untilBodyHolds(ana.page, "Ben adds this.");
    await untilBodyHolds(ben.page, "quick brown fox");
    await waitFor(ana.page, "text", "Benares Displayname");
    await waitFor(ben.page, "text", "Anapurna Displayname");

    // Apart: the same sentence and other places.
    product.proxy.setMode("cut");
    await Promise.all([untilSync(ana.page, "Offline"), untilSync(ben.page, "Offline")]);
    await typeAfter(ana.page, "jumps", " gladly");
    await typeAfter(ana.page, "Ben adds this.", " Ana closes.");
    await typeAfter(ben.page, "jumps over the", " lazy");
    await typeAfter(ben.page, "The ", "very ");
    await untilSync(ana.page, "waiting");
    await untilSync(ben.page, "waiting");

    // The server is away too: only the service worker can open the app.
    await product.stopRelay();
    await Promise.all([ana.page.reload(), ben.page.reload()]);
    await untilBodyHolds(ana.page, "jumps gladly over the dog");
    await untilBodyHolds(ana.page, "Ana closes.");
    await untilBodyHolds(ben.page, "over the lazy dog");
    expect(await bodyText(ana.page)).not.toContain("lazy");

    await product.startRelay();
    product.proxy.setMode("pass");
    const both =
      "The very quick brown fox jumps gladly over the lazy dog. This marks the note. Ben adds this. Ana closes.";
    await Promise.all([untilBody(ana.page, both), untilBody(ben.page, both)]);
    await Promise.all([untilSync(ana.page, "Up to date"), untilSync(ben.page, "Up to date")]);
  });
});
