/** What was shown as saved survives the death of the renderer, online or not. */
import { describe, expect, it } from "vitest";
import type { Person } from "#tests/support/browser.ts";
import { Targets } from "#tests/support/processes.ts";
import {
  bodyText,
  networkTrouble,
  openApp,
  parts,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";

const trouble = { expectedErrors: networkTrouble };

/** Kills the renderers, then ends what is left of the browser: the next visit opens the profile anew. */
async function kill(person: Person, profile: string): Promise<void> {
  const crashed = person.page.waitForEvent("crash");
  await Targets.renderers(profile).kill();
  await crashed;
  await person.context.close();
}

describe("a renderer killed without warning", () => {
  it("loses nothing that the note had called saved", async () => {
    await using product = await startProduct();
    const profile = product.profile("ana");
    const ana = await product.person(profile, trouble);
    await openApp(ana.page, product.address);
    product.proxy.setMode("cut");
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("Written offline. ");
    await ana.page
      .getByText(/saved on this device/i)
      .first()
      .waitFor();
    await kill(ana, profile);
    product.proxy.setMode("pass");
    const { page: again } = await product.person(profile, trouble);
    await openApp(again, product.address);
    await again.getByRole("list", { name: "Notes" }).getByText("Written offline.").first().click();
    await expect.poll(() => bodyText(again)).toBe("Written offline. ");
  });

  it("loses no keystroke older than 100 ms", async () => {
    await using product = await startProduct();
    const profile = product.profile("ana");
    let ana = await product.person(profile, trouble);
    await openApp(ana.page, product.address);
    let { page } = ana;
    await parts(page).body.click();
    await page.keyboard.type("Start. ");
    await expect.poll(() => parts(page).status.innerText()).toContain("Up to date");
    for (const [ix, word] of ["one", "two", "three"].entries()) {
      await typeAfter(page, ix === 0 ? "Start. " : (["one", "two"][ix - 1] ?? ""), word);
      await page.evaluate(
        () =>
          new Promise<void>((resolve) => {
            const typed = performance.now();
            const wait = (): void => {
              if (performance.now() - typed >= 100) resolve();
              else requestAnimationFrame(wait);
            };
            wait();
          }),
      );
      await kill(ana, profile);
      ana = await product.person(profile, trouble);
      ({ page } = ana);
      await openApp(page, product.address);
      await parts(page).list.getByText("Start.").first().click();
      await expect.poll(() => bodyText(page)).toContain(word);
    }
    expect(await bodyText(page)).toBe("Start. onetwothree");
  });
});
