/** Bad input in the app: a clear sentence each, and nothing lost. */
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { describe, expect, it } from "vitest";
import {
  bodyText,
  joinByLink,
  networkTrouble,
  openApp,
  parts,
  shareNote,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";
import { onlyNotebook, setupDevice } from "#tests/unit/device/setup-device.ts";

const dayMs = 86_400_000;
const trouble = { expectedErrors: networkTrouble };

describe("bad input in the app", () => {
  it("opened over plain http from another host: one sentence, nothing created", async () => {
    await using product = await startProduct();
    const person = await product.person(product.profile("ana"), {
      switches: ["--host-resolver-rules=MAP notes.example 127.0.0.1"],
    });
    await person.page.goto(`http://notes.example:${product.proxy.port}/`);
    const sentence = person.page.getByRole("alert");
    await sentence.waitFor();
    expect(await sentence.innerText()).toMatch(/https:\/\/notes\.example.*localhost/);
    expect(await person.page.getByRole("textbox").count()).toBe(0);
    const made = await person.page.evaluate(async () => ({
      databases: (await indexedDB.databases()).length,
      kept: localStorage.length,
      hasFiles: "getDirectory" in (navigator.storage ?? {}),
      hasServiceWorker: "serviceWorker" in navigator,
    }));
    expect(made).toEqual({ databases: 0, kept: 0, hasFiles: false, hasServiceWorker: false });
  });

  it("a damaged or unknown link is explained and joins nothing", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await parts(ana.page).title.fill("Shared with care");
    const link = await shareNote(ana.page, "Ana");
    const ben = await product.person(product.profile("ben"), trouble);
    const refused = async (bad: string): Promise<string> => {
      await ben.page.goto("about:blank");
      await ben.page.goto(bad);
      const alert = ben.page.getByRole("alert").first();
      await alert.waitFor();
      return alert.innerText();
    };
    expect(await refused(link.slice(0, -4))).toMatch(/damaged/);
    expect(
      await refused(
        link.replace(/#1e\.(.)/, (_, first: string) => `#1e.${first === "A" ? "B" : "A"}`),
      ),
    ).toMatch(/does not open the notebook|damaged/);
    const [head = ""] = link.split("#");
    expect(await refused(`${head}#1e.${"A".repeat(43)}.${"A".repeat(43)}`)).toMatch(
      /not at its relay/,
    );
    // The right link still works, and nothing of the wrong ones is left.
    await ben.page.goto("about:blank");
    await joinByLink(ben.page, link, "Ben", "Shared with care");
    expect(await ben.page.getByText("Shared with care").count()).toBeGreaterThan(0);
  });

  it("a link whose time is over is told, and joins nothing", async () => {
    await using product = await startProduct();
    const clock = { now: () => Date.now() - 2 * dayMs };
    await using late = await setupDevice({ relayUrl: product.relay().url, clock });
    const { id } = await onlyNotebook(late.device);
    const { link } = await late.device.share(id, "edit", { expiresAt: clock.now() + dayMs });
    expect(await late.device.settled(20_000)).toBe(true);
    const { page } = await product.person(product.profile("ben"), trouble);
    await page.goto(`${product.address}#${link.split("#")[1]}`);
    await page.getByRole("textbox", { name: "Your name, for the others" }).fill("Ben");
    await page.getByRole("button", { name: /^(Join|Open) “/ }).click();
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.innerText()).toMatch(/its time is over\. Ask for a new one\./);
    await page.getByRole("button", { name: "Not now" }).click();
    await parts(page).body.waitFor();
    await page.getByRole("navigation", { name: "Notebooks" }).waitFor();
    expect(await page.getByText("no access").count()).toBe(0);
    expect(await page.locator(".side .show").count()).toBe(1);
  });

  it("a name with markup, without end, or of somebody else stays one short line of their own", async () => {
    await using product = await startProduct();
    const { page: ana } = await product.person(product.profile("ana"), trouble);
    await openApp(ana, product.address);
    await parts(ana).title.fill("Names");
    const link = await shareNote(ana, "Ana", { for: "several people" });
    const markup = `<img src=x onerror="document.title='gone'">${"x".repeat(10_000)}`;
    for (const [profile, name] of [
      ["ben", markup],
      ["cem", "Ana"],
    ] as const) {
      const { page } = await product.person(product.profile(profile), trouble);
      await joinByLink(page, link, name, "Names");
    }
    await parts(ana).share.click();
    const people = ana.getByRole("dialog").getByRole("list").first().getByRole("listitem");
    await expect.poll(() => people.count(), { timeout: 20_000 }).toBe(3);
    await expect
      .poll(async () => (await people.allInnerTexts()).join("\n"))
      .toMatch(/Ana \([0-9a-f]{4} /);
    const texts = await people.allInnerTexts();
    const odd = texts.find((text) => text.includes("<img"));
    expect(odd).toBeDefined();
    expect(odd?.length).toBeLessThan(250);
    expect(await ana.locator("dialog img").count()).toBe(0);
    expect(await ana.title()).not.toBe("gone");
    const box = await people.last().boundingBox();
    const sheet = await ana.getByRole("dialog").boundingBox();
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(
      (sheet?.x ?? 0) + (sheet?.width ?? 0),
    );
  });

  it("of two who remove each other one is out and told so, and the other goes on", async () => {
    await using product = await startProduct();
    const { page: ana } = await product.person(product.profile("ana"), trouble);
    await openApp(ana, product.address);
    await parts(ana).title.fill("Ours");
    await parts(ana).body.click();
    await ana.keyboard.type("One.");
    const link = await shareNote(ana, "Ana", { for: "several people" });
    const ben = await product.person(product.profile("ben"), trouble);
    await joinByLink(ben.page, link, "Ben", "Ours");
    await parts(ana).share.click();
    await ana.getByRole("combobox", { name: /Ben/ }).selectOption("administers");
    await ana.getByRole("combobox", { name: /Ben/ }).waitFor();
    await parts(ben.page).share.click();
    await ben.page.getByRole("button", { name: "Remove Ana" }).waitFor({ timeout: 20_000 });

    await ben.context.setOffline(true);
    await ben.page.getByRole("button", { name: "Remove Ana" }).click();
    await ben.page.getByRole("dialog").getByRole("button", { name: "Remove Ana" }).last().click();
    await ben.page.getByText("Ana is no longer in here.").waitFor();
    await ana.getByRole("button", { name: "Remove Ben" }).click();
    await ana.getByRole("dialog").getByRole("button", { name: "Remove Ben" }).last().click();
    await ana.getByText("Ben is no longer in here.").waitFor();
    await ana.keyboard.press("Escape");
    await expect
      .poll(() => parts(ana).status.innerText(), { timeout: 15_000 })
      .toContain("Up to date");
    await ben.context.setOffline(false);
    await ben.page.keyboard.press("Escape");
    await ben.page
      .getByRole("main")
      .getByText("You no longer have access to")
      .waitFor({ timeout: 30_000 });
    await typeAfter(ana, "One.", " Two.");
    await expect
      .poll(() => parts(ana).status.innerText(), { timeout: 15_000 })
      .toContain("Up to date");
    expect(await bodyText(ben.page)).toBe("One.");
  }, 120_000);

  it("wrong words are told apart from words that open nothing here", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await ana.page.getByRole("button", { name: "Settings" }).click();
    await ana.page
      .getByRole("button", { name: /words/i })
      .filter({ hasText: /bring|restore|have/i })
      .first()
      .click();
    const field = ana.page.getByRole("textbox", { name: "Recovery words" });
    const submit = field
      .page()
      .getByRole("dialog")
      .getByRole("button", { name: "Look what they open" });
    const alert = ana.page.getByRole("dialog").getByRole("alert");
    const zeros = `${"abandon ".repeat(23)}art`;
    for (const [words, sentence] of [
      [zeros.replace("art", "zoo"), /do not belong together/],
      [zeros.replace("abandon", "abandonn"), /Word 1 .*not in the list/],
      [`${"abandon ".repeat(11)}about`, /12 words; there must be 24.*another program/],
      // The first and the last of words that are good are swapped.
      [`art ${"abandon ".repeat(23)}`, /do not belong together/],
      [zeros, /nothing was found/i],
    ] as const) {
      await field.fill(words);
      await submit.click();
      await expect.poll(() => alert.innerText(), { timeout: 15_000 }).toMatch(sentence);
    }
    await ana.page.keyboard.press("Escape");
    await openApp(ana.page, product.address);
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
  });

  it("a relay that is not Sealeaf leaves everything saved here, and says so", async () => {
    await using product = await startProduct();
    const profile = product.profile("ana");
    const ana = await product.person(profile, trouble);
    await openApp(ana.page, product.address);
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
    await product.stopRelay();
    // Something else answers at the relay's address: it echoes what it hears.
    const http = createServer((_, response) => response.end("hello"));
    const echo = new WebSocketServer({ server: http, handleProtocols: () => "sealeaf.v1" });
    echo.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
    await new Promise<void>((resolve) => {
      http.listen(product.relay().port, "127.0.0.1", resolve);
    });
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("Still mine.");
    await expect
      .poll(() => parts(ana.page).status.innerText(), { timeout: 20_000 })
      .toContain("Offline");
    await parts(ana.page).status.click();
    await ana.page
      .getByText(/not a Sealeaf relay/)
      .first()
      .waitFor();
    for (const socket of echo.clients) socket.terminate();
    http.closeAllConnections();
    await new Promise<void>((resolve) => {
      http.close(() => resolve());
    });
    await product.startRelay();
    await expect
      .poll(() => parts(ana.page).status.innerText(), { timeout: 30_000 })
      .toContain("Up to date");
  });
});
