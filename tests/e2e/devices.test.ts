/** One person, several tabs and devices. */
import { describe, expect, it } from "vitest";
import {
  bodyText,
  networkTrouble,
  openApp,
  parts,
  readWords,
  shareNote,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";

const trouble = { expectedErrors: networkTrouble };

describe("one person", () => {
  it("sees one text in two tabs, and goes on when the first is closed", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("First tab.");
    const second = await ana.newTab();
    await openApp(second, product.address);
    await parts(second).list.getByText("First tab.").first().click();
    await expect.poll(() => bodyText(second)).toBe("First tab.");
    await typeAfter(second, "First tab.", " Second tab.");
    await expect.poll(() => bodyText(ana.page)).toBe("First tab. Second tab.");
    await ana.page.close();
    await typeAfter(second, "Second tab.", " Alone.");
    // The list shows what the device has journalled: by then the new leader has it.
    await parts(second).list.getByText("Second tab. Alone.").first().waitFor();
    await second.reload();
    await parts(second).body.waitFor();
    await expect.poll(() => bodyText(second)).toBe("First tab. Second tab. Alone.");
  });

  it("brings the notes back on another device with the 24 words, shared ones too", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await parts(ana.page).title.fill("Mine alone");
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("Nobody else reads this.");
    await parts(ana.page).newNote.click();
    await parts(ana.page).title.fill("Ours");
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("We read this.");
    await shareNote(ana.page, "Ana");
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
    const words = await readWords(ana.page);

    const other = await product.person(product.profile("other"), trouble);
    await openApp(other.page, product.address);
    await other.page.getByRole("button", { name: "Settings" }).click();
    await other.page.getByRole("button", { name: /with your words/ }).click();
    await other.page.getByRole("textbox", { name: "Recovery words" }).fill(words.join(" "));
    const sheet = other.page.getByRole("dialog");
    await sheet.getByRole("button", { name: "Look what they open" }).click();
    // What they open is said before anything happens here.
    await sheet.getByText(/^These words open .*one device/).waitFor();
    expect(await parts(other.page).list.getByText("Mine alone").count()).toBe(0);
    await sheet.getByRole("button", { name: "Bring back my notes" }).click();
    await parts(other.page).list.getByText("Mine alone").first().click();
    await expect.poll(() => bodyText(other.page)).toBe("Nobody else reads this.");
    await parts(other.page).list.getByText("Ours").first().click();
    await typeAfter(other.page, "We read this.", " From the other device.");
    await expect.poll(() => bodyText(ana.page)).toBe("We read this. From the other device.");
  });

  it("adds a device by a link, removes it again, and tells it", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await ana.context.grantPermissions(["clipboard-read", "clipboard-write"]);
    await openApp(ana.page, product.address);
    await parts(ana.page).title.fill("Packing list");
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("Tent.");
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
    await ana.page.getByRole("button", { name: "Settings" }).click();
    await ana.page.getByRole("button", { name: "Add a device…" }).click();
    await ana.page.getByRole("img", { name: /as a QR code/ }).waitFor();
    await ana.page.getByRole("button", { name: "Copy link" }).click();
    const link = await ana.page.evaluate(() => navigator.clipboard.readText());
    expect(link).toContain("#1d.");

    const phone = await product.person(product.profile("phone"), trouble);
    await phone.page.goto(link);
    await phone.page.getByRole("button", { name: "Make it mine" }).click();
    expect(new URL(phone.page.url()).hash).toBe("");
    await parts(phone.page).list.getByText("Packing list").first().click();
    await expect.poll(() => bodyText(phone.page)).toBe("Tent.");
    await ana.page.getByText("is one of your devices now").waitFor();
    await ana.page.getByRole("button", { name: "Done" }).click();
    await typeAfter(phone.page, "Tent.", " Stove.");
    await expect.poll(() => bodyText(ana.page)).toBe("Tent. Stove.");

    // The link has done what it was for.
    const thief = await product.person(product.profile("thief"), trouble);
    await thief.page.goto(link);
    await thief.page.getByRole("button", { name: "Make it mine" }).click();
    await thief.page.getByRole("alert").waitFor();
    expect(await thief.page.getByText("Packing list").count()).toBe(0);
    await thief.close();

    await ana.page.getByRole("button", { name: "Settings" }).click();
    const settings = ana.page.getByRole("dialog");
    await settings.getByRole("button", { name: /^Remove (?!every)/ }).click();
    await settings.getByText("What has already arrived there stays").waitFor();
    await settings
      .getByRole("button", { name: /^Remove (?!every)/ })
      .last()
      .click();
    await settings.getByText(/is removed\./).waitFor({ timeout: 40_000 });
    await ana.page.keyboard.press("Escape");
    await phone.page
      .getByRole("alert")
      .getByText("Another of your devices has removed this one")
      .waitFor({ timeout: 30_000 });
    await typeAfter(ana.page, "Stove.", " Nothing for the phone.");
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
    expect(await bodyText(phone.page)).toBe("Tent. Stove.");
  }, 120_000);
});
