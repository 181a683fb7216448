/** A real WebKitGTK for tests, through W3C WebDriver, and a person sitting in front of it. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { onTestFinished } from "vitest";
import type { EnginePage } from "./engine-page.ts";
import { webkitPrograms } from "./engines.ts";
import { Targets } from "./processes.ts";
import { lookFor, within } from "./time-limit.ts";

const callLimitMs = 20_000;
const startLimitMs = 60_000;
/** As this WebKit is shipped, it has no `navigator.storage` at all. */
export const webkitStorageFeatures: readonly string[] = [
  "FileSystem",
  "AccessHandle",
  "StorageAPI",
  "StorageAPIEstimate",
  "FileSystemWritableStream",
];

/** What WebKit reports when the relay is away: provoked here on purpose. */
export const webkitNetworkTrouble: readonly RegExp[] = [
  /WebSocket connection to .* failed/,
  /WebSocket network error/,
  /Could not connect to/,
];

/** This build installs no web applications and does not know the directive that protects their manifest. */
const knownGaps = [/Unrecognized Content-Security-Policy directive 'manifest-src'/];

export interface WebkitOptions {
  /** Messages a test provokes on purpose; everything else fails it. */
  readonly expectedErrors?: readonly RegExp[];
  /** Runtime features to switch on. */
  readonly features?: readonly string[];
}

/** One profile. Use with `await using`: leaving the scope closes it and fails on unexpected errors. */
export interface WebkitPerson extends AsyncDisposable {
  readonly page: EnginePage;
  /** A picture of the page as PNG. */
  screenshot(): Promise<Buffer>;
  unexpectedErrors(): readonly string[];
  /** Closes the browser; throws if anything unexpected was reported. */
  close(): Promise<void>;
}

/** Launch again on the same `profileDir` for a second visit. */
export async function launchWebkit(
  profileDir: string,
  options: WebkitOptions = {},
): Promise<WebkitPerson> {
  const { expectedErrors = [], features = [] } = options;
  const screen = await startScreen();
  const errors: string[] = [];
  const driver = await startDriver(screen.display, errors);
  let session: Session;
  try {
    session = await startSession(driver.address, profileDir, features);
  } catch (error) {
    await end(driver.child);
    await end(screen.child);
    throw error;
  }

  const unexpectedErrors = (): string[] =>
    errors.filter(
      (error) => ![...knownGaps, ...expectedErrors].some((expected) => expected.test(error)),
    );

  let ended = false;
  // A test that fails half-way leaves no browser behind.
  onTestFinished(async () => {
    if (ended) return;
    await end(driver.child);
    await end(screen.child);
  });
  async function close(): Promise<void> {
    if (ended) return;
    ended = true;
    try {
      await session.send("DELETE", "");
    } finally {
      await end(driver.child);
      await end(screen.child);
    }
    const unexpected = unexpectedErrors();
    if (unexpected.length > 0) throw new Error(`WebKit reported:\n${unexpected.join("\n")}`);
  }

  return {
    page: enginePage(session, close),
    screenshot: async () => Buffer.from(String(await session.send("GET", "/screenshot")), "base64"),
    unexpectedErrors,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A screen nobody sees, on a number of its own choice. */
async function startScreen(): Promise<{ readonly child: ChildProcess; readonly display: string }> {
  const child = spawn(
    webkitPrograms.screen,
    ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
    { stdio: ["ignore", "ignore", "ignore", "pipe"] },
  );
  // The fourth of its streams, asked for above.
  const announced = child.stdio[3] as Readable;
  const [bytes] = (await within(startLimitMs, "starting Xvfb", once(announced, "data"))) as [
    Buffer,
  ];
  return { child, display: `:${bytes.toString().trim()}` };
}

async function startDriver(
  display: string,
  errors: string[],
): Promise<{ readonly child: ChildProcess; readonly address: string }> {
  const port = await freePort();
  const child = spawn(webkitPrograms.driver, [`--port=${port}`, "--host=127.0.0.1"], {
    env: { ...process.env, DISPLAY: display, NO_AT_BRIDGE: "1", LIBGL_ALWAYS_SOFTWARE: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr]) collectErrors(stream, errors);
  const address = `http://127.0.0.1:${port}`;
  const isReady = await lookFor(startLimitMs, () =>
    fetch(`${address}/status`).then(
      () => true,
      () => null,
    ),
  );
  if (isReady === null) throw new Error(`WebKitWebDriver does not answer in ${startLimitMs} ms`);
  return { child, address };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a listening TCP server has one of this form
  server.close();
  await once(server, "close");
  return port;
}

function collectErrors(stream: Readable, errors: string[]): void {
  createInterface({ input: stream }).on("line", (line) => {
    if (/CONSOLE (?:\w+ )?ERROR /.test(line)) errors.push(line);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid !== undefined) await Targets.family(child.pid).kill();
}

interface Session {
  send(method: "GET" | "POST" | "DELETE", path: string, body?: object): Promise<unknown>;
}

async function startSession(
  address: string,
  profileDir: string,
  features: readonly string[],
): Promise<Session> {
  const browser = join(import.meta.dirname, "webkit-browser.py");
  const started = await request(`${address}/session`, "POST", startLimitMs, {
    capabilities: {
      alwaysMatch: {
        "webkitgtk:browserOptions": {
          binary: webkitPrograms.python,
          args: [browser, profileDir, features.join(",")],
        },
      },
    },
  });
  // https://www.w3.org/TR/webdriver2/#new-session
  const { sessionId } = started as { sessionId: string };
  return {
    send: (method, path, body) =>
      request(`${address}/session/${sessionId}${path}`, method, callLimitMs, body),
  };
}

/** The value of the answer; throws what the driver calls an error. */
async function request(
  url: string,
  method: string,
  limitMs: number,
  body?: object,
): Promise<unknown> {
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(limitMs),
    ...(method === "POST" && { body: JSON.stringify(body ?? {}) }),
  });
  const { value } = (await response.json()) as { value: unknown };
  if (response.ok) return value;
  const { error, message } = value as { error: string; message: string };
  throw new Error(`WebKit: ${error}: ${message}`);
}

// https://www.w3.org/TR/webdriver2/#keyboard-actions
const keyCodes = { Escape: "\uE00C", Enter: "\uE007", Backspace: "\uE003" } as const;

function enginePage(session: Session, close: () => Promise<void>): EnginePage {
  const press = async (keys: Iterable<string>): Promise<void> => {
    const actions = [...keys].flatMap((value) => [
      { type: "keyDown", value },
      { type: "keyUp", value },
    ]);
    await session.send("POST", "/actions", {
      actions: [{ type: "key", id: "keyboard", actions }],
    });
  };
  return {
    goto: async (url) => {
      await session.send("POST", "/url", { url });
    },
    reload: async () => {
      await session.send("POST", "/refresh");
    },
    evaluate: (act, ...args) => runScript(session, String(act), args) as never, // JSON of what it returned
    clickAt: async (x, y) => {
      const at = { type: "pointerMove", x: Math.round(x), y: Math.round(y), duration: 0 };
      const actions = [at, { type: "pointerDown", button: 0 }, { type: "pointerUp", button: 0 }];
      await session.send("POST", "/actions", {
        actions: [{ type: "pointer", id: "mouse", actions }],
      });
    },
    type: (text) => press(text.replaceAll("\n", keyCodes.Enter)),
    press: (key) => press([keyCodes[key]]),
    close,
  };
}

async function runScript(
  session: Session,
  source: string,
  args: readonly unknown[],
): Promise<unknown> {
  const script = `
    const [args, done] = arguments;
    (async () => (${source})(...args))().then(
      (value) => done(JSON.stringify({ value: value ?? null })),
      (error) => done(JSON.stringify({ error: String(error) })),
    );`;
  const answer = await session.send("POST", "/execute/async", { script, args: [args] });
  const outcome = JSON.parse(String(answer)) as { value?: unknown; error?: string };
  if (outcome.error !== undefined) throw new Error(`in the page: ${outcome.error}`);
  return outcome.value;
}
