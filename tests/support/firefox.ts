/** A real Firefox for tests, through WebDriver BiDi, and a person sitting in front of it. */
import { once } from "node:events";
import { readdirSync, watch } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { onTestFinished } from "vitest";
import puppeteer from "puppeteer-core";
import type { Browser, Page } from "puppeteer-core";
import type { EnginePage } from "./engine-page.ts";
import { firefoxProgram } from "./engines.ts";
import { Targets } from "./processes.ts";
import { within } from "./time-limit.ts";

const callLimitMs = 20_000;
const startLimitMs = 60_000;

export interface FirefoxOptions {
  /** Messages a test provokes on purpose (a relay that is down); everything else fails it. */
  readonly expectedErrors?: readonly RegExp[];
  /** Every window is a private one. */
  readonly isPrivate?: boolean;
}

/** One profile. Use with `await using`: leaving the scope closes it and fails on unexpected errors. */
export interface FirefoxPerson extends AsyncDisposable {
  readonly page: EnginePage;
  newTab(): Promise<EnginePage>;
  /** What pages and their workers reported so far and nobody expected. */
  unexpectedErrors(): readonly string[];
  /** Closes the browser; throws if anything unexpected was reported. */
  close(): Promise<void>;
  /** `kill -9`, of the whole browser or of the pages' processes first; resolves when nothing of it runs. */
  kill(first: "pages" | "everything"): Promise<void>;
}

/** What Firefox reports when the relay is away: provoked here on purpose. */
export const firefoxNetworkTrouble: readonly RegExp[] = [
  /can’t establish a connection to the server at ws:/,
  /The connection to ws:.* was interrupted/,
  /NetworkError when attempting to fetch resource/,
  /Failed to (?:load|update|register)/,
];

/** Launch again on the same `profileDir` for an honest second visit. */
export async function launchFirefox(
  profileDir: string,
  options: FirefoxOptions = {},
): Promise<FirefoxPerson> {
  const { expectedErrors = [], isPrivate = false } = options;
  const browser = await within(
    startLimitMs,
    "starting Firefox",
    puppeteer.launch({
      browser: "firefox",
      executablePath: firefoxProgram,
      headless: true,
      userDataDir: profileDir,
      extraPrefsFirefox: {
        // The measured times are not rounded, and no prompt waits for somebody to answer it.
        "privacy.reduceTimerPrecision": false,
        "permissions.default.persistent-storage": 1,
        // The only way to hear of a worker's errors.
        "devtools.console.stdout.content": true,
        "browser.dom.window.dump.enabled": true,
        "browser.privatebrowsing.autostart": isPrivate,
      },
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    }),
  );
  const errors: string[] = [];
  const child = browser.process();
  if (child === null || child.pid === undefined) throw new Error("Firefox has no process");
  const { pid } = child;
  for (const stream of [child.stdout, child.stderr]) {
    if (stream !== null) collectErrors(stream, errors);
  }

  const unexpectedErrors = (): string[] =>
    errors.filter((error) => !expectedErrors.some((expected) => expected.test(error)));

  let ended = false;
  // A test that fails half-way leaves no browser behind.
  onTestFinished(async () => {
    if (!ended) await Targets.family(pid).kill();
  });
  async function close(): Promise<void> {
    if (ended) return;
    ended = true;
    // Closing cuts a page's script off in the middle, without its `finally`: what goes wrong in that page from here on
    // says nothing about the product.
    const unexpected = unexpectedErrors();
    try {
      await within(callLimitMs, "closing Firefox", browser.close());
    } finally {
      await Targets.family(pid).kill();
    }
    if (unexpected.length > 0) throw new Error(`Firefox reported:\n${unexpected.join("\n")}`);
  }

  async function kill(first: "pages" | "everything"): Promise<void> {
    ended = true;
    const browserWhole = Targets.family(pid);
    if (first === "pages") await Targets.contentProcesses(pid).kill();
    await browserWhole.kill();
    await within(callLimitMs, "noticing that Firefox has ended", browser.close());
    // The driver puts back the preferences that it had set aside, by and by, and says nothing when it has: the next start
    // must not meet that half done.
    await within(callLimitMs, "the driver's tidying of the profile", tidied(profileDir));
  }

  const newTab = async (): Promise<EnginePage> => open(browser, errors);
  return {
    page: await newTab(),
    newTab,
    unexpectedErrors,
    close,
    kill,
    [Symbol.asyncDispose]: close,
  };
}

/** Resolves when the driver keeps no file of a profile beside one of its own any more. */
async function tidied(profileDir: string): Promise<void> {
  const isTidy = (): boolean =>
    !readdirSync(profileDir).some((name) => name.endsWith(".js.puppeteer"));
  const watcher = watch(profileDir);
  try {
    while (!isTidy()) await once(watcher, "change");
  } finally {
    watcher.close();
  }
}

function collectErrors(stream: Readable, errors: string[]): void {
  createInterface({ input: stream }).on("line", (line) => {
    // The browser's own interface is made of scripts too, and theirs is not our trouble. Their consoles
    // have names ("console.error: RSLoader: "), while what a page prints begins with a quote or a bracket.
    const isOwn =
      /^JavaScript error: (?:resource|chrome|moz-\w+):/.test(line) ||
      /^console\.error: [\w.-]+: /.test(line);
    if (/^(?:console\.error|JavaScript error)/.test(line) && !isOwn) errors.push(line);
  });
}

async function open(browser: Browser, errors: string[]): Promise<EnginePage> {
  const tab = await within(callLimitMs, "a new tab", browser.newPage());
  tab.on("pageerror", (error) => errors.push(String(error)));
  await within(
    callLimitMs,
    "preparing a tab",
    tab.evaluateOnNewDocument(() => {
      document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
        console.error(`policy violation: ${violatedDirective} blocked ${blockedURI}`);
      });
    }),
  );
  return enginePage(tab);
}

function enginePage(tab: Page): EnginePage {
  const limited = <Result>(what: string, work: Promise<Result>): Promise<Result> =>
    within(callLimitMs, `Firefox: ${what}`, work);
  return {
    goto: async (url) => {
      await limited(`going to ${url}`, tab.goto(url));
    },
    reload: async () => {
      await limited("reloading", tab.reload());
    },
    // Puppeteer's own types say the same in other words.
    evaluate: (act, ...args) =>
      limited(
        "running a script",
        tab.evaluate(act as never, ...(args as unknown as never[])),
      ) as never,
    clickAt: (x, y) => limited("a click", tab.mouse.click(x, y)),
    type: (text) => limited("typing", tab.keyboard.type(text)),
    press: (key) => limited(`pressing ${key}`, tab.keyboard.press(key)),
    close: () => limited("closing a tab", tab.close()),
  };
}
