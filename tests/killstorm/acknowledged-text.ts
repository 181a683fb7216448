/** How much of what a tab typed its device has acknowledged, from the tab's own calls and their answers. */
import * as A from "@automerge/automerge/slim";
import type { Commit, Draft } from "#client/device/api.ts";

export type SavingCall =
  | { readonly method: "commit"; readonly changes: Commit["changes"] }
  | { readonly method: "draft"; readonly edits: Draft["edits"] };

interface Posted {
  readonly id: number;
  /** Characters of the text that are safe once this and all calls before it are answered. */
  readonly covers: number;
  answered: boolean;
}

/** For a tab that only ever appends to one text. */
export class AcknowledgedText {
  #committed: number;
  #calls: Posted[] = [];
  /** Characters from the start that were acknowledged. */
  length: number;
  /** Calls answered so far. */
  answers = 0;
  readonly #seen = new Set<string>();

  /** @param length characters the text had when the tab opened it */
  constructor(length: number) {
    this.#committed = length;
    this.length = length;
  }

  posted(id: number, call: SavingCall): void {
    if (this.#calls.some((other) => other.id === id)) return; // sent again to another leader
    if (call.method === "commit") this.#committed += this.#insertedBy(call.changes);
    const draft = call.method === "draft" ? insertedBy(call.edits) : 0;
    this.#calls.push({ id, covers: this.#committed + draft, answered: false });
  }

  answered(id: number): void {
    const call = this.#calls.find((other) => other.id === id);
    if (call === undefined) return;
    call.answered = true;
    this.answers += 1;
    // A draft rests on the commits before it: only an unbroken row of answers proves anything.
    while (this.#calls[0]?.answered === true) this.length = this.#calls.shift()?.covers ?? 0;
  }

  #insertedBy(changes: readonly Uint8Array[]): number {
    let inserted = 0;
    for (const change of changes) {
      const { hash, ops } = A.decodeChange(change);
      if (this.#seen.has(hash)) continue;
      this.#seen.add(hash);
      // Typing that only appends makes nothing else inside a text.
      inserted += ops.filter(({ action, obj }) => action === "set" && obj !== "_root").length;
    }
    return inserted;
  }
}

function insertedBy(edits: Draft["edits"]): number {
  return edits.reduce((sum, { insert, remove }) => sum + insert.length - remove, 0);
}
