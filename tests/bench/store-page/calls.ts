import type { SearchTimes } from "../search-load.ts";
import type { CommitLoad, CommitTimes } from "../store-load.ts";
import type { Opening } from "../store-opening.ts";

/** What the bench asks of the worker; `key` is bytes or null, `directory` one in OPFS. */
export type BenchCall =
  | { readonly type: "ready" }
  | { readonly type: "commits"; readonly load: CommitLoad; readonly key: number[] }
  | { readonly type: "search"; readonly key: number[] }
  | { readonly type: "put"; readonly directory: string; readonly from: string }
  | { readonly type: "open"; readonly directory: string; readonly key: number[] };

export interface BenchAnswers {
  readonly ready: null;
  readonly commits: CommitTimes[];
  readonly search: SearchTimes;
  readonly put: null;
  readonly open: Omit<Opening, "grownMB">;
}

export type BenchAnswer = { readonly result: unknown } | { readonly error: string };
