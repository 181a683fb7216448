/** One store, byte for byte, in Node and in a browser: made in one, opened and written to in the other, and back. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { openStore } from "#crdt-store/store.ts";
import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { LEADER_LOCK } from "#client/worker/lock-names.ts";
import {
  bodyText,
  networkTrouble,
  openApp,
  parts,
  startProduct,
  typeAfter,
} from "#tests/support/product.ts";
import { inHome, makeHome, Place } from "#tests/unit/cli/home-fixtures.ts";

const storeName = "sealeaf-notes";
const roles = ["main", "wal", "journal"] as const;

/** What a home directory holds of a store, each in base64. */
type Files = Readonly<Record<(typeof roles)[number], string>>;

function filesOf(dir: string): Files {
  const [main = "", wal = "", journal = ""] = roles.map((role) =>
    readFileSync(join(dir, role)).toString("base64"),
  );
  return { main, wal, journal };
}

function writeHome(dir: string, files: Files): void {
  for (const role of roles) writeFileSync(join(dir, role), Buffer.from(files[role], "base64"));
}

/** Resolves when no tab of this browser has the store open. */
function nobodyLeads(page: Page): Promise<void> {
  return page.evaluate((lock) => navigator.locks.request(lock, () => undefined), LEADER_LOCK);
}

/** The key of the database, which the browser keeps for the app. */
function keyInBrowser(page: Page): Promise<number[]> {
  return page.evaluate(async () => {
    const answer = <T>(request: IDBRequest<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        request.addEventListener("success", () => resolve(request.result));
        request.addEventListener("error", () => reject(new Error("IndexedDB failed")));
      });
    const database = await answer(indexedDB.open("sealeaf-keys"));
    const entry = await answer(database.transaction("keys").objectStore("keys").get("notes"));
    database.close();
    const { wrappingKey, iv, wrapped } = entry as {
      wrappingKey: CryptoKey;
      iv: Uint8Array<ArrayBuffer>;
      wrapped: ArrayBuffer;
    };
    const key = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, wrappingKey, wrapped);
    return [...new Uint8Array(key)];
  });
}

function readOpfs(page: Page): Promise<Files> {
  return page.evaluate(
    async ([name, names]) => {
      const root = await navigator.storage.getDirectory();
      const dir = await root.getDirectoryHandle(name);
      const read = async (role: string): Promise<string> => {
        const file = await (await dir.getFileHandle(role)).getFile();
        const bytes = new Uint8Array(await file.arrayBuffer());
        return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
      };
      const entries = await Promise.all(names.map(async (role) => [role, await read(role)]));
      return Object.fromEntries(entries) as Files;
    },
    [storeName, roles] as const,
  );
}

/** Puts the files in the place of those there; the browser may take a moment to free a tab's handles. */
async function writeOpfs(page: Page, files: Files): Promise<void> {
  const write = (): Promise<string> =>
    page.evaluate(
      async ([name, given]) => {
        const root = await navigator.storage.getDirectory();
        const dir = await root.getDirectoryHandle(name);
        for (const [role, text] of Object.entries(given)) {
          const file = await dir.getFileHandle(role, { create: true });
          const writable = await file.createWritable().catch(() => null);
          if (writable === null) return "held";
          await writable.write(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
          await writable.close();
        }
        return "written";
      },
      [storeName, files] as const,
    );
  await expect.poll(write, { timeout: 20_000 }).toBe("written");
}

/** Every page of the store, with the key in the home. */
async function checkIntegrity(dir: string): Promise<void> {
  const key = new Uint8Array(readFileSync(join(dir, "key")));
  const random = (): never => {
    throw new Error("nothing is to be written");
  };
  const store = openStore({
    engine: await loadNodeEngine(),
    files: openNodeFiles(dir),
    key,
    clock: Date,
    random,
  });
  store.checkIntegrity();
  store.close();
}

describe("a store", { timeout: 180_000 }, () => {
  it("that was made in Node opens in a browser, goes on there, and comes back whole", async () => {
    await using product = await startProduct();
    using place = new Place();
    const person = await product.person(product.profile("ana"), { expectedErrors: networkTrouble });
    await openApp(person.page, product.address);
    const beside = await person.newTab();
    await beside.goto(`${product.address}relay.json`);
    // From here on no note leaves this browser: what comes back came in the files.
    product.proxy.setMode("cut");
    await person.page.close();
    await nobodyLeads(beside);

    const home = place.at("home");
    mkdirSync(home, { mode: 0o700 });
    const key = Uint8Array.from(await keyInBrowser(beside));
    writeFileSync(join(home, "key"), key, { mode: 0o600 });
    await makeHome(home, ["Made in Node"]);
    await writeOpfs(beside, filesOf(home));
    expect(await readOpfs(beside)).toEqual(filesOf(home));

    const tab = await person.newTab();
    await openApp(tab, product.address);
    await parts(tab).list.getByText("Made in Node").first().click();
    await expect.poll(() => bodyText(tab)).toBe("Text of Made in Node.");
    await typeAfter(tab, "in Node.", " Gone on in a browser.");
    await parts(tab).list.getByText("Gone on in a browser.").first().waitFor();
    await tab.close();
    await nobodyLeads(beside);

    writeHome(home, await readOpfs(beside));
    await checkIntegrity(home);
    const text = "Text of Made in Node. Gone on in a browser.";
    await inHome(home, async (device) => {
      const [row] = await device.notes();
      expect((await device.readNote(row?.id ?? "")).body).toBe(text);
      await device.createNote({ title: "Back in Node", body: "again" });
    });
    await writeOpfs(beside, filesOf(home));
    const last = await person.newTab();
    await openApp(last, product.address);
    await parts(last).list.getByText("Back in Node").first().click();
    await expect.poll(() => bodyText(last)).toBe("again");
    await parts(last).list.getByText("Made in Node").first().click();
    await expect.poll(() => bodyText(last)).toBe(text);
  });
});
