/** One notebook and five people: what each may do, and what happens to those who may no longer. */
import type { Page } from "playwright";
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
  type Product,
} from "#tests/support/product.ts";
import { expectUpToDate } from "./up-to-date.ts";

const trouble = { expectedErrors: networkTrouble };

async function meet(product: Product, link: string, name: string): Promise<Page> {
  const { page } = await product.person(product.profile(name.toLowerCase()), trouble);
  await joinByLink(page, link, name, "Garden plan");
  return page;
}

describe("sharing a notebook", () => {
  it("holds what each link allows, and goes on without who was removed", async () => {
    await using product = await startProduct();
    const { page: ana } = await product.person(product.profile("ana"), trouble);
    await openApp(ana, product.address);
    await parts(ana).title.fill("Garden plan");
    await parts(ana).body.click();
    await ana.keyboard.type("Order seeds.");
    const toRead = await shareNote(ana, "Ana", { role: "can read", for: "several people" });
    const toEdit = await shareNote(ana, "Ana", { role: "can edit", for: "several people" });
    expect(toRead).not.toBe(toEdit);
    await expectUpToDate(ana);

    // Ben may read: he sees what is written and can type nothing.
    const ben = await meet(product, toRead, "Ben");
    await expect.poll(() => bodyText(ben)).toBe("Order seeds.");
    await ben.getByText("You can read this note and cannot change it").waitFor();
    await typeAfter(ben, "Order seeds.", " Ben was here.");
    await parts(ben).title.press("x");
    expect(await bodyText(ben)).toBe("Order seeds.");
    expect(await parts(ben).title.inputValue()).toBe("Garden plan");
    expect(await parts(ben).share.count()).toBe(0);

    // Clara may write, and both see it.
    const clara = await product.person(product.profile("clara"), trouble);
    await joinByLink(clara.page, toEdit, "Clara", "Garden plan");
    await expect.poll(() => bodyText(clara.page)).toBe("Order seeds.");
    await typeAfter(clara.page, "Order seeds.", " Clara digs.");
    await expect.poll(() => bodyText(ana)).toBe("Order seeds. Clara digs.");
    await expect.poll(() => bodyText(ben)).toBe("Order seeds. Clara digs.");
    await expectUpToDate(clara.page);

    // Clara writes where there is no network, and meanwhile Ana removes her.
    await clara.context.setOffline(true);
    await expect
      .poll(() => parts(clara.page).status.innerText(), { timeout: 15_000 })
      .toContain("Offline");
    await typeAfter(clara.page, "Clara digs.", " Unsent words of Clara.");
    await expect.poll(() => parts(clara.page).status.innerText()).toMatch(/Offline, \d+ waiting/);
    await parts(ana).share.click();
    await ana.getByRole("button", { name: "Remove Clara" }).click();
    await ana.getByText("Clara keeps what has already arrived there.").waitFor();
    await ana.getByRole("dialog").getByRole("button", { name: "Remove Clara" }).last().click();
    await ana.getByText("Clara is no longer in here.").waitFor();
    await ana.keyboard.press("Escape");
    await typeAfter(ana, "Clara digs.", " Ana goes on.");

    // Ben notices nothing but the words.
    await expect.poll(() => bodyText(ben)).toBe("Order seeds. Clara digs. Ana goes on.");
    await expectUpToDate(ben);
    expect(await ben.getByText(/no longer/).count()).toBe(0);

    // Clara is told, keeps what is hers, and gets and sends nothing.
    await clara.context.setOffline(false);
    await clara.page
      .getByRole("main")
      .getByText("You no longer have access to")
      .waitFor({ timeout: 30_000 });
    expect(await bodyText(clara.page)).toBe("Order seeds. Clara digs. Unsent words of Clara.");
    await typeAfter(clara.page, "Unsent words of Clara.", " More.");
    expect(await bodyText(clara.page)).toBe("Order seeds. Clara digs. Unsent words of Clara.");
    await clara.page.getByRole("button", { name: "Keep a copy" }).click();
    await parts(clara.page).list.getByText("Garden plan").click();
    await expect
      .poll(() => bodyText(clara.page))
      .toBe("Order seeds. Clara digs. Unsent words of Clara.");
    await typeAfter(clara.page, "Unsent words of Clara.", " My own now.");
    await expectUpToDate(clara.page);
    for (const page of [ana, ben]) {
      expect(await bodyText(page)).toBe("Order seeds. Clara digs. Ana goes on.");
    }
    await clara.close();

    // Dan comes by a link for one person; nobody comes by it after him.
    const once = await shareNote(ana, "Ana", { role: "can edit", for: "one person" });
    await expectUpToDate(ana);
    const dan = await meet(product, once, "Dan");
    await expect.poll(() => bodyText(dan)).toBe("Order seeds. Clara digs. Ana goes on.");
    await typeAfter(dan, "Ana goes on.", " Dan too.");
    await expect.poll(() => bodyText(ben)).toBe("Order seeds. Clara digs. Ana goes on. Dan too.");
    const { page: eve } = await product.person(product.profile("eve"), trouble);
    await eve.goto(once);
    const sentence = eve.getByRole("alert");
    await sentence.waitFor();
    expect(await sentence.innerText()).toMatch(/as many people as it may/);
    expect(await eve.getByText("Garden plan").count()).toBe(0);

    // A link that was revoked opens nothing, and who came by it stays.
    await parts(ana).share.click();
    await ana
      .getByRole("button", { name: /^Revoke the link that can read/ })
      .first()
      .click();
    await ana.getByRole("button", { name: "Revoke the link", exact: true }).click();
    await ana.getByText(/links? that ended/).waitFor();
    await ana.keyboard.press("Escape");
    await expectUpToDate(ana);
    await eve.goto("about:blank");
    await eve.goto(toRead);
    await sentence.waitFor();
    expect(await sentence.innerText()).toMatch(/withdrawn/);
    await typeAfter(ana, "Dan too.", " The end.");
    await expect
      .poll(() => bodyText(ben))
      .toBe("Order seeds. Clara digs. Ana goes on. Dan too. The end.");
  }, 180_000);
});

describe("sharing one note", () => {
  it("leaves it where it was, marked, and brings it to a guest under Shared, without a notebook anywhere", async () => {
    await using product = await startProduct();
    const { page: ana } = await product.person(product.profile("ana"), trouble);
    await openApp(ana, product.address);
    await parts(ana).title.fill("Diary");
    await typeInto(ana, "Secret words.");
    await parts(ana).newNote.first().click();
    await parts(ana).title.fill("Packing list");
    await typeInto(ana, "Tent, stove.");
    await parts(ana).list.getByText("Tent, stove.").waitFor();
    const link = await shareNote(ana, "Ana");
    await expectUpToDate(ana);
    const sidebar = ana.getByRole("navigation", { name: "Notebooks" });
    const shared = ana.getByRole("button", { name: /Packing list.*Open to a link/ });
    for (const place of ["Notes", "Shared", "All notes"]) {
      await sidebar.getByRole("button", { name: place, exact: true }).click();
      await shared.waitFor();
    }
    expect(await sidebar.getByText("Packing list").count()).toBe(0);

    const { page: ben } = await product.person(product.profile("ben"), trouble);
    await ben.goto(link);
    await ben
      .getByRole("heading", { name: "Ana shares the note “Packing list” with you" })
      .waitFor();
    await joinByLink(ben, link, "Ben", "Packing list");
    await expect.poll(() => bodyText(ben)).toBe("Tent, stove.");
    await ben.getByRole("heading", { name: "Shared", exact: true }).waitFor();
    const bens = ben.getByRole("navigation", { name: "Notebooks" });
    expect(await bens.getByText("Packing list").count()).toBe(0);
    expect(await ben.getByText("Diary").count()).toBe(0);
    await typeAfter(ben, "stove.", " Ben brings the map.");
    await expect.poll(() => bodyText(ana)).toBe("Tent, stove. Ben brings the map.");
    await ana
      .getByRole("button", { name: /Packing list.*Shared with Ben/ })
      .first()
      .waitFor();

    // Who wrote it, as the signatures say.
    await ana.getByRole("button", { name: "More about this note" }).click();
    await ana.getByRole("menuitem", { name: "Who wrote this" }).click();
    const authors = ana.getByRole("dialog", { name: "Who wrote this note" }).getByRole("listitem");
    await expect.poll(() => authors.count()).toBe(2);
    expect(await authors.first().innerText()).toMatch(/^Ben/);
    expect(await authors.last().innerText()).toMatch(/Before you moved the note here/);
  }, 120_000);
});

async function typeInto(page: Page, text: string): Promise<void> {
  await parts(page).body.click();
  await page.keyboard.type(text);
}
