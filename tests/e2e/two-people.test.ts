/** First light: two people, one encrypted note, apart and together again. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  bodyText,
  joinByLink,
  networkTrouble,
  openApp,
  parts,
  readWords,
  shareNote,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";

const trouble = { expectedErrors: networkTrouble };

describe("two people in two browsers", () => {
  it("write one note together, go apart, and come back to one text", async () => {
    await using product = await startProduct();
    const anaProfile = product.profile("ana");
    const benProfile = product.profile("ben");
    const ana = await product.person(anaProfile, trouble);
    await openApp(ana.page, product.address);
    await parts(ana.page).title.fill("Zanzibartitle");
    await parts(ana.page).body.click();
    await ana.page.keyboard.type("The quick fox jumps over the dog. ");
    await ana.page.keyboard.type("Krakatoabody marks this note.");
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");

    const link = await shareNote(ana.page, "Anapurna Displayname");
    const ben = await product.person(benProfile, trouble);
    await joinByLink(ben.page, link, "Benares Displayname", "Zanzibartitle");
    await expect.poll(() => bodyText(ben.page)).toContain("Krakatoabody");
    expect(new URL(ben.page.url()).hash).toBe("");

    // Together: both type at once, each sees the other's caret.
    await Promise.all([
      typeAfter(ana.page, "The quick", " brown"),
      typeAfter(ben.page, "marks this note.", " Ben adds this."),
    ]);
    await expect.poll(() => bodyText(ana.page)).toContain("Ben adds this.");
    await expect.poll(() => bodyText(ben.page)).toContain("quick brown fox");
    await ana.page.getByText("Benares Displayname").first().waitFor({ state: "attached" });
    await ben.page.getByText("Anapurna Displayname").first().waitFor({ state: "attached" });

    // Apart: the line refuses and the browsers say offline; the same sentence and other places.
    product.proxy.setMode("cut");
    await Promise.all([ana.context.setOffline(true), ben.context.setOffline(true)]);
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Offline");
    await expect.poll(() => parts(ben.page).status.innerText()).toContain("Offline");
    await typeAfter(ana.page, "jumps", " gladly");
    await typeAfter(ana.page, "Ben adds this.", " Ana closes.");
    await typeAfter(ben.page, "jumps over the", " lazy");
    await typeAfter(ben.page, "The ", "very ");
    await expect.poll(() => parts(ana.page).status.innerText()).toMatch(/Offline, \d+ waiting/);

    // Both reload while offline and still see their own text.
    await Promise.all([ana.page.reload(), ben.page.reload()]);
    await Promise.all([parts(ana.page).body.waitFor(), parts(ben.page).body.waitFor()]);
    await expect.poll(() => bodyText(ana.page)).toContain("jumps gladly over the dog");
    await expect.poll(() => bodyText(ana.page)).toContain("Ana closes.");
    await expect.poll(() => bodyText(ben.page)).toContain("over the lazy dog");

    // Together again.
    product.proxy.setMode("pass");
    const back = Date.now();
    await Promise.all([ana.context.setOffline(false), ben.context.setOffline(false)]);
    const both =
      "The very quick brown fox jumps gladly over the lazy dog. Krakatoabody marks this note. Ben adds this. Ana closes.";
    await expect.poll(() => bodyText(ana.page), { timeout: 15_000 }).toBe(both);
    await expect.poll(() => bodyText(ben.page), { timeout: 15_000 }).toBe(both);
    console.log(`identical ${Date.now() - back} ms after coming back`);
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Up to date");
    await expect.poll(() => parts(ben.page).status.innerText()).toContain("Up to date");

    // The relay stopped and started again in the middle.
    await product.stopRelay();
    await expect.poll(() => parts(ana.page).status.innerText()).toContain("Offline");
    await typeAfter(ana.page, "Ana closes.", " Written while the relay was down.");
    await product.startRelay();
    await expect
      .poll(() => bodyText(ben.page), { timeout: 30_000 })
      .toBe(`${both} Written while the relay was down.`);
    await expect
      .poll(() => parts(ana.page).status.innerText(), { timeout: 30_000 })
      .toContain("Up to date");

    // A swallowed socket is noticed.
    product.proxy.setMode("swallow");
    const swallowed = Date.now();
    await expect
      .poll(() => parts(ben.page).status.innerText(), { timeout: 12_000 })
      .toContain("Offline");
    const noticed = Date.now() - swallowed;
    console.log(`swallowed socket shown as Offline after ${noticed} ms`);
    expect(noticed).toBeLessThan(10_500);
    product.proxy.setMode("pass");

    // Nothing readable lies at the relay or in the browsers' files.
    const words = await readWords(ana.page);
    expect(words).toHaveLength(24);
    // Four in a row, as they would stand in any file that kept them.
    const sequence = words.slice(0, 4).join(" ");
    await ana.page.evaluate(() => localStorage.setItem("control", "Unsealedmarker"));
    writeFileSync(join(product.dir, "control"), "Unsealedmarker");
    await ana.context.close();
    await ben.context.close();
    await product.stopRelay();
    const secrets = ["Zanzibartitle", "Krakatoabody", "Anapurna", "Benares", sequence];
    const places = [product.dir, anaProfile, benProfile];
    for (const secret of secrets) expect(filesHolding(places, secret)).toEqual([]);
    expect(
      product.relay().log.filter((line) => secrets.some((secret) => line.includes(secret))),
    ).toEqual([]);
    // The search proves itself: what was planted unsealed is found.
    expect(filesHolding([anaProfile], "Unsealedmarker")).not.toEqual([]);
    expect(filesHolding([product.dir], "Unsealedmarker")).not.toEqual([]);
  }, 180_000);
});

function filesHolding(places: readonly string[], secret: string): readonly string[] {
  const needles = [Buffer.from(secret, "utf8"), Buffer.from(secret, "utf16le")];
  return places.flatMap((place) =>
    filesIn(place).filter((file) => {
      const bytes = readFileSync(file);
      return needles.some((needle) => bytes.includes(needle));
    }),
  );
}

function filesIn(dir: string): readonly string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    const entry = statSync(path, { throwIfNoEntry: false });
    if (entry === undefined) return [];
    if (entry.isDirectory()) return filesIn(path);
    return entry.isFile() ? [path] : [];
  });
}
