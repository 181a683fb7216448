/** Search as a person meets it, in the built product. */
import type { Locator, Page } from "playwright";
import { describe, expect, it } from "vitest";
import { bodyText, openApp, parts, startProduct } from "#tests/support/product.ts";

function field(page: Page): Locator {
  return page.getByRole("searchbox", { name: "Search" });
}

function results(page: Page): Locator {
  return page.getByRole("list", { name: "Search results" }).getByRole("button");
}

async function writeNote(page: Page, title: string, body: string): Promise<void> {
  await parts(page).newNote.first().click();
  await parts(page).title.fill(title);
  await parts(page).body.click();
  await page.keyboard.insertText(body);
  await parts(page).list.getByText(title).waitFor();
}

/** The index's files, once nobody has them open. */
const indexFiles = async (page: Page, damage: boolean): Promise<string[]> =>
  page.evaluate(async (isDamaging) => {
    const root = await navigator.storage.getDirectory();
    const directory = await root.getDirectoryHandle("sealeaf-index");
    const texts: string[] = [];
    for (const name of ["main", "wal"]) {
      const handle = await directory.getFileHandle(name);
      const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
      texts.push(new TextDecoder("latin1").decode(bytes));
      if (!isDamaging) continue;
      const writable = await handle.createWritable({ keepExistingData: true });
      for (let at = 100; at < bytes.length; at += 1_000) {
        await writable.write({ type: "write", position: at, data: new Uint8Array(16).fill(7) });
      }
      await writable.close();
    }
    return texts;
  }, damage);

describe("search", () => {
  it("finds as one types, by keyboard and by mouse, and shows where", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), {
      viewport: { width: 1440, height: 900 },
      reducedMotion: true,
    });
    await openApp(page, product.address);
    const filler = "Some other line.\n\n".repeat(80);
    await writeNote(page, "Garden plan", `${filler}The **second bed** gets kohlrabi. #garden/beds`);
    await writeNote(page, "Packing", "Tent and stove #camping");
    await writeNote(page, "買い物", "トマトと卵を買う");

    await page.keyboard.press("Control+k");
    expect(await field(page).evaluate((input) => input === document.activeElement)).toBe(true);
    await page.keyboard.type("kohlr", { delay: 30 });
    await results(page).filter({ hasText: "Garden plan" }).waitFor();
    expect(await results(page).count()).toBe(1);
    expect(await page.locator("mark").allTextContents()).toEqual(["kohlrabi"]);
    await page.getByRole("status").getByText("1 note").waitFor();

    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    const shown = page.locator(".cm-found");
    await shown.waitFor();
    expect(await shown.textContent()).toBe("kohlrabi");
    const box = await shown.boundingBox();
    expect(box?.y).toBeGreaterThan(60);
    expect(box?.y).toBeLessThan(860);
    expect(await bodyText(page)).toContain("**second bed**");

    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Escape");
    await parts(page).list.getByText("Packing").waitFor();
    await field(page).fill("tag:camping");
    await results(page).filter({ hasText: "Packing" }).waitFor();
    await field(page).fill("卵");
    await results(page).filter({ hasText: "買い物" }).waitFor();
    await field(page).fill("zebra");
    await page.getByText("No note matches “zebra”.").waitFor();
    await page.getByRole("button", { name: "Clear what is looked for" }).click();
    await parts(page).list.getByText("Packing").waitFor();

    await page.getByRole("button", { name: /^garden\/beds/ }).click();
    expect(await parts(page).list.getByRole("button").count()).toBe(1);
    await parts(page).list.getByText("Garden plan").click();
    await page.getByRole("button", { name: "More about this note" }).click();
    await page.getByRole("menuitem", { name: "Pin" }).click();
    await page.getByRole("button", { name: "All notes" }).click();
    await parts(page).list.getByRole("button").first().getByText("Garden plan").waitFor();
    await page.getByRole("button", { name: "Pinned", exact: true }).click();
    expect(await parts(page).list.getByRole("button").count()).toBe(1);
  });

  it("is made anew from a damaged index, which holds no word in clear", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), {
      viewport: { width: 390, height: 844 },
    });
    await openApp(page, product.address);
    await parts(page).title.fill("Kingfisher");
    await parts(page).body.click();
    await page.keyboard.insertText("It sits on the willow.");
    await page.getByRole("button", { name: "Back to the list" }).click();
    await page.getByRole("button", { name: "Search" }).click();
    await page.keyboard.type("willow");
    await results(page).filter({ hasText: "Kingfisher" }).waitFor();

    await page.goto(`${product.address}relay.json`);
    const texts = (await indexFiles(page, true)).join("");
    expect(texts.length).toBeGreaterThan(4_096);
    for (const word of ["willow", "Kingfisher", "kingf", "SQLite", "note_text"]) {
      expect(texts).not.toContain(word);
    }
    await page.goto(product.address);
    await field(page).fill("willow");
    await results(page).filter({ hasText: "Kingfisher" }).click();
    await page.locator(".cm-found", { hasText: "willow" }).waitFor();
  });
});
