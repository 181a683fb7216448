/** A real Chromium for tests: found on this machine or installed, and a person sitting in front of it. */
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright";
import type { BrowserContext, Page } from "playwright";

/** Quiet, offline but for what a test does, and able to run as root in a container. */
export const launchArguments: readonly string[] = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const PROGRAMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The path of a Chromium, installing Debian's package if there is none and we may; null if we may not. */
export function findOrInstallBrowser(): string | null {
  const found = browserOfThisMachine();
  if (found !== null) return found;
  installDebianChromium();
  return onPath("chromium");
}

/** {@link findOrInstallBrowser}, or an error that says what to install. */
export function findBrowser(): string {
  const found = findOrInstallBrowser();
  if (found !== null) return found;
  throw new Error(
    "The tests need Chromium and found none. Install it (Debian: apt-get install chromium; anywhere: " +
      "npx playwright install chromium) or set SEALEAF_CHROMIUM to the path of one.",
  );
}

function browserOfThisMachine(): string | null {
  const chosen = process.env["SEALEAF_CHROMIUM"];
  if (chosen !== undefined && chosen !== "") {
    if (existsSync(chosen)) return chosen;
    throw new Error(`SEALEAF_CHROMIUM names ${chosen}, which does not exist.`);
  }
  for (const program of PROGRAMS) {
    const found = onPath(program);
    if (found !== null) return found;
  }
  const downloaded = chromium.executablePath();
  return existsSync(downloaded) ? downloaded : null;
}

function onPath(program: string): string | null {
  for (const folder of (process.env["PATH"] ?? "").split(path.delimiter)) {
    const candidate = path.join(folder, program);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here.
    }
  }
  return null;
}

function installDebianChromium(): void {
  if (process.getuid?.() !== 0 || onPath("apt-get") === null) return;
  const options = { stdio: "inherit", timeout: 300_000 } as const;
  try {
    execFileSync("apt-get", ["update", "-q"], options);
    execFileSync(
      "apt-get",
      ["install", "-q", "-y", "--no-install-recommends", "chromium"],
      options,
    );
  } catch {
    // The caller looks again and says what to install.
  }
}

export interface PersonOptions {
  /** Messages a test provokes on purpose (a relay that is down); everything else fails it. */
  readonly expectedErrors?: readonly RegExp[];
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: "light" | "dark";
  /** No transitions: what is looked at has arrived. */
  readonly reducedMotion?: boolean;
  /** Pages left are kept aside and come back as they were, as in any browser but a driven one. */
  readonly pageCache?: boolean;
  /** More of the browser's own switches. */
  readonly switches?: readonly string[];
}

/** One browser profile. Use with `await using`: leaving the scope closes it and fails on unexpected errors. */
export interface Person extends AsyncDisposable {
  readonly context: BrowserContext;
  readonly page: Page;
  newTab(): Promise<Page>;
  /** Console errors, page errors and policy violations so far that were not expected. */
  unexpectedErrors(): readonly string[];
  /** Closes the browser; throws if anything unexpected was reported. */
  close(): Promise<void>;
}

/** Launch again on the same `profileDir` for an honest second visit. */
export async function launchPerson(
  profileDir: string,
  options: PersonOptions = {},
): Promise<Person> {
  const {
    expectedErrors = [],
    viewport,
    colorScheme,
    reducedMotion = false,
    pageCache = false,
    switches = [],
  } = options;
  const context = await chromium.launchPersistentContext(profileDir, {
    executablePath: findBrowser(),
    args: [...launchArguments, ...switches],
    headless: true,
    ...(pageCache && { ignoreDefaultArgs: ["--disable-back-forward-cache"] }),
    ...(viewport && { viewport }),
    ...(colorScheme && { colorScheme }),
    ...(reducedMotion && { reducedMotion: "reduce" as const }),
  });
  const errors: string[] = [];

  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => {
      console.error(`policy violation: ${violatedDirective} blocked ${blockedURI}`);
    });
  });
  context.on("console", (message) => {
    if (message.type() === "error") errors.push(`${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) => errors.push(String(error.error().stack ?? error.error())));

  const unexpectedErrors = (): string[] =>
    errors.filter((error) => !expectedErrors.some((expected) => expected.test(error)));

  let closed = false;
  async function close(): Promise<void> {
    if (closed) return;
    closed = true;
    await context.close();
    const unexpected = unexpectedErrors();
    if (unexpected.length > 0) throw new Error(`the browser reported:\n${unexpected.join("\n")}`);
  }

  return {
    context,
    page: context.pages()[0] ?? (await context.newPage()),
    newTab: () => context.newPage(),
    unexpectedErrors,
    close,
    [Symbol.asyncDispose]: close,
  };
}
