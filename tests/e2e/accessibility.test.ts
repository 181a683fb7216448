/** The screens as assistive technology meets them, in both themes. */
import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { openApp, parts, shareNote, startProduct } from "#tests/support/product.ts";

/** WCAG 2.2 A and AA, as far as a program can judge. */
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

async function faults(page: Page): Promise<readonly string[]> {
  const { violations } = await new AxeBuilder({ page }).withTags(rules).analyze();
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")} ${failureSummary ?? ""}`),
  );
}

describe.each(["light", "dark"] as const)("the app in the %s theme", (colorScheme) => {
  it("has no fault that a program can find, wide and narrow", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), {
      colorScheme,
      reducedMotion: true,
      viewport: { width: 1440, height: 900 },
    });
    await openApp(page, product.address);
    await parts(page).title.fill("Garden plan");
    await parts(page).body.click();
    await page.keyboard.type(
      "# Beds\n\n- [ ] order **seeds** and `soil`\n\nSee [wiki](https://example.org).\n> quoted",
    );
    expect(await faults(page)).toEqual([]);
    await parts(page).share.click();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await shareNote(page, "Ana");
    await parts(page).share.click();
    await page
      .getByRole("button", { name: /^Revoke the link/ })
      .first()
      .click();
    await page
      .getByRole("button", { name: /^QR code of the link/ })
      .first()
      .click();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    // Out of sight until the pointer is over its row, or the keyboard on it.
    await page
      .getByRole("button", { name: /^More about “/ })
      .first()
      .focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: /^More about “/ }).waitFor();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page
      .getByRole("button", { name: /24 words|Show the words/ })
      .first()
      .click();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "I have saved them" }).click();
    await page
      .getByRole("textbox", { name: /^Word / })
      .first()
      .waitFor();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await parts(page).status.click();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Details" }).click();
    await page.getByRole("dialog", { name: "Synchronisation" }).waitFor();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "More about this note" }).click();
    await page.getByRole("menuitem", { name: "This note’s sync" }).click();
    await page.getByText("Nobody is known to have all of it").waitFor();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Settings" }).first().click();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Add a device…" }).click();
    await page.getByRole("img", { name: /as a QR code/ }).waitFor();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "Settings" }).first().click();
    await page.getByRole("button", { name: "A device was stolen…" }).click();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+k");
    expect(await faults(page)).toEqual([]);
    await page.keyboard.type("seeds");
    await page.locator("mark").first().waitFor();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Enter");
    await page.locator(".cm-found").waitFor();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("searchbox", { name: "Search" }).fill("before:soon zebra");
    await page.getByText("No note matches").waitFor();
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Back to the list" }).click();
    expect(await faults(page)).toEqual([]);
    await parts(page).list.getByText("Garden plan").click();
    await page.getByRole("button", { name: "More about this note" }).click();
    await page.getByRole("menuitem", { name: "Move to trash" }).click();
    await page.getByRole("button", { name: "Open menu" }).click();
    await page.getByRole("button", { name: "Trash", exact: true }).click();
    await page.getByText("Notes stay here until you delete them.").waitFor();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Empty trash…" }).click();
    await page.getByRole("dialog", { name: "Empty the trash" }).waitFor();
    expect(await faults(page)).toEqual([]);
  });

  it("has none where it is locked either", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), {
      colorScheme,
      reducedMotion: true,
      viewport: { width: 1440, height: 900 },
    });
    await openApp(page, product.address);
    await page.getByRole("button", { name: "Settings" }).first().click();
    await page.getByRole("button", { name: "Set a passphrase" }).click();
    expect(await faults(page)).toEqual([]);
    for (const name of ["New passphrase", "The same again"]) {
      await page.getByLabel(name, { exact: true }).fill("four wet green leaves");
    }
    await page.getByRole("button", { name: "Set passphrase" }).click();
    await page.getByRole("button", { name: "Lock now" }).waitFor();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Lock now" }).click();
    await page.getByLabel("Passphrase", { exact: true }).fill("not the one");
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByRole("alert").waitFor();
    expect(await faults(page)).toEqual([]);
    await page.getByRole("button", { name: "Forgot it?" }).click();
    await page.getByRole("button", { name: "Remove everything from this device" }).click();
    expect(await faults(page)).toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await faults(page)).toEqual([]);
  });
});
