/** A link's secret stands behind the #. It leaves the address before anything is asked for, and is found nowhere else. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  bodyText,
  joinByLink,
  networkTrouble,
  openApp,
  parts,
  shareNote,
  startProduct,
} from "#tests/support/product.ts";

const trouble = { expectedErrors: networkTrouble };

describe("a share link that is opened (attack 62)", () => {
  it("is gone from the address and the history before the app asks for anything, and in no request, log or page", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    await openApp(ana.page, product.address);
    await parts(ana.page).title.fill("Garden plan");
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("Order seeds.");
    const link = await shareNote(ana.page, "Ana", { role: "can edit", for: "several people" });
    const fragment = new URL(link).hash.slice(1);
    const secret = fragment.split(".")[1] ?? "";
    expect(secret.length).toBeGreaterThan(40);
    /** In text, and as the bytes that it stands for. */
    const isIn = (bytes: Buffer): boolean =>
      bytes.includes(secret) || bytes.includes(Buffer.from(secret, "base64url"));
    expect(isIn(Buffer.from(link))).toBe(true);

    const ben = await product.person(product.profile("ben"), trouble);
    const asked: { what: string; referer: string | undefined; body: Buffer }[] = [];
    const printed: string[] = [];
    ben.context.on("request", (request) => {
      const { referer } = request.headers();
      asked.push({ what: request.url(), referer, body: request.postDataBuffer() ?? Buffer.of() });
    });
    ben.context.on("console", (message) => printed.push(message.text()));
    // Where the address stands at everything that the page itself sets in motion.
    await ben.context.addInitScript(() => {
      const seen: string[] = [];
      Object.assign(globalThis, { addressesSeen: seen });
      const note = (what: string): number => seen.push(`${what} ${location.href}`);
      const { fetch: honestFetch, Worker: HonestWorker, SharedWorker: HonestShared } = globalThis;
      globalThis.fetch = (...args) => {
        note("fetch");
        return honestFetch(...args);
      };
      globalThis.Worker = class extends HonestWorker {
        constructor(...args: ConstructorParameters<typeof Worker>) {
          note("worker");
          super(...args);
        }
      };
      globalThis.SharedWorker = class extends HonestShared {
        constructor(...args: ConstructorParameters<typeof SharedWorker>) {
          note("shared worker");
          super(...args);
        }
      };
    });
    await joinByLink(ben.page, product.address + new URL(link).hash, "Ben", "Garden plan");
    await expect.poll(() => bodyText(ben.page)).toBe("Order seeds.");
    const seen = await ben.page.evaluate(
      () => (globalThis as unknown as { addressesSeen: string[] }).addressesSeen,
    );
    expect(seen.length).toBeGreaterThan(1);
    expect(seen.filter((address) => address.includes("#"))).toEqual([]);
    expect(ben.page.url()).not.toContain("#");
    const devtools = await ben.context.newCDPSession(ben.page);
    const { entries } = await devtools.send("Page.getNavigationHistory");
    expect(entries.length).toBeGreaterThan(0);
    for (const { url } of entries) expect(url).not.toContain(secret);

    expect(asked.length).toBeGreaterThan(3);
    for (const { what, referer, body } of asked) {
      // The driver shows an address as it was typed; what goes over the line is looked for below.
      expect(new URL(what).pathname + new URL(what).search).not.toContain(secret);
      expect(referer ?? "").not.toContain("#");
      expect(isIn(body)).toBe(false);
    }
    expect(printed.filter((text) => text.includes(secret))).toEqual([]);
    expect(product.relay().log.filter((line) => line.includes(secret))).toEqual([]);
    const sent = product.proxy.sent();
    expect(sent.includes("GET / HTTP/1.1")).toBe(true);
    expect(isIn(sent)).toBe(false);
    // Nor is it anything that the relay keeps.
    const kept = readdirSync(product.dir).map((file) => readFileSync(join(product.dir, file)));
    expect(kept.some((bytes) => bytes.length > 4_096)).toBe(true);
    expect(kept.some(isIn)).toBe(false);
    // What the page shows has none of it either.
    expect(await ben.page.content()).not.toContain(secret);
  });
});
