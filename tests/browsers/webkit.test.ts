/**
 * The screens in WebKitGTK. It keeps no files for pages, so it stands for windows that keep nothing;
 * it says nothing about Safari, whose storage is another.
 */
import { describe, expect, it } from "vitest";
import {
  bodyText,
  click,
  fill,
  joinByLink,
  openApp,
  shareNote,
  shownNote,
  syncWord,
  typeAfter,
  untilBody,
  untilBodyHolds,
  untilSync,
  waitFor,
} from "#tests/support/engine-page.ts";
import { requireEngine, webkitEngine } from "#tests/support/engines.ts";
import {
  bodyText as chromiumBody,
  joinByLink as joinInChromium,
  networkTrouble,
  startProduct,
  typeAfter as typeInChromium,
} from "#tests/support/product.ts";
import {
  launchWebkit,
  webkitNetworkTrouble,
  webkitStorageFeatures,
} from "#tests/support/webkit.ts";

const variants = [
  { storage: "no navigator.storage", features: [], hasFiles: false },
  { storage: "files it refuses to open", features: webkitStorageFeatures, hasFiles: true },
];

describe.each(variants)("WebKit with $storage", ({ features, hasFiles }) => {
  it("says that nothing is saved on this device, shows every screen, and writes with others", async (context) => {
    requireEngine(context, webkitEngine);
    await using product = await startProduct();
    await using wes = await launchWebkit(product.profile("wes"), {
      features,
      expectedErrors: webkitNetworkTrouble,
    });
    const { page } = wes;
    await openApp(page, product.address);
    // The stage is what the test is about: the one has no storage, the other refuses its last call.
    const directory = await page.evaluate(
      async () => (await navigator.storage?.getDirectory())?.kind ?? null,
    );
    expect(directory).toBe(hasFiles ? "directory" : null);
    const banner = await waitFor(page, "text", "not saved on this device");
    expect(banner.text).not.toBe("");

    await fill(page, "Note title", "Westward");
    await fill(page, "Note body", "Seen from the train.");
    await untilSync(page, "Up to date");
    expect((await shownNote(page)).line).not.toContain("Saved on this device");

    // List and editor: two notes, back and forth.
    await click(page, "button", "New note");
    await untilBody(page, "");
    await fill(page, "Note body", "Another note.");
    await click(page, "note", "Westward");
    await untilBody(page, "Seen from the train.");

    // Settings.
    await click(page, "button", "Settings");
    await waitFor(page, "dialog", "Settings");
    await page.press("Escape");
    await expect.poll(() => page.evaluate(() => document.querySelector("dialog[open]"))).toBeNull();

    // Share, with somebody whose browser keeps what she writes.
    const link = await shareNote(page, "Wes Displayname");
    const ana = await product.person(product.profile("ana"), { expectedErrors: networkTrouble });
    await joinInChromium(ana.page, link, "Ana Displayname", "Westward");
    await Promise.all([
      typeInChromium(ana.page, "from the", " fast"),
      typeAfter(page, "train.", " Twice."),
    ]);
    const both = "Seen from the fast train. Twice.";
    await untilBody(page, both);
    await expect.poll(() => chromiumBody(ana.page), { timeout: 20_000 }).toBe(both);
    await waitFor(page, "text", "Ana Displayname");

    // Apart and together again.
    product.proxy.setMode("cut");
    await untilSync(page, "Offline");
    await typeAfter(page, "Twice.", " Offline in WebKit.");
    await typeInChromium(ana.page, "Seen", " clearly");
    product.proxy.setMode("pass");
    const all = "Seen clearly from the fast train. Twice. Offline in WebKit.";
    await untilBody(page, all);
    await expect.poll(() => chromiumBody(ana.page), { timeout: 20_000 }).toBe(all);
    await ana.close();
  });
});

describe("a link opened in WebKit", () => {
  it("joins the notebook of somebody else in WebKit", async (context) => {
    requireEngine(context, webkitEngine);
    await using product = await startProduct();
    await using wes = await launchWebkit(product.profile("wes"), {
      expectedErrors: webkitNetworkTrouble,
    });
    await using vera = await launchWebkit(product.profile("vera"), {
      expectedErrors: webkitNetworkTrouble,
    });
    await openApp(vera.page, product.address);
    await fill(vera.page, "Note title", "Linked");
    await fill(vera.page, "Note body", "From one to the other.");
    await untilSync(vera.page, "Up to date");
    const link = await shareNote(vera.page, "Vera");
    await joinByLink(wes.page, link, "Wes", "Linked");
    await untilBodyHolds(wes.page, "From one to the other.");
    expect(await bodyText(wes.page)).toBe("From one to the other.");
    expect(await syncWord(wes.page)).not.toBe("");
  });
});
