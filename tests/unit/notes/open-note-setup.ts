import * as A from "@automerge/automerge/slim";
import { Repo, type DocHandle } from "@automerge/automerge-repo/slim";

import type { Commit, Draft, NoteDocument } from "#client/device/api.ts";
import {
  OpenNote,
  type NoteFault,
  type NoteJournal,
  type NoteTimers,
} from "#client/notes/open-note.ts";

/** Time that stands still until it is advanced. */
export class ManualTimers implements NoteTimers {
  #now = 1_700_000_000_000;
  readonly #due: { readonly at: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { at: this.#now + ms, run };
    this.#due.push(entry);
    return () => {
      const index = this.#due.indexOf(entry);
      if (index >= 0) this.#due.splice(index, 1);
    };
  }

  /** Runs what is due within `ms`, in order, letting promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (;;) {
      const next = this.#due.toSorted((a, b) => a.at - b.at)[0];
      if (!next || next.at > end) break;
      this.#now = Math.max(this.#now, next.at);
      this.#due.splice(this.#due.indexOf(next), 1);
      next.run();
      await settle();
    }
    this.#now = end;
  }

  /** Lets time pass within a running call, as slow work does. */
  spend(ms: number): void {
    this.#now += ms;
  }
}

/** Lets every promise that is ready run its course. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

interface Posted<T> {
  readonly at: number;
  readonly value: T;
  readonly answer: (error?: Error) => void;
}

/** A journal that answers at once, or, with `manual`, when told to. */
export class FakeJournal implements NoteJournal {
  readonly drafts: Posted<Draft>[] = [];
  readonly commits: Posted<Commit>[] = [];
  manual = false;
  failing = false;
  readonly #timers: NoteTimers;

  constructor(timers: NoteTimers) {
    this.#timers = timers;
  }

  draft(draft: Draft): Promise<void> {
    return this.#post(this.drafts, draft);
  }

  commit(commit: Commit): Promise<void> {
    return this.#post(this.commits, commit);
  }

  get changes(): Uint8Array[] {
    return this.commits.flatMap((posted) => [...posted.value.changes]);
  }

  #post<T>(log: Posted<T>[], value: T): Promise<void> {
    return new Promise((resolve, reject) => {
      const answer = (error?: Error) => (error ? reject(error) : resolve());
      log.push({ at: this.#timers.now(), value, answer });
      if (this.failing) answer(new Error("The disk is full."));
      else if (!this.manual) answer();
    });
  }
}

export function genesis(text: { title?: string; body?: string } = {}): Uint8Array {
  // Not A.from: it stamps the wall clock's second, and two calls must give one document.
  const document = A.change(
    A.init<NoteDocument>({ actor: "00".repeat(16) }),
    { time: 0 },
    (fresh) => {
      fresh.format = 1;
      fresh.title = text.title ?? "";
      fresh.body = text.body ?? "";
      fresh.tags = {};
      fresh.attachments = {};
      fresh.createdAt = 0;
    },
  );
  return A.save(document);
}

export function actorOf(number: number): string {
  return (number + 1).toString(16).padStart(32, "0");
}

export interface OpenedForTest {
  readonly note: OpenNote;
  readonly handle: DocHandle<NoteDocument>;
  readonly timers: ManualTimers;
  readonly journal: FakeJournal;
  readonly faults: NoteFault[];
  readonly actor: string;
}

export async function openForTest(
  options: {
    saved?: Uint8Array;
    title?: string;
    body?: string;
    number?: number;
    timers?: ManualTimers;
  } = {},
): Promise<OpenedForTest> {
  const timers = options.timers ?? new ManualTimers();
  const journal = new FakeJournal(timers);
  const faults: NoteFault[] = [];
  const actor = actorOf(options.number ?? 0);
  const handle = new Repo({}).import<NoteDocument>(options.saved ?? genesis(options));
  await handle.whenReady();
  const note = new OpenNote({
    handle,
    session: `session-${options.number ?? 0}`,
    actor,
    timers,
    journal,
    onFault: (fault) => faults.push(fault),
  });
  return { note, handle, timers, journal, faults, actor };
}
