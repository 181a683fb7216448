/** Applying changes of which some may be more than Automerge can take: all the others are applied. */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { parseChange, topologicalOrder, type Change } from "#crdt-store/chunks.ts";

type Doc<T> = AutomergeModule.Doc<T>;

/** After a trap of WebAssembly its memory may be damaged: nothing more may be asked of this instance. */
export function isTrap(error: unknown): boolean {
  return error instanceof Error && error.name === "RuntimeError";
}

/**
 * `base` with all changes that can be applied; `base` itself may be freed by it. What is refused is found by halving, in the
 * order of dependencies: a change that waits for another one shows its fault only when that has come.
 * Throws a trap of WebAssembly ({@link isTrap}), and StoreError if `before` does.
 *
 * @param before told of the changes that are tried next, alone
 */
export function applySound<T>(
  automerge: typeof AutomergeModule,
  base: Doc<T>,
  chunks: readonly Uint8Array[],
  before?: (changes: readonly Change[]) => void,
): { readonly doc: Doc<T>; readonly refused: readonly Change[] } {
  const changes = topologicalOrder(
    chunks.flatMap((bytes) => {
      const parsed = parseChange(bytes);
      return parsed.type === "failed" ? [] : [parsed.change];
    }),
  );
  const refused: Change[] = [];
  let doc = base;
  const take = (some: readonly Change[]): void => {
    if (some.length === 0) return;
    before?.(some);
    // Automerge changes in place, and a panic in the middle leaves a document nobody can use.
    const copy = automerge.clone(doc);
    try {
      const applied = automerge.applyChanges(
        copy,
        some.map(({ bytes }) => bytes),
      )[0];
      automerge.free(doc);
      doc = applied;
    } catch (error) {
      if (isTrap(error)) throw error;
      const half = Math.ceil(some.length / 2);
      if (some.length === 1) refused.push(...some);
      else {
        take(some.slice(0, half));
        take(some.slice(half));
      }
    }
  };
  take(changes);
  return { doc, refused };
}

/**
 * The first change, in the order of dependencies, with which the document cannot be saved and loaded any more; null if it
 * can. Halves the history.
 */
export function firstUnsavable<T>(
  automerge: typeof AutomergeModule,
  start: () => Doc<T>,
  chunks: readonly Uint8Array[],
): Change | null {
  const changes = topologicalOrder(
    chunks.flatMap((bytes) => {
      const parsed = parseChange(bytes);
      return parsed.type === "failed" ? [] : [parsed.change];
    }),
  );
  const isSavable = (count: number): boolean => {
    const { doc, refused } = applySound(
      automerge,
      start(),
      changes.slice(0, count).map(({ bytes }) => bytes),
    );
    return refused.length === 0 && survivesSaving(automerge, doc);
  };
  if (isSavable(changes.length)) return null;
  let [good, bad] = [0, changes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isSavable(middle)) good = middle;
    else bad = middle;
  }
  return changes[bad - 1] ?? null;
}

function survivesSaving<T>(automerge: typeof AutomergeModule, doc: Doc<T>): boolean {
  try {
    const heads = automerge.getHeads(doc);
    const again = automerge.load(automerge.save(doc));
    const same = automerge.getHeads(again).join() === heads.join();
    automerge.free(again);
    return same;
  } catch (error) {
    if (isTrap(error)) throw error;
    return false;
  }
}
