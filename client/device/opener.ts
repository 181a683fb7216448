/**
 * Opening what others have saved, and trying what they have changed, in a thread that can be ended: whatever hangs in there,
 * panics, or asks for more memory than there may be, ends that thread and nothing else.
 *
 *   idle ─ask─▶ starting ─ready─▶ at work ─answer─▶ idle        overrun, death, a panic ─▶ killed; the next ask starts another
 */
import type { Timers } from "#client/sync/ports.ts";
import type { OpenDocument } from "#client/sync/snapshots.ts";
import { topologicalOrder, type Change } from "#crdt-store/chunks.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Beginning, OpenerAnswer, OpenerQuestion } from "./opener-work.ts";
import { packChunks, unpackChunks } from "./packed-chunks.ts";

export interface OpenerThread {
  ask(question: OpenerQuestion): void;
  /** Ends it, whatever it is doing. Nothing is heard of it from then on. */
  kill(): void;
}

export interface OpenerEvents {
  answered(answer: OpenerAnswer): void;
  /** It has ended by itself, or cannot be started. */
  died(): void;
}

/** Starts a thread, which says that it is ready. */
export type StartOpener = (events: OpenerEvents) => OpenerThread;

export interface OpenerLimits {
  /** A thread that is not ready by then will not be. */
  readonly startMs: number;
  /** For a saved document, and so much more for each MiB that it has … */
  readonly openMs: number;
  readonly openMsPerMiB: number;
  /** … for changes that are tried, and as many times as long as it took to build what they are tried on. */
  readonly tryMs: number;
  readonly tryFactor: number;
  /** Without a question for so long, the thread is ended and its memory given back. */
  readonly idleMs: number;
}

export const defaultOpenerLimits: OpenerLimits = {
  startMs: 60_000,
  openMs: 20_000,
  openMsPerMiB: 20_000,
  tryMs: 5_000,
  tryFactor: 2,
  idleMs: 30_000,
};

/** What a thread may take of memory, in bytes: platforms that can bound it do. */
export const mostOpenerMemory = 1 << 30;

/** What changes are tried on. */
export interface Ground {
  readonly snapshot: Uint8Array | null;
  readonly beginning: Beginning;
  readonly changes: readonly Uint8Array[];
}

export interface Verdicts {
  /** Those that Automerge cannot take. */
  readonly refused: readonly Change[];
  /** Those over which the thread had to be ended. */
  readonly tooMuch: readonly Change[];
}

type Outcome =
  | Extract<OpenerAnswer, { type: "opened" | "tried" | "unreadable" }>
  /** Overrun, or gone: over the question itself, or over what it builds upon. */
  | { readonly type: "overrun"; readonly isBuilt: boolean };

interface Job {
  readonly question: OpenerQuestion;
  readonly done: (outcome: Outcome) => void;
}

interface Running {
  readonly thread: OpenerThread;
  isReady: boolean;
  /** It was given the first of the jobs. */
  isAsked: boolean;
  isBuilt: boolean;
  askedAt: number;
}

export interface OpenerPorts {
  readonly start: StartOpener;
  readonly clock: { now(): number };
  readonly timers: Timers;
  readonly limits: OpenerLimits;
}

const mebibyte = 1 << 20;

export class Opener {
  readonly #ports: OpenerPorts;
  readonly #jobs: Job[] = [];
  #running: Running | null = null;
  #cancelDeadline: (() => void) | null = null;
  #closed = false;

  constructor(ports: OpenerPorts) {
    this.#ports = ports;
  }

  readonly openDocument: OpenDocument = async (document) => {
    // A copy of its own: it changes hands.
    const outcome = await this.#run({ type: "open", document: document.slice() });
    if (outcome.type === "opened") {
      return { heads: unpackChunks(outcome.heads), changes: unpackChunks(outcome.changes) };
    }
    return outcome.type === "overrun" && !outcome.isBuilt ? "later" : "harmful";
  };

  /** Which of the changes do harm; null where what they are tried on cannot be had in time, which says nothing of them. */
  async tryOut(ground: Ground, changes: readonly Change[]): Promise<Verdicts | null> {
    const ordered = topologicalOrder(changes);
    const outcome = await this.#run({
      type: "try",
      snapshot: ground.snapshot?.slice() ?? null,
      beginning: ground.beginning,
      base: packChunks(ground.changes),
      tried: packChunks(ordered.map(({ bytes }) => bytes)),
    });
    if (outcome.type === "tried") {
      const names = new Set(outcome.refused);
      return { refused: ordered.filter(({ hash }) => names.has(toHex(hash))), tooMuch: [] };
    }
    if (outcome.type !== "overrun" || !outcome.isBuilt) return null;
    if (ordered.length === 1) return { refused: [], tooMuch: ordered };
    // One of them, or all together: the first half by itself, then the second on top of what of that is sound.
    const half = Math.ceil(ordered.length / 2);
    const first = await this.tryOut(ground, ordered.slice(0, half));
    if (first === null) return null;
    const harmful = new Set([...first.refused, ...first.tooMuch]);
    const sound = ordered.slice(0, half).filter((change) => !harmful.has(change));
    const second = await this.tryOut(
      { ...ground, changes: [...ground.changes, ...sound.map(({ bytes }) => bytes)] },
      ordered.slice(half),
    );
    return (
      second && {
        refused: [...first.refused, ...second.refused],
        tooMuch: [...first.tooMuch, ...second.tooMuch],
      }
    );
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Ends the thread; what was asked is answered as if it had overrun. */
  close(): void {
    this.#closed = true;
    this.#end();
    for (const { done } of this.#jobs.splice(0)) done({ type: "overrun", isBuilt: false });
  }

  #run(question: OpenerQuestion): Promise<Outcome> {
    return new Promise((resolve) => {
      if (this.#closed) resolve({ type: "overrun", isBuilt: false });
      else {
        this.#jobs.push({ question, done: resolve });
        this.#next();
      }
    });
  }

  /** Gives the thread the next question, or starts one, or lets it rest. */
  #next(): void {
    const { limits, clock } = this.#ports;
    const [job] = this.#jobs;
    const running = this.#running;
    if (job === undefined) {
      if (running !== null) this.#endAfter(limits.idleMs, () => undefined);
      return;
    }
    if (running === null) {
      this.#start();
      return;
    }
    if (!running.isReady || running.isAsked) return;
    running.isAsked = true;
    running.isBuilt = job.question.type === "open";
    running.askedAt = clock.now();
    const size = sizeOf(job.question);
    const ms = limits.openMs + (limits.openMsPerMiB * size) / mebibyte;
    this.#endAfter(ms, () => this.#finish({ type: "overrun", isBuilt: running.isBuilt }));
    running.thread.ask(job.question);
  }

  #start(): void {
    const { start, limits } = this.#ports;
    // Before anything is heard, which may be at once.
    const heard: OpenerAnswer[] = [];
    let running: Running | null = null;
    const isCurrent = (): boolean => running !== null && this.#running === running;
    const thread = start({
      answered: (answer) => {
        if (running === null) heard.push(answer);
        else if (isCurrent()) this.#answered(running, answer);
      },
      died: () => {
        if (isCurrent()) this.#died();
      },
    });
    running = { thread, isReady: false, isAsked: false, isBuilt: false, askedAt: 0 };
    this.#running = running;
    this.#endAfter(limits.startMs, () => this.#finish({ type: "overrun", isBuilt: false }));
    for (const answer of heard) this.#answered(running, answer);
  }

  #answered(running: Running, answer: OpenerAnswer): void {
    const { limits, clock } = this.#ports;
    switch (answer.type) {
      case "ready":
        running.isReady = true;
        this.#next();
        return;
      case "built": {
        running.isBuilt = true;
        const took = clock.now() - running.askedAt;
        const ms = limits.tryMs + limits.tryFactor * took;
        this.#endAfter(ms, () => this.#finish({ type: "overrun", isBuilt: true }));
        return;
      }
      case "opened":
        this.#finish(answer);
        return;
      case "tried":
        // After a panic the memory of its Automerge may be anything.
        if (answer.refused.length > 0) this.#end();
        this.#finish(answer);
        return;
      case "unreadable":
        this.#end();
        this.#finish(answer);
        return;
    }
  }

  #died(): void {
    const isBuilt = this.#running?.isBuilt ?? false;
    this.#end();
    this.#finish({ type: "overrun", isBuilt });
  }

  #finish(outcome: Outcome): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = null;
    if (this.#running !== null) this.#running.isAsked = false;
    this.#jobs.shift()?.done(outcome);
    this.#next();
  }

  #endAfter(ms: number, then: () => void): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = this.#ports.timers.after(ms, () => {
      this.#cancelDeadline = null;
      this.#end();
      then();
    });
  }

  #end(): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = null;
    const running = this.#running;
    this.#running = null;
    running?.thread.kill();
  }
}

function sizeOf(question: OpenerQuestion): number {
  if (question.type === "open") return question.document.length;
  return question.base.bytes.length + (question.snapshot?.length ?? 0);
}
