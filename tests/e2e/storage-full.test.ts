/** No room left, in a real browser and on a real volume: nothing saved is lost, and writing goes on by itself. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CDPSession } from "playwright";
import { describe, expect, it } from "vitest";
import { Home } from "#tests/support/cli.ts";
import { bodyText, openApp, parts, startProduct } from "#tests/support/product.ts";

/** What the browser allows this address to keep; null: as much as before. */
async function allow(session: CDPSession, address: string, quotaSize: number | null) {
  const origin = new URL(address).origin;
  await session.send("Storage.overrideQuotaForOrigin", {
    origin,
    ...(quotaSize !== null && { quotaSize }),
  });
}

// Every failed write is reported on the console too: provoked here on purpose.
const expectedErrors = [/out of space/, /journal/, /Object/, /StoreError/, /Refusal/];

describe("a browser without room", { timeout: 120_000 }, () => {
  it("keeps what is typed in the window, opens other notes, and saves when there is room", async () => {
    await using product = await startProduct();
    const profile = product.profile("ana");
    const ana = await product.person(profile, { expectedErrors });
    const { page } = ana;
    const { body, status, newNote, list } = parts(page);
    await openApp(page, product.address);
    await body.click();
    await page.keyboard.insertText("Saved before the disk was full.");
    await expect.poll(() => status.innerText()).toContain("Up to date");
    await newNote.click();
    await expect.poll(() => bodyText(page)).toBe("");
    await body.click();
    await page.keyboard.insertText("Second. ");
    await list.getByText("Second.").first().waitFor();
    await expect.poll(() => status.innerText()).toContain("Up to date");

    const session = await page.context().newCDPSession(page);
    await allow(session, product.address, 1);
    const long = "What does not fit. ".repeat(60_000);
    await page.keyboard.insertText(long);
    await page.getByText("Not saved yet").waitFor();
    await page.getByRole("alert").getByText("This device is out of space.").waitFor();
    await expect.poll(() => status.innerText()).toContain("Needs you");
    await page.getByRole("button", { name: "Try again" }).click();

    await list.getByText("Saved before the disk was full.").first().click();
    await expect.poll(() => bodyText(page)).toBe("Saved before the disk was full.");
    await list.getByText("Second.").first().click();
    await expect.poll(() => bodyText(page)).toBe(`Second. ${long}`);

    await allow(session, product.address, null);
    await page.getByText("Not saved yet").waitFor({ state: "detached" });
    await page.getByRole("alert").waitFor({ state: "detached" });
    await expect.poll(() => status.innerText(), { timeout: 30_000 }).toContain("Up to date");

    await page.reload();
    await list.getByText("Second.").first().click();
    await expect.poll(() => bodyText(page)).toBe(`Second. ${long}`);
  });
});

/** A small volume of its own, where this machine lets us have one. */
class Volume implements Disposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static mount(bytes: number): Volume | null {
    const dir = mkdtempSync(join(tmpdir(), "sealeaf-volume-"));
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", dir], {
        stdio: "ignore",
      });
      return new Volume(dir);
    } catch {
      rmSync(dir, { recursive: true });
      return null;
    }
  }

  fill(): void {
    const { bavail, bsize } = statfsSync(this.dir);
    writeFileSync(join(this.dir, "ballast"), Buffer.alloc(bavail * bsize));
  }

  empty(): void {
    unlinkSync(join(this.dir, "ballast"));
  }

  [Symbol.dispose](): void {
    execFileSync("umount", [this.dir]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const volume = Volume.mount(8 << 20);

describe("a home on a full volume", { timeout: 120_000 }, () => {
  it.runIf(volume !== null)(
    "can be read, refuses writing in words, and goes on later",
    async () => {
      if (volume === null) throw new Error("unreachable: not run without a volume");
      using mounted = volume;
      using home = new Home(join(mounted.dir, "home"));
      await home.init();
      const id = await home.write("Tent", "Pegs and poles.");
      const before = await home.json<{ storage: { bytes: number; free: number } }>(["status"]);
      expect(before.storage.bytes).toBeGreaterThan(10_000);
      expect(before.storage.free).toBeLessThan(8 << 20);

      mounted.fill();
      expect((await home.read(id)).body).toBe("Pegs and poles.");
      expect((await home.list()).map(({ title }) => title)).toEqual(["Tent"]);
      const refused = await home.run(["new", "--title", "Stove"], "Gas. ".repeat(50_000));
      expect(refused).toMatchObject({ code: 1, stdout: "" });
      expect(refused.stderr).toMatch(/no space left/);
      expect((await home.run(["status"])).stdout).toMatch(/On disk: .* 0 KB free/);

      mounted.empty();
      const second = await home.write("Stove", "Gas.");
      expect((await home.read(second)).body).toBe("Gas.");
      expect((await home.read(id)).body).toBe("Pegs and poles.");
      expect((await home.run(["doctor"])).code).toBe(0);
    },
  );
});
