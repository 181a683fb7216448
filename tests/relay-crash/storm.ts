/** Rounds of load and death, and the reckoning: what was acknowledged has to be in the log, once. */
import { RawClient } from "#tests/support/relay.ts";
import { TestSpace } from "#tests/support/space-identities.ts";
import { LogReader } from "./log-reader.ts";
import { Addresses, Outage } from "./outage.ts";
import { victims, type Victim } from "./victims.ts";
import { Writer, type Care } from "./writer.ts";

export type VictimName = keyof typeof victims;

export interface StormOptions {
  readonly program: string;
  readonly victim: VictimName;
  readonly rounds: number;
  readonly care?: Care;
  /** From 0 up to, not including, 1. */
  readonly chance: () => number;
}

export interface StormResult {
  readonly rounds: number;
  readonly acknowledged: number;
  /** Acknowledged, and not where the acknowledgement says. */
  readonly lost: number;
  /** In the log more than once. */
  readonly duplicated: number;
  /** From each death to the next acknowledgement of a writer that was connected there, in ms. */
  readonly outages: readonly number[];
  readonly troubles: readonly string[];
}

const spaceCount = 3;
const writersPerSpace = 2;
const fewestAnswers = 5;
const mostAnswers = 80;
/** Turns of the event loop between the answer and the death, at most: some of what was sent is on its way. */
const latestKillTurns = 200;
const roundLimitMs = 60_000;

export async function crashStorm(options: StormOptions): Promise<StormResult> {
  const victim = await victims[options.victim](options.program);
  try {
    return await new Storm(victim, options).run();
  } finally {
    await victim.stop();
  }
}

class Storm {
  readonly #victim: Victim;
  readonly #options: StormOptions;
  readonly #spaces: readonly TestSpace[];
  readonly #writers: readonly Writer[];
  readonly #readers: readonly LogReader[];
  readonly #outage = new Outage();
  #answers = 0;
  #wake: () => void = () => undefined;

  constructor(victim: Victim, options: StormOptions) {
    this.#victim = victim;
    this.#options = options;
    const { urls } = victim;
    this.#spaces = Array.from({ length: spaceCount }, (_, ix) => new TestSpace(`storm ${ix}`));
    this.#writers = this.#spaces.flatMap((space) =>
      Array.from(
        { length: writersPerSpace },
        (_, ix) =>
          new Writer({
            space,
            name: `device ${ix}`,
            addresses: new Addresses(urls, ix, this.#outage),
            care: options.care ?? "careful",
            onAcknowledged: () => {
              this.#answers += 1;
              this.#wake();
            },
          }),
      ),
    );
    this.#readers = this.#spaces.map(
      (space, ix) => new LogReader(space, new Addresses(urls, ix, this.#outage)),
    );
  }

  async run(): Promise<StormResult> {
    await this.#prepare();
    for (const part of [...this.#writers, ...this.#readers]) part.start();
    const outages: number[] = [];
    for (let round = 0; round < this.#options.rounds; round += 1) {
      outages.push(...(await this.#round()));
    }
    await Promise.all(this.#writers.map((writer) => writer.stop()));
    await Promise.all(this.#readers.map((reader) => reader.stop()));
    return { rounds: this.#options.rounds, outages, ...(await this.#reckon()) };
  }

  async #prepare(): Promise<void> {
    const client = await RawClient.connect(this.#victim.urls[0] ?? "");
    for (const space of this.#spaces) await client.createSpace(space);
    for (const { certificate } of this.#writers) {
      await client.ask({ type: "certPut", certificate }, "certAck");
    }
    await client.close();
  }

  /** Answers the outage of each writer that was cut off. */
  async #round(): Promise<readonly number[]> {
    const { chance } = this.#options;
    const begun = this.#answers;
    const wanted = fewestAnswers + Math.floor(chance() * (mostAnswers - fewestAnswers));
    await this.#until(() => this.#answers >= begun + wanted);
    for (let left = Math.floor(chance() * latestKillTurns); left > 0; left -= 1) await aTurn();
    const places = new Map(this.#writers.map((writer) => [writer, writer.url]));
    const killedAt = performance.now();
    this.#outage.begin();
    const dead = await this.#victim.kill();
    const cutOff = this.#writers.filter((writer) => dead.includes(places.get(writer) ?? ""));
    const restarted = this.#victim.restart().finally(() => this.#outage.end());
    const ends = new Map<Writer, number>();
    // An answer may have been on its way when death came.
    const silence = performance.now();
    await this.#until(() => {
      for (const writer of cutOff) {
        if (!ends.has(writer) && writer.lastAcknowledged > silence) {
          ends.set(writer, writer.lastAcknowledged);
        }
      }
      return ends.size === cutOff.length;
    });
    await restarted;
    return [...ends.values()].map((end) => end - killedAt);
  }

  async #until(isDone: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error("nothing was acknowledged for a minute"));
      }, roundLimitMs);
    });
    while (!isDone()) {
      await Promise.race([
        tooLate,
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      ]);
    }
    clearTimeout(timer);
  }

  async #reckon(): Promise<Omit<StormResult, "rounds" | "outages">> {
    const troubles = this.#readers.flatMap((reader) => reader.troubles);
    let lost = 0;
    let duplicated = 0;
    for (const [ix, space] of this.#spaces.entries()) {
      const reader = new LogReader(space, new Addresses(this.#victim.urls, 0, this.#outage));
      await reader.readToHead();
      troubles.push(...reader.troubles);
      const edits = reader.edits.filter((edit) => edit !== "");
      duplicated += edits.length - new Set(edits).size;
      const stored = new Set(edits);
      for (const writer of this.#writers.slice(ix * writersPerSpace, (ix + 1) * writersPerSpace)) {
        for (const [edit, pos] of writer.acknowledged) {
          const isThere = pos === 0 ? stored.has(edit) : reader.edits[pos] === edit;
          if (!isThere) lost += 1;
        }
      }
      const seen = this.#readers[ix]?.edits ?? [];
      if (seen.some((edit, pos) => edit !== reader.edits[pos])) {
        troubles.push("a subscriber was given another log than there is now");
      }
    }
    const acknowledged = this.#writers.reduce((sum, writer) => sum + writer.acknowledged.size, 0);
    return { acknowledged, lost, duplicated, troubles };
  }
}

/** What came over the network has been seen to. */
function aTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
