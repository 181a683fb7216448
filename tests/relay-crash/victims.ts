/** What is killed: a relay on SQLite, the PostgreSQL under a relay, one of two relays on a PostgreSQL. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endProcess, startRelayProcess, type Settings } from "#tests/support/built-relay.ts";
import { startOwnPostgres } from "#tests/support/postgres.ts";

export interface Victim {
  readonly urls: readonly string[];
  /** Kills (SIGKILL); answers the addresses that are dead now. */
  kill(): Promise<readonly string[]>;
  /** Starts again what was killed. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export const victims = {
  "a relay on SQLite": killedRelay,
  "the PostgreSQL under a relay": killedPostgres,
  "one of two relays on a PostgreSQL": killedNode,
} as const satisfies Record<string, (program: string) => Promise<Victim>>;

async function killedRelay(program: string): Promise<Victim> {
  const dir = temporaryDir();
  const node = await Node.start(program, { SEALEAF_DATA: dir });
  return {
    urls: [node.url],
    kill: async () => [await node.kill()],
    restart: () => node.restart(),
    async stop() {
      await node.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function killedPostgres(program: string): Promise<Victim> {
  const dir = temporaryDir();
  const server = await startOwnPostgres({ fsync: true });
  const store = await server.createDatabase();
  const node = await Node.start(program, { SEALEAF_DATA: dir, SEALEAF_STORE: store });
  return {
    urls: [node.url],
    async kill() {
      await server.kill();
      return [node.url];
    },
    restart: () => server.restart(),
    async stop() {
      await node.stop();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function killedNode(program: string): Promise<Victim> {
  const dir = temporaryDir();
  const server = await startOwnPostgres({ fsync: true });
  const settings = { SEALEAF_DATA: dir, SEALEAF_STORE: await server.createDatabase() };
  const nodes = [await Node.start(program, settings), await Node.start(program, settings)] as const;
  let round = 0;
  const victim = (): Node => nodes[round % 2 === 0 ? 0 : 1];
  return {
    urls: nodes.map(({ url }) => url),
    kill: async () => [await victim().kill()],
    async restart() {
      await victim().restart();
      round += 1;
    },
    async stop() {
      for (const node of nodes) await node.stop();
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A relay as a process of its own, always on the same port. */
class Node {
  readonly url: string;
  readonly #program: string;
  readonly #settings: Settings;
  #child: Awaited<ReturnType<typeof startRelayProcess>>["child"];

  private constructor(
    program: string,
    settings: Settings,
    started: Awaited<ReturnType<typeof startRelayProcess>>,
  ) {
    this.#program = program;
    this.#settings = { ...settings, SEALEAF_PORT: new URL(started.httpUrl).port };
    this.#child = started.child;
    this.url = started.url;
  }

  static async start(program: string, more: Settings): Promise<Node> {
    const settings = { SEALEAF_PORT: "0", SEALEAF_KEEP_FREE: "0", ...more };
    return new Node(program, settings, await startRelayProcess(program, settings));
  }

  async kill(): Promise<string> {
    await endProcess(this.#child, "SIGKILL");
    return this.url;
  }

  async restart(): Promise<void> {
    ({ child: this.#child } = await startRelayProcess(this.#program, this.#settings));
  }

  async stop(): Promise<void> {
    await endProcess(this.#child, "SIGTERM");
  }
}

function temporaryDir(): string {
  return mkdtempSync(join(tmpdir(), "sealeaf-crash-"));
}
