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
    await other.page
      .getByRole("dialog")
      .getByRole("button", { name: /bring back/i })
      .click();
    await parts(other.page).list.getByText("Mine alone").first().click();
    await expect.poll(() => bodyText(other.page)).toBe("Nobody else reads this.");
    await parts(other.page).list.getByText("Ours").first().click();
    await typeAfter(other.page, "We read this.", " From the other device.");
    await expect.poll(() => bodyText(ana.page)).toBe("We read this. From the other device.");
  });
});
