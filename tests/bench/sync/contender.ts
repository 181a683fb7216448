/** What is compared, and the processes of one comparison. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Budget, Measurement } from "../measurement.ts";
import { startServed, type Remote, type ServedProcess } from "./calls.ts";
import type { SyncClient } from "./client-process.ts";
import type { SyncServer } from "./server-process.ts";

export type ContenderName =
  | "Sealeaf"
  | "automerge-repo, files"
  | "y-websocket, in memory"
  | "y-websocket, LevelDB"
  | "Hocuspocus, SQLite";

export interface Contender {
  readonly name: ContenderName;
  /** As the processes know it. */
  readonly library: string;
  /** Of the server, whose directory it is given. */
  environment(directory: string): Readonly<Record<string, string>>;
}

export interface Bench {
  readonly contenders: readonly Contender[];
  /** A fresh one. */
  directory(): string;
}

export type Client = Remote<SyncClient>;

/** A server and as many devices as one asks for. */
export class Stage {
  readonly server: Remote<SyncServer>;
  readonly #contender: Contender;
  readonly #bench: Bench;
  readonly #processes: ServedProcess<SyncClient | SyncServer>[] = [];
  #notes = 0;

  private constructor(bench: Bench, contender: Contender, server: ServedProcess<SyncServer>) {
    this.#bench = bench;
    this.#contender = contender;
    this.server = server.calls;
    this.#processes.push(server);
  }

  static start(bench: Bench, contender: Contender): Stage {
    const directory = bench.directory();
    const server = startServed<SyncServer>(
      new URL("server-process.ts", import.meta.url),
      [contender.library, directory],
      contender.environment(directory),
    );
    return new Stage(bench, contender, server);
  }

  /** A device that has everything loaded and nothing exchanged. */
  async device(): Promise<Client> {
    const file = new URL("client-process.ts", import.meta.url);
    const client = startServed<SyncClient>(file, [this.#contender.library]);
    this.#processes.push(client);
    await client.calls.begin({ directory: this.#bench.directory(), url: await this.server.url() });
    return client.calls;
  }

  /** Waits until the server has so many notes more. */
  async holds(more: number): Promise<void> {
    this.#notes += more;
    for (;;) {
      const held = await this.server.documents();
      if (held === null || held >= this.#notes) return;
      await sleep(100);
    }
  }

  async end(): Promise<void> {
    for (const served of this.#processes.toReversed()) await served.end();
  }
}

/** What one contender has shown, or why it has not. */
export type Shown<Figures> =
  | { readonly name: ContenderName; readonly figures: Figures }
  | { readonly name: ContenderName; readonly failure: string };

/** Measures all, one after the other; who takes longer than `withinMs` in all has failed. */
export async function measureAll<Figures>(
  bench: Bench,
  withinMs: number,
  measure: (stage: Stage, contender: Contender) => Promise<Figures>,
): Promise<readonly Shown<Figures>[]> {
  const shown: Shown<Figures>[] = [];
  for (const contender of bench.contenders) {
    const stage = Stage.start(bench, contender);
    const { name } = contender;
    const tooLate = new AbortController();
    const late = sleep(withinMs, null, { signal: tooLate.signal }).catch(() => null);
    try {
      const figures = await Promise.race([measure(stage, contender), late]);
      const failure = `not done within ${withinMs / 1000} s`;
      shown.push(figures === null ? { name, failure } : { name, figures });
    } catch (error) {
      shown.push({ name, failure: String(error) });
    } finally {
      tooLate.abort();
      await stage.end();
    }
  }
  return shown;
}

export function figuresOf<Figures>(
  shown: readonly Shown<Figures>[],
  name: ContenderName,
): Figures | null {
  const found = shown.find((one) => one.name === name);
  return found !== undefined && "figures" in found ? found.figures : null;
}

/** A row for each: how long it took, as a multiple of ours. */
export function rowsOf<Figures>(
  what: string,
  shown: readonly Shown<Figures>[],
  read: (figures: Figures) => { readonly ms: number; readonly note: string },
  budget: (ours: number) => Budget | null,
): Measurement[] {
  const own = figuresOf(shown, "Sealeaf");
  const ours = own === null ? null : read(own).ms;
  return shown.map((one) => {
    const name = `${what}: ${one.name}`;
    if ("failure" in one) return { name, note: one.failure };
    const { ms, note } = read(one.figures);
    if (one.name !== "Sealeaf") return { name, ms, ratio: ms / (ours ?? Number.NaN), note };
    const answered = budget(ms);
    return { name, ms, note, ...(answered === null ? {} : { budget: answered }) };
  });
}

export function kilobytes(bytes: number): string {
  return `${Math.round(bytes / 1000).toLocaleString("en")} kB`;
}
