/** The relay's page in the app and on the command line: one truth in both, now and from last time. */
import { AxeBuilder } from "@axe-core/playwright";
import { describe, expect, it } from "vitest";
import type { RelayInfo } from "#client/device/api.ts";
import { Home } from "#tests/support/cli.ts";
import { networkTrouble, openApp, parts, startProduct } from "#tests/support/product.ts";

const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

describe("about this relay", { timeout: 120_000 }, () => {
  it.each(["light", "dark"] as const)(
    "shows in the app in the %s theme what the relay proved and told, also when it is away",
    async (colorScheme) => {
      await using product = await startProduct();
      const { page } = await product.person(product.profile("ana"), {
        expectedErrors: networkTrouble,
        colorScheme,
        reducedMotion: true,
        viewport: { width: 1440, height: 900 },
      });
      await openApp(page, product.address);
      await parts(page).title.fill("Garden plan");
      await parts(page).status.getByText("Up to date").waitFor();
      const told = (await (await fetch(`${product.address}relay.json`)).json()) as {
        relayKey: string;
      };

      await page.getByRole("button", { name: "Settings" }).first().click();
      await page.getByRole("button", { name: "About this relay" }).click();
      const sheet = page.getByRole("dialog", { name: "About this relay" });
      await sheet.getByText("0.0.0-test").waitFor();
      const text = (await sheet.innerText()).replace(/\s+/g, " ");
      expect(text).toContain(told.relayKey);
      expect(text).toContain(new URL(product.address).host);
      expect(text).toContain("This app came from it. It keeps 1 notebook of yours.");
      expect(text).toMatch(/Stored \d+ KB, just now/);
      expect(text).toContain("Open: anybody may keep notebooks there.");
      for (const width of [1440, 390]) {
        await page.setViewportSize({ width, height: 900 });
        const { violations } = await new AxeBuilder({ page }).withTags(rules).analyze();
        expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
        const overflow = await sheet.evaluate(
          (element) => element.scrollWidth - element.clientWidth,
        );
        expect(overflow).toBe(0);
      }
      await page.keyboard.press("Escape");
      await page.setViewportSize({ width: 1440, height: 900 });

      await product.stopRelay();
      await parts(page).status.getByText("Offline").waitFor();
      await parts(page).status.click();
      await page.getByRole("button", { name: "About this relay" }).click();
      await sheet.getByText("this is what it said last time").waitFor();
      await sheet.getByText("Not connected").waitFor();
      expect((await sheet.innerText()).replace(/\s+/g, " ")).toContain(told.relayKey);
      expect(await sheet.getByText("0.0.0-test").count()).toBe(1);
    },
  );

  it("is told by the command, for people and as JSON, with the relay and without", async () => {
    await using product = await startProduct();
    using home = new Home();
    const none = await home.run(["init"]);
    expect(none.code).toBe(0);
    expect((await home.run(["relay-info"])).stderr).toContain("knows no relay");

    using ana = new Home();
    await ana.init(product.address);
    await ana.write("Garden plan", "Beds, seeds.");
    await ana.json(["sync"]);
    const info = await ana.json<RelayInfo>(["relay-info"]);
    expect(info).toMatchObject({
      connected: true,
      trouble: "",
      about: { version: "0.0.0-test", access: "open" },
      notebooks: { all: 1, own: 1 },
      servesThisApp: false,
    });
    expect(info.stored?.bytes).toBeGreaterThan(0);
    expect(info.lastAckAt).not.toBeNull();
    const { stdout } = await ana.run(["relay-info"]);
    expect(stdout).toContain(`Key:          ${info.fingerprint}`);
    expect(stdout).toContain("Limits:       A notebook: 1.1 GB");
    expect(stdout).toContain("Yours:        It keeps 1 notebook of yours.");

    await product.stopRelay();
    const away = await ana.run(["relay-info"]);
    expect(away.code).toBe(0);
    expect(away.stderr).toContain("The relay cannot be asked right now");
    expect(away.stdout).toContain("Connected:    no");
    expect(away.stdout).toContain("Version:      0.0.0-test");
  });
});
