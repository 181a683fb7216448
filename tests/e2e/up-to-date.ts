import type { Page } from "playwright";
import { expect } from "vitest";
import { parts } from "#tests/support/product.ts";

/** Resolves when a page says that the relay has everything. */
export async function expectUpToDate(page: Page): Promise<void> {
  await expect
    .poll(() => parts(page).status.innerText(), { timeout: 15_000 })
    .toContain("Up to date");
}
