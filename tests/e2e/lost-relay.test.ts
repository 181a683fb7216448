/** A relay whose data is replaced by an old copy, and then by nothing, gets everything back from the devices (P6). */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { launchPerson } from "#tests/support/browser.ts";
import { endProcess, startRelayProcess, type RelayProcess } from "#tests/support/built-relay.ts";
import { Home, Watch } from "#tests/support/cli.ts";
import {
  bodyText,
  networkTrouble,
  openApp,
  parts,
  readWords,
  typeAfter,
} from "#tests/support/product.ts";

const program = resolve(import.meta.dirname, "../../dist/sealeaf-relay.js");
const message = "The relay lost some recent data. This device has put it back.";

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** The shipped relay with its SQLite file, on one port whatever becomes of its data. */
class Relay implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), "sealeaf-lost-"));
  readonly data = join(this.root, "data");
  readonly #port: number;
  #running: RelayProcess | null = null;

  constructor(port: number) {
    this.#port = port;
  }

  get address(): string {
    return `http://localhost:${this.#port}/`;
  }

  async start(): Promise<void> {
    this.#running = await startRelayProcess(program, {
      SEALEAF_DATA: this.data,
      SEALEAF_PORT: String(this.#port),
    });
  }

  async stop(): Promise<void> {
    if (this.#running !== null) await endProcess(this.#running.child, "SIGTERM");
    this.#running = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Of the relay alone: of each device that reads the relay's notes they are told as well. */
function noticesOf(watch: Watch): readonly unknown[] {
  const texts = watch.events.flatMap(({ type, text }) => (type === "notice" ? [text] : []));
  return texts.filter((text) => String(text).startsWith("The relay"));
}

async function append(home: Home, id: string, text: string): Promise<void> {
  const { body, heads } = await home.read(id);
  const { code, stderr } = await home.run(
    ["edit", id, "--base", heads.join(",")],
    `${body}${text}`,
  );
  if (code !== 0) throw new Error(stderr);
}

/** A new device of the person finds all of it at the relay, and nothing else. @param by what the texts stand under */
async function expectAtRelay(
  relay: Relay,
  phrase: string,
  by: "id" | "title",
  bodies: ReadonlyMap<string, string>,
): Promise<void> {
  using fresh = new Home();
  const { code, stderr } = await fresh.run(["--relay", relay.address, "restore"], phrase);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  await expect
    .poll(
      async () => {
        await fresh.run(["sync"]);
        const rows = await fresh.list();
        const read = rows.map(async (row) => [row[by], (await fresh.read(row.id)).body] as const);
        return new Map(await Promise.all(read).catch(() => []));
      },
      { timeout: 90_000, interval: 1_000 },
    )
    .toEqual(bodies);
}

describe("the shipped relay and two devices that stay connected", { timeout: 400_000 }, () => {
  it("hold everything again after yesterday's copy took its place, and after it was emptied, with one message each time", async () => {
    await using relay = new Relay(await freePort());
    await relay.start();
    using ana = new Home();
    using ben = new Home();
    const phrase = await ana.init(relay.address);
    const early = await ana.write("Early", "one");
    await ana.run(["sync"]);
    const restored = await ben.run(["--relay", relay.address, "restore"], phrase);
    expect(restored).toMatchObject({ code: 0 });
    await using anas = await Watch.start(ana);
    await using bens = await Watch.start(ben);
    await expect.poll(() => bodyIn(ben, early), { timeout: 30_000 }).toBe("one");

    await relay.stop();
    const yesterday = join(relay.root, "yesterday");
    cpSync(relay.data, yesterday, { recursive: true });
    await relay.start();
    await append(ana, early, " two");
    const late = await ana.write("Late", "only since yesterday");
    await expect.poll(() => bodyIn(ben, early), { timeout: 90_000 }).toBe("one two");
    await append(ben, early, " three");
    await expect.poll(() => bodyIn(ana, early), { timeout: 30_000 }).toBe("one two three");
    await expect.poll(() => bodyIn(ben, late), { timeout: 30_000 }).toBe("only since yesterday");
    const bodies = new Map([
      [early, "one two three"],
      [late, "only since yesterday"],
    ]);

    for (const loss of ["an old copy", "nothing"]) {
      const before = [anas, bens].map((watch) => noticesOf(watch).length);
      await relay.stop();
      rmSync(relay.data, { recursive: true });
      if (loss === "an old copy") cpSync(yesterday, relay.data, { recursive: true });
      await relay.start();
      await expect
        .poll(() => [...noticesOf(anas), ...noticesOf(bens)].length, { timeout: 120_000 })
        .toBeGreaterThan(before.reduce((sum, told) => sum + told, 0));
      await expectAtRelay(relay, phrase, "id", bodies);
      for (const [ix, watch] of [anas, bens].entries()) {
        const told = noticesOf(watch).slice(before[ix]);
        expect(told.length).toBeLessThanOrEqual(1);
        expect(told.every((text) => text === message)).toBe(true);
      }
      for (const home of [ana, ben]) {
        for (const [id, body] of bodies) expect(await bodyIn(home, id)).toBe(body);
      }
    }
  });

  it(
    "has everything again, the same in two browsers that stayed open, each with one message at most",
    { timeout: 400_000 },
    async () => {
      await using relay = new Relay(await freePort());
      await relay.start();
      const options = { expectedErrors: networkTrouble };
      await using ana = await launchPerson(join(relay.root, "ana"), options);
      await using ben = await launchPerson(join(relay.root, "ben"), options);
      const pages = [ana.page, ben.page];
      for (const page of pages) await keepNotices(page);
      await openApp(ana.page, relay.address);
      await writeNote(ana.page, "Early", "one");
      await isUpToDate(ana.page);
      const words = await readWords(ana.page);
      await openApp(ben.page, relay.address);
      await restore(ben.page, words);
      await openNote(ben.page, "Early");
      await expect.poll(() => bodyText(ben.page), patience).toBe("one");

      await relay.stop();
      const yesterday = join(relay.root, "yesterday");
      cpSync(relay.data, yesterday, { recursive: true });
      await relay.start();
      await typeAfter(ana.page, "one", " two");
      await writeNote(ana.page, "Late", "only since yesterday");
      await expect.poll(() => bodyText(ben.page), patience).toBe("one two");
      await typeAfter(ben.page, "two", " three");
      await openNote(ana.page, "Early");
      await expect.poll(() => bodyText(ana.page), patience).toBe("one two three");
      for (const page of pages) await isUpToDate(page);
      const bodies = new Map([
        ["Early", "one two three"],
        ["Late", "only since yesterday"],
      ]);

      for (const loss of ["an old copy", "nothing"]) {
        await relay.stop();
        for (const page of pages) await page.evaluate("globalThis.notices.length = 0");
        rmSync(relay.data, { recursive: true });
        if (loss === "an old copy") cpSync(yesterday, relay.data, { recursive: true });
        await relay.start();
        await expect.poll(async () => (await toldOf(pages)).flat().length, patience).not.toBe(0);
        await expectAtRelay(relay, words.join(" "), "title", bodies);
        for (const page of pages) {
          await isUpToDate(page);
          for (const [title, body] of bodies) {
            await openNote(page, title);
            await expect.poll(() => bodyText(page), patience).toBe(body);
          }
          expect(await parts(page).list.getByRole("listitem").count()).toBe(bodies.size);
        }
        for (const told of await toldOf(pages)) {
          expect(told.length).toBeLessThanOrEqual(1);
          expect(told.every((text) => text === message)).toBe(true);
        }
      }
    },
  );
});

const patience = { timeout: 120_000 };

/** Keeps what the app has told in notices since it was opened, also when they are gone again. */
async function keepNotices(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const notices: string[] = [];
    Object.assign(globalThis, { notices });
    const seen = new WeakSet<Element>();
    const look = (): void => {
      for (const notice of document.querySelectorAll(".notice > p")) {
        if (!seen.has(notice)) notices.push(notice.textContent);
        seen.add(notice);
      }
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
  });
}

/** What each was told of the relay. */
async function toldOf(pages: readonly Page[]): Promise<readonly (readonly string[])[]> {
  const all = await Promise.all(
    pages.map((page) => page.evaluate<readonly string[]>("globalThis.notices")),
  );
  return all.map((texts) => texts.filter((text) => text.startsWith("The relay")));
}

async function writeNote(page: Page, title: string, body: string): Promise<void> {
  await parts(page).newNote.click();
  await parts(page).title.fill(title);
  await parts(page).body.click();
  await page.keyboard.type(body);
  await parts(page).list.getByText(title).waitFor();
}

async function openNote(page: Page, title: string): Promise<void> {
  await parts(page).list.getByText(title, { exact: true }).click();
  await expect.poll(() => parts(page).title.inputValue(), patience).toBe(title);
}

async function isUpToDate(page: Page): Promise<void> {
  await expect.poll(() => parts(page).status.innerText(), patience).toContain("Up to date");
}

async function restore(page: Page, words: readonly string[]): Promise<void> {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: /with your words/ }).click();
  await page.getByRole("textbox", { name: "Recovery words" }).fill(words.join(" "));
  await page.getByRole("button", { name: "Look what they open" }).click();
  await page.getByRole("button", { name: "Bring back my notes" }).click();
}

async function bodyIn(home: Home, id: string): Promise<string | null> {
  const { code, stdout } = await home.run(["--json", "cat", id]);
  return code === 0 ? (JSON.parse(stdout) as { body: string }).body : null;
}
