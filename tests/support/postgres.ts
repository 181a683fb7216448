/**
 * A real PostgreSQL for tests: the server at `SEALEAF_TEST_POSTGRES`, or one started here from
 * installed binaries, in a temporary folder, on a free port of loopback, gone when the test is. As
 * root it runs as another user: PostgreSQL refuses to be run by root.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  accessSync,
  chownSync,
  constants,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { Client } from "pg";

export interface TestPostgres {
  /** An empty database of its own: a `postgres://` address with its password. */
  createDatabase(): Promise<string>;
  /** Ends the server and removes all of it; of a server that was given, the databases made here. */
  stop(): Promise<void>;
}

/** A server that was started here, and so may be killed. */
export interface OwnPostgres extends TestPostgres {
  /** Ends the server as a crash would (SIGKILL), and waits until nothing of it runs. */
  kill(): Promise<void>;
  /** After `kill`: recovers and listens on the same port. */
  restart(): Promise<void>;
}

/** Rejects, saying why, when no server can be had: tests on PostgreSQL are never skipped. */
export async function startPostgres(): Promise<TestPostgres> {
  const given = process.env["SEALEAF_TEST_POSTGRES"] ?? "";
  // Only a power cut could tell the difference, and the tests would wait for the disk.
  return given === "" ? await startOwnPostgres({ fsync: false }) : new GivenServer(given);
}

/** Always a server of its own. */
export async function startOwnPostgres(options: {
  /** Whether what is committed reaches the disk at once. */
  readonly fsync: boolean;
}): Promise<OwnPostgres> {
  const cluster = new Cluster(findBinaries(), options.fsync);
  try {
    await cluster.restart();
  } catch (error) {
    cluster.remove();
    throw error;
  }
  return cluster;
}

class GivenServer implements TestPostgres {
  readonly #address: string;
  readonly #databases: string[] = [];

  constructor(address: string) {
    this.#address = address;
  }

  async createDatabase(): Promise<string> {
    const name = freshName();
    await execute(this.#address, `CREATE DATABASE ${name}`);
    this.#databases.push(name);
    return inDatabase(this.#address, name);
  }

  async stop(): Promise<void> {
    for (const name of this.#databases) {
      await execute(this.#address, `DROP DATABASE ${name} WITH (FORCE)`);
    }
  }
}

const oldestVersion = 15;
const startAttempts = 3;

class Cluster implements OwnPostgres {
  readonly #bin: string;
  readonly #fsync: boolean;
  readonly #dir: string;
  readonly #user: RunAs | null;
  readonly #password = randomBytes(12).toString("hex");
  #port = 0;
  #server: ChildProcess | null = null;

  constructor(bin: string, fsync: boolean) {
    this.#bin = bin;
    this.#fsync = fsync;
    this.#user = process.getuid?.() === 0 ? unprivilegedUser() : null;
    this.#dir = mkdtempSync(join(tmpdir(), "sealeaf-postgres-"));
    const passwordFile = join(this.#dir, "password");
    writeFileSync(passwordFile, this.#password);
    if (this.#user !== null) {
      for (const path of [this.#dir, passwordFile]) {
        chownSync(path, this.#user.uid, this.#user.gid);
      }
    }
    const args = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"];
    try {
      execFileSync(
        join(bin, "initdb"),
        [...args, "-U", "sealeaf", `--pwfile=${passwordFile}`, "-D", this.#dataDir],
        { ...this.#user, cwd: this.#dir, env: {}, stdio: "pipe" },
      );
    } catch (error) {
      this.remove();
      throw new Error(`PostgreSQL in ${bin} cannot make a database: ${outputOf(error)}`, {
        cause: error,
      });
    }
  }

  async createDatabase(): Promise<string> {
    const name = freshName();
    await execute(this.#address, `CREATE DATABASE ${name}`);
    return inDatabase(this.#address, name);
  }

  async kill(): Promise<void> {
    const server = this.#server;
    const children = childrenOf(server?.pid);
    // What the server said ends when nobody is left who could say more: its children write to the same pipe.
    const silent = server === null ? Promise.resolve() : once(server, "close");
    await this.#end("SIGKILL");
    // They would serve their connections for another moment.
    for (const pid of children) endNow(pid);
    await silent;
  }

  async restart(): Promise<void> {
    let said = "";
    for (let attempt = 1; attempt <= startAttempts; attempt += 1) {
      if (this.#port === 0) this.#port = await freePort();
      said = await this.#start();
      if (said === "") return;
      // A port that was free may be taken meanwhile.
      if (!/could not bind|Address already in use/.test(said)) break;
      this.#port = 0;
    }
    throw new Error(`PostgreSQL in ${this.#bin} does not start: ${said}`);
  }

  async stop(): Promise<void> {
    await this.#end("SIGQUIT");
    this.remove();
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }

  get #dataDir(): string {
    return join(this.#dir, "data");
  }

  get #address(): string {
    return `postgres://sealeaf:${this.#password}@127.0.0.1:${this.#port}/postgres`;
  }

  /** Empty once it takes connections, or what it said before it ended. */
  async #start(): Promise<string> {
    const settings = [
      ["listen_addresses", "127.0.0.1"],
      ["port", String(this.#port)],
      ["unix_socket_directories", ""],
      ["max_connections", "100"],
      ["shared_buffers", "32MB"],
      ["fsync", this.#fsync ? "on" : "off"],
      ["logging_collector", "off"],
    ].flatMap(([name = "", value = ""]) => ["-c", `${name}=${value}`]);
    const args = ["-D", this.#dataDir, ...settings];
    const [program, ...rest] = endingWithParent(join(this.#bin, "postgres"), args, this.#user);
    const server = spawn(program ?? "", rest, {
      cwd: this.#dir,
      env: { PATH: process.env["PATH"] ?? "", LC_ALL: "C" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    for await (const line of createInterface({ input: server.stderr })) {
      said += `${line}\n`;
      if (!line.includes("ready to accept connections")) continue;
      this.#server = server;
      server.stderr.resume();
      return "";
    }
    return said;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null || server.exitCode !== null || server.signalCode !== null) return;
    const exited = once(server, "exit");
    server.kill(signal);
    await exited;
  }
}

function childrenOf(pid: number | undefined): readonly number[] {
  if (pid === undefined) return [];
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return listed.trim().split(" ").filter(Boolean).map(Number);
}

function endNow(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

/** `postgres` where Debian's package made it, else `nobody`. */
function unprivilegedUser(): RunAs {
  for (const name of ["postgres", "nobody"]) {
    try {
      const [uid, gid] = ["-u", "-g"].map((what) =>
        Number(execFileSync("id", [what, name], { encoding: "utf8", stdio: "pipe" })),
      );
      if (uid !== undefined && gid !== undefined && uid > 0) return { uid, gid };
    } catch {
      // No such user here: the next one.
    }
  }
  throw new Error("PostgreSQL cannot run as root, and there is no user postgres or nobody");
}

/** The command, as this user, so that the system ends the server when this process is killed. */
function endingWithParent(program: string, args: readonly string[], user: RunAs | null): string[] {
  const drop =
    user === null ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"];
  if (user === null && !isOnPath("setpriv")) return [program, ...args];
  return ["setpriv", ...drop, "--pdeathsig", "INT", program, ...args];
}

function findBinaries(): string {
  const packaged = "/usr/lib/postgresql";
  const versions = existsSync(packaged) ? readdirSync(packaged).map(Number) : [];
  const dirs = [
    ...versions.toSorted((a, b) => b - a).map((version) => join(packaged, `${version}/bin`)),
    ...(process.env["PATH"] ?? "").split(delimiter),
    "/usr/local/pgsql/bin",
  ];
  const found = dirs.find((dir) => ["initdb", "postgres"].every((name) => isProgram(dir, name)));
  if (found === undefined) {
    throw new Error(
      "These tests need PostgreSQL 15 or later: apt-get install postgresql, or set SEALEAF_TEST_POSTGRES to the address of a server",
    );
  }
  const said = execFileSync(join(found, "postgres"), ["--version"], { encoding: "utf8" });
  const version = Number(/\d+/.exec(said)?.[0] ?? 0);
  if (version < oldestVersion) {
    throw new Error(`PostgreSQL in ${found} is ${version}: these tests need ${oldestVersion}`);
  }
  return found;
}

function isOnPath(name: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((dir) => isProgram(dir, name));
}

function isProgram(dir: string, name: string): boolean {
  try {
    accessSync(join(dir, name), constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP, as just asked
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function execute(address: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: address });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function freshName(): string {
  return `sealeaf_${randomBytes(6).toString("hex")}`;
}

function inDatabase(address: string, name: string): string {
  const url = new URL(address);
  url.pathname = `/${name}`;
  return url.href;
}

function outputOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "stderr" in error ? String(error.stderr).trim() : error.message;
}
