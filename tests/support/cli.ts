/** The command line as it is shipped, run as people run it: one process per command. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const program = resolve(import.meta.dirname, "../../dist/sealeaf.js");

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Before a program, makes it obey the rights of files as other users than root do. */
const obeying = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] as const;

/** As {@link run}, by somebody whom the rights of files stop. */
export function runWithoutPrivileges(args: readonly string[]): Ran {
  const [command, ...before] =
    process.getuid?.() === 0 ? ([...obeying, process.execPath] as const) : [process.execPath];
  const done = spawnSync(command, [...before, program, ...args], { encoding: "utf8", input: "" });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

/** Runs `sealeaf` with these arguments to its end. */
export async function run(
  args: readonly string[],
  input: string | Uint8Array = "",
  cwd: string = process.cwd(),
): Promise<Ran> {
  const child = spawn(process.execPath, [program, ...args], { stdio: "pipe", cwd });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (part: Buffer) => stdout.push(part));
  child.stderr.on("data", (part: Buffer) => stderr.push(part));
  // A command that wants no input may be over before it could be given any.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  await once(child, "close");
  return {
    code: child.exitCode,
    stdout: Buffer.concat(stdout).toString("utf8"),
    stderr: Buffer.concat(stderr).toString("utf8"),
  };
}

export interface ListedNote {
  readonly id: string;
  readonly title: string;
  readonly notebook: string;
  readonly updatedAt: number;
  readonly state: "saved-here" | "on-relay" | "seen-elsewhere";
}

export interface ReadNote {
  readonly id: string;
  readonly title: string;
  readonly body: string;
  readonly heads: readonly string[];
}

/** One person's home directory. */
export class Home implements Disposable {
  readonly dir: string;
  readonly #root: string | null;

  /** @param dir deleted in the end only if it is left to this home to choose it */
  constructor(dir: string | null = null) {
    this.#root = dir === null ? mkdtempSync(join(tmpdir(), "sealeaf-home-")) : null;
    this.dir = dir ?? join(this.#root ?? "", "home");
  }

  run(args: readonly string[], input: string | Uint8Array = "", cwd?: string): Promise<Ran> {
    return run(["--home", this.dir, ...args], input, cwd);
  }

  /** What a command that succeeds prints with --json; its type is the caller's word. */
  async json<T>(args: readonly string[], input: string | Uint8Array = ""): Promise<T> {
    const { code, stdout, stderr } = await this.run(["--json", ...args], input);
    if (code !== 0) throw new Error(`sealeaf ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** A home with an identity; returns its words. */
  async init(relay: string | null = null): Promise<string> {
    const options = relay === null ? [] : ["--relay", relay];
    return (await this.json<{ phrase: string }>([...options, "init"])).phrase;
  }

  list(): Promise<readonly ListedNote[]> {
    return this.json(["ls"]);
  }

  read(id: string): Promise<ReadNote> {
    return this.json(["cat", id]);
  }

  async write(title: string, body: string): Promise<string> {
    return (await this.json<{ id: string }>(["new", "--title", title], body)).id;
  }

  [Symbol.dispose](): void {
    if (this.#root !== null) rmSync(this.#root, { recursive: true, force: true });
  }
}

export interface WatchEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** A running `sealeaf watch`; killed in the end if it still runs. */
export class Watch implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly events: WatchEvent[] = [];
  readonly ended: Promise<unknown>;
  readonly #waiting = new Set<() => void>();
  #stderr = "";

  private constructor(home: Home, args: readonly string[]) {
    const child = spawn(process.execPath, [program, "--home", home.dir, ...args, "watch"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    this.ended = once(child, "close");
    child.stderr.on("data", (part: Buffer) => (this.#stderr += part.toString()));
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.events.push(JSON.parse(line) as WatchEvent);
      for (const look of this.#waiting) look();
    });
  }

  /** Resolves when it watches. */
  static async start(home: Home, args: readonly string[] = []): Promise<Watch> {
    const watch = new Watch(home, args);
    await watch.seen(({ type }) => type === "watching");
    return watch;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The first event, come or coming, that is wanted. */
  seen(wanted: (event: WatchEvent) => boolean): Promise<WatchEvent> {
    return new Promise((found, failed) => {
      const look = (): void => {
        const event = this.events.find(wanted);
        if (event === undefined) return;
        this.#waiting.delete(look);
        found(event);
      };
      this.#waiting.add(look);
      void this.ended.then(() => failed(new Error(`watch ended: ${this.#stderr}`)));
      look();
    });
  }

  /** Ends it with a signal; answers its exit code, null if the signal killed it. */
  async stop(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    await this.ended;
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.stop("SIGKILL");
  }
}
