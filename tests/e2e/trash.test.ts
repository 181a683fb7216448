/** Deleting for ever in a real browser, and getting it back from another one. */
import { describe, expect, it } from "vitest";
import { bodyText, openApp, parts, startProduct } from "#tests/support/product.ts";

describe("the trash", { timeout: 120_000 }, () => {
  it("is emptied after it was said what that means, and stays empty", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"));
    const { body, status, newNote, list } = parts(page);
    await openApp(page, product.address);
    await body.click();
    await page.keyboard.insertText("The one that stays.");
    await newNote.click();
    await expect.poll(() => bodyText(page)).toBe("");
    await body.click();
    await page.keyboard.insertText("The one that goes.");
    await list.getByText("The one that goes.").first().waitFor();
    await expect.poll(() => status.innerText()).toContain("Up to date");
    await page.getByRole("button", { name: "More about this note" }).click();
    await page.getByRole("menuitem", { name: "Move to trash" }).click();
    await expect.poll(() => status.innerText()).toContain("Up to date");
    await page.getByRole("button", { name: "Trash", exact: true }).click();
    await page.getByText("Notes stay here until you delete them.").waitFor();

    await page.getByRole("button", { name: "Empty trash…" }).click();
    const sheet = page.getByRole("dialog", { name: "Empty the trash" });
    await sheet.getByText("keep what they have").waitFor();
    await sheet.getByRole("button", { name: "Cancel" }).click();
    await list.getByText("The one that goes.").first().waitFor();
    await page.getByRole("button", { name: "Empty trash…" }).click();
    await sheet.getByRole("button", { name: "Empty trash" }).click();
    await page.getByText("One note was deleted for ever.").waitFor();
    await page.getByText("Nothing in the trash.").waitFor();

    await page.reload();
    await list.getByText("The one that stays.").first().waitFor();
    await expect.poll(() => bodyText(page)).toBe("The one that stays.");
    expect(await list.getByText("The one that goes.").count()).toBe(0);
    await page.getByRole("button", { name: "Trash", exact: true }).click();
    await page.getByText("Nothing in the trash.").waitFor();
  });

  it("takes a deleted note off the screens of other tabs too", async () => {
    await using product = await startProduct();
    const { page, context } = await product.person(product.profile("ana"));
    await openApp(page, product.address);
    await parts(page).body.click();
    await page.keyboard.insertText("Open in two tabs.");
    await expect.poll(() => parts(page).status.innerText()).toContain("Up to date");
    await page.getByRole("button", { name: "More about this note" }).click();
    await page.getByRole("menuitem", { name: "Move to trash" }).click();
    const other = await context.newPage();
    await other.goto(product.address);
    await other.getByRole("button", { name: "Trash", exact: true }).click();
    await parts(other).list.getByText("Open in two tabs.").first().click();
    await expect.poll(() => bodyText(other)).toBe("Open in two tabs.");

    await page.getByRole("button", { name: "Trash", exact: true }).click();
    await page.getByRole("button", { name: "Empty trash…" }).click();
    const sheet = page.getByRole("dialog", { name: "Empty the trash" });
    await expect.poll(() => parts(page).status.innerText()).toContain("Up to date");
    await sheet.getByRole("button", { name: "Empty trash" }).click();
    await other.getByText("Choose a note, or begin a new one.").waitFor();
    expect(await parts(other).body.count()).toBe(0);
  });

  it("keeps what is only here unless one insists", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), {
      expectedErrors: [/WebSocket/, /net::ERR_/, /Failed to load resource/],
    });
    const { body, list, status } = parts(page);
    await openApp(page, product.address);
    await expect.poll(() => status.innerText()).toContain("Up to date");
    await product.stopRelay();
    await body.click();
    await page.keyboard.insertText("Never sent.");
    await list.getByText("Never sent.").first().waitFor();
    await page.getByRole("button", { name: "More about this note" }).click();
    await page.getByRole("menuitem", { name: "Move to trash" }).click();
    await page.getByRole("button", { name: "Trash", exact: true }).click();
    await list.getByText("Never sent.").first().click();
    await page.getByRole("button", { name: "More about this note" }).click();
    await page.getByRole("menuitem", { name: "Delete for ever…" }).click();
    const sheet = page.getByRole("dialog", { name: "Delete for ever" });
    await sheet.getByText("only on this device").waitFor();
    const remove = sheet.getByRole("button", { name: "Delete for ever" });
    expect(await remove.isDisabled()).toBe(true);
    await sheet.getByRole("checkbox").check();
    await remove.click();
    await page.getByText("Nothing in the trash.").waitFor();
  });
});
