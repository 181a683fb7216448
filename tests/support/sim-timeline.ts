/**
 * Virtual time. Nothing here waits: the clock jumps to whatever is due next.
 *
 * Why runs repeat exactly: under simulation every port answers synchronously or by a settled promise
 * (signatures, random bytes, Automerge and SQLite are ready before the first event), so the only work
 * an event leaves behind is microtasks, which the engine runs in a fixed order and to the last one
 * before it takes the next macrotask. One `setImmediate` after each event is therefore a barrier, and
 * events at the same moment run in the order they were asked for.
 */

export interface VirtualTimers {
  after(ms: number, run: () => void): () => void;
}

interface Due {
  readonly at: number;
  readonly order: number;
  run: (() => void) | null;
}

const patienceMs = 600_000;
const stepMs = 100;
const beginning = 1_800_000_000_000;

export class Timeline {
  #now = beginning;
  #order = 0;
  /** A binary heap: the earliest first, of equals the one asked for first. */
  readonly #heap: Due[] = [];

  /** Whole milliseconds, as `Date.now`. */
  now(): number {
    return this.#now;
  }

  /** Milliseconds since the beginning. */
  get elapsed(): number {
    return this.#now - beginning;
  }

  after(ms: number, run: () => void): () => void {
    this.#order += 1;
    const due: Due = { at: this.#now + Math.max(0, Math.ceil(ms)), order: this.#order, run };
    this.#push(due);
    return () => {
      due.run = null;
    };
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  /** Timers that all stop at once, as those of a process that ends. */
  scope(): TimerScope {
    return new TimerScope(this);
  }

  /** Runs everything that is due up to `ms` from now. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + Math.ceil(ms);
    await settle();
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) break;
      this.#pop();
      if (next.run === null) continue;
      this.#now = next.at;
      next.run();
      await settle();
    }
    this.#now = until;
  }

  /** What comes of it, with the clock going on until then: ten minutes at most. */
  async during<T>(work: Promise<T>): Promise<T> {
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    work.then(over, over);
    for (let passed = 0; passed < patienceMs; passed += stepMs) {
      await this.advance(stepMs);
      if (isOver) return work;
    }
    throw new Error("nothing came of it in ten minutes");
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, due)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = due;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
  }
}

export class TimerScope implements VirtualTimers {
  readonly #timeline: Timeline;
  #isOver = false;

  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  after(ms: number, run: () => void): () => void {
    return this.#timeline.after(ms, () => {
      if (!this.#isOver) run();
    });
  }

  end(): void {
    this.#isOver = true;
  }
}

function isBefore(one: Due, other: Due): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
