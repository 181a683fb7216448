/** The passphrase on a browser's notes: set, locked, unlocked, changed, removed, and everything wiped. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import {
  bodyText,
  networkTrouble,
  openApp,
  parts,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";

const trouble = { expectedErrors: networkTrouble };
const passphrase = "four wet green leaves";

function field(page: Page, name: string) {
  return page.getByLabel(name, { exact: true });
}

async function openSettings(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Settings" }).first().click();
}

async function setPassphrase(page: Page, text: string): Promise<void> {
  await openSettings(page);
  await page.getByRole("button", { name: "Set a passphrase" }).click();
  await field(page, "New passphrase").fill(text);
  await field(page, "The same again").fill(text);
  await page.getByRole("button", { name: "Set passphrase" }).click();
  await page.getByRole("button", { name: "Lock now" }).waitFor();
  await page.keyboard.press("Escape");
}

async function locked(page: Page): Promise<void> {
  await page.getByRole("heading", { name: "Your notes are locked" }).waitFor();
}

async function unlock(page: Page, text: string): Promise<void> {
  await field(page, "Passphrase").fill(text);
  await page.getByRole("button", { name: "Unlock" }).click();
}

async function write(page: Page, text: string): Promise<void> {
  await parts(page).body.click();
  await page.keyboard.type(text);
  await page
    .getByText(/saved on this device|on the relay/i)
    .first()
    .waitFor();
}

/** The files in which the profile holds any of the needles, in any way text is stored, or as bytes (latin1). */
function filesHolding(dir: string, needles: readonly string[]): string[] {
  const encodings = ["utf8", "utf16le", "latin1"] as const;
  const patterns = needles.flatMap((text) => encodings.map((one) => Buffer.from(text, one)));
  return (readdirSync(dir, { recursive: true }) as string[])
    .map((name) => join(dir, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true)
    .filter((path) => {
      const bytes = readFileSync(path);
      return patterns.some((pattern) => bytes.includes(pattern));
    });
}

/** What IndexedDB keeps of the key, and the key itself as long as the browser opens it unasked. */
function keptKey(page: Page): Promise<{ fields: string[]; key: number[] | null }> {
  return page.evaluate(async () => {
    const answer = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.addEventListener("success", () => resolve(request.result));
        request.addEventListener("error", () => reject(request.error ?? new Error("no answer")));
      });
    const database = await answer(indexedDB.open("sealeaf-keys"));
    const entries = database.transaction("keys").objectStore("keys");
    const [kept, ...others] = await answer<Record<string, unknown>[]>(entries.getAll());
    database.close();
    if (kept === undefined || others.length > 0) throw new Error("there is one key, or should be");
    const fields = Object.keys(kept).toSorted();
    if (!("wrappingKey" in kept)) return { fields, key: null };
    const { wrappingKey, iv, wrapped } = kept as {
      wrappingKey: CryptoKey;
      iv: Uint8Array<ArrayBuffer>;
      wrapped: ArrayBuffer;
    };
    const key = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, wrappingKey, wrapped);
    return { fields, key: [...new Uint8Array(key)] };
  });
}

/** Deletes the keys' database and nothing else, as clearing a part of the site's data would. */
function forgetKeys(page: Page): Promise<void> {
  return page.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const request = indexedDB.deleteDatabase("sealeaf-keys");
        request.addEventListener("success", () => resolve());
        request.addEventListener("error", () => reject(request.error ?? new Error("not deleted")));
      }),
  );
}

describe("a passphrase", () => {
  it("locks on reload, refuses a wrong one, opens with the right one, and is nowhere in the profile", async () => {
    await using product = await startProduct();
    const profile = product.profile("ana");
    const ana = await product.person(profile, trouble);
    const { page } = ana;
    await openApp(page, product.address);
    await write(page, "Under lock and key.");
    const { key } = await keptKey(page);
    await setPassphrase(page, passphrase);
    // The copy that opened unasked is gone, and with it the way around the passphrase.
    expect(await keptKey(page)).toEqual({ fields: ["autoLock", "record"], key: null });

    await page.reload();
    await locked(page);
    expect(await page.getByText("Under lock").count()).toBe(0);
    await unlock(page, "four wet green leavez");
    await page.getByRole("alert").getByText("does not open these notes").waitFor();
    await locked(page);
    await unlock(page, passphrase);
    await parts(page).body.waitFor();
    expect(await bodyText(page)).toBe("Under lock and key.");

    await ana.close();
    // What is looked for is found where it is: the relay's address is in the profile in clear.
    expect(filesHolding(profile, [new URL(product.address).host])).not.toEqual([]);
    expect(filesHolding(profile, [passphrase, "Under lock"])).toEqual([]);
    expect(filesHolding(profile, [Buffer.from(key ?? []).toString("latin1")])).toEqual([]);
  });

  it("can be changed and removed, each only with the one before", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), trouble);
    await openApp(page, product.address);
    await write(page, "Kept through all of it.");
    await setPassphrase(page, passphrase);

    await openSettings(page);
    await page.getByRole("button", { name: "Change passphrase" }).click();
    await field(page, "Current passphrase").fill("not the one");
    await field(page, "New passphrase").fill("another passphrase");
    await field(page, "The same again").fill("another passphrase");
    await page.getByRole("button", { name: "Change passphrase" }).click();
    await page.getByRole("alert").getByText("does not open these notes").waitFor();
    await field(page, "Current passphrase").fill(passphrase);
    await page.getByRole("button", { name: "Change passphrase" }).click();
    await page.getByRole("button", { name: "Lock now" }).click();
    await locked(page);
    await unlock(page, passphrase);
    await page.getByRole("alert").waitFor();
    await unlock(page, "another passphrase");
    await parts(page).body.waitFor();

    await openSettings(page);
    await page.getByRole("button", { name: "Remove passphrase" }).click();
    await field(page, "Current passphrase").fill("another passphrase");
    await page.getByRole("button", { name: "Remove passphrase" }).click();
    await page.getByRole("button", { name: "Set a passphrase" }).waitFor();
    await page.reload();
    await parts(page).body.waitFor();
    expect(await bodyText(page)).toBe("Kept through all of it.");
  });
});

describe("several tabs", () => {
  it("are locked by one and opened by one, with every keystroke kept", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    const { page } = ana;
    await openApp(page, product.address);
    await write(page, "One. ");
    await setPassphrase(page, passphrase);
    const other = await ana.newTab();
    await openApp(other, product.address);
    await parts(other).list.getByText("One.").first().click();
    await expect.poll(() => bodyText(other)).toBe("One. ");

    await openSettings(page);
    // No pause between the last keystroke in one tab and the lock in the other.
    await typeAfter(other, "One. ", "Typed in the last moment.");
    await page.getByRole("button", { name: "Lock now" }).click();
    await Promise.all([locked(page), locked(other)]);
    await unlock(other, passphrase);
    await Promise.all([parts(page).body.waitFor(), parts(other).body.waitFor()]);
    await expect.poll(() => bodyText(page)).toBe("One. Typed in the last moment.");
    await expect.poll(() => bodyText(other)).toBe("One. Typed in the last moment.");
  });

  it("stay open when one of them is closed, and are locked when the last one was", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    const { page } = ana;
    await openApp(page, product.address);
    await write(page, "One. ");
    await setPassphrase(page, passphrase);
    const other = await ana.newTab();
    await openApp(other, product.address);
    await page.close();
    await parts(other).body.click();
    await typeAfter(other, "One. ", "Two.");
    await other.getByRole("status", { name: "Sync status" }).getByText("Up to date").waitFor();
    expect(await bodyText(other)).toBe("One. Two.");
    // A reload is the last window's end, too.
    await other.reload();
    await locked(other);
    await unlock(other, passphrase);
    await expect.poll(() => bodyText(other)).toBe("One. Two.");
  });
});

describe("removing everything", () => {
  it("asks first, then starts afresh in every tab, and nothing opens what was there", async () => {
    await using product = await startProduct();
    const ana = await product.person(product.profile("ana"), trouble);
    const { page } = ana;
    await openApp(page, product.address);
    await write(page, "Gone for good.");
    const other = await ana.newTab();
    await openApp(other, product.address);
    await openSettings(page);
    await page.getByRole("button", { name: "Remove everything from this device" }).click();
    const remove = page.getByRole("button", { name: "Remove everything", exact: true });
    expect(await remove.isDisabled()).toBe(true);
    await page.getByRole("checkbox", { name: /24 words/ }).check();
    await remove.click();
    for (const tab of [page, other]) {
      await parts(tab).body.waitFor();
      await expect.poll(() => bodyText(tab)).toBe("");
      expect(await tab.getByText("Gone for good").count()).toBe(0);
    }
    await write(page, "A fresh start.");
    await page.reload();
    await parts(page).body.waitFor();
    await expect.poll(() => bodyText(page)).toBe("A fresh start.");
  });

  it("works from the lock, for whoever forgot the passphrase", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), trouble);
    await openApp(page, product.address);
    await write(page, "Forgotten.");
    await setPassphrase(page, passphrase);
    await page.reload();
    await locked(page);
    await page.getByRole("button", { name: "Forgot it?" }).click();
    await page.getByRole("button", { name: "Remove everything from this device" }).click();
    await page.getByRole("checkbox", { name: /24 words/ }).check();
    await page.getByRole("button", { name: "Remove everything", exact: true }).click();
    await parts(page).body.waitFor();
    await expect.poll(() => bodyText(page)).toBe("");
  });
});

describe("sealed notes without their key", () => {
  it("are explained and left alone, until somebody removes them", async () => {
    await using product = await startProduct();
    const { page } = await product.person(product.profile("ana"), trouble);
    await openApp(page, product.address);
    await write(page, "Sealed for ever.");
    await forgetKeys(page);
    await page.reload();
    const heading = page.getByRole("heading", { name: "The key to your notes is gone" });
    await heading.waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await heading.waitFor();
    await page.getByRole("button", { name: "Remove everything from this device" }).click();
    await page.getByRole("checkbox", { name: /24 words/ }).check();
    await page.getByRole("button", { name: "Remove everything", exact: true }).click();
    await parts(page).body.waitFor();
    await expect.poll(() => bodyText(page)).toBe("");
  });
});

describe("site data cleared while notes are open", () => {
  it("is said in a sentence, and what is typed stays in its window", async () => {
    await using product = await startProduct();
    const { page, context } = await product.person(product.profile("ana"), trouble);
    await openApp(page, product.address);
    await write(page, "Before.");
    const cdp = await context.newCDPSession(page);
    await cdp.send("Storage.clearDataForOrigin", {
      origin: new URL(product.address).origin,
      storageTypes: "all",
    });
    await page
      .getByRole("alert")
      .getByText(/not saved on this device/)
      .waitFor();
    await parts(page).body.click();
    await page.keyboard.type(" After.");
    await expect.poll(() => bodyText(page)).toBe("Before. After.");
    // It still reaches the relay, from where the words can bring it back.
    await parts(page).status.getByText("Up to date").waitFor();
    await openSettings(page);
    await page.getByText("so there is nothing to lock").waitFor();
  });
});
