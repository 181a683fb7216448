/** A note with as many edits as a paper has seen, each a change of its own: the worst a history can be. */
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as A from "@automerge/automerge/slim";

import type { NoteDocument } from "#client/device/api.ts";

export const historyEdits = 260_000;
const actor = "aa".repeat(16);

interface Edit {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

/** {@link https://github.com/automerge/automerge-perf}, as packed by josephg/editing-traces. */
interface Trace {
  readonly txns: readonly { readonly patches: readonly [number, number, string][] }[];
}

/**
 * A saved document: typing with corrections in runs, or the trace of a real paper where the variable
 * SEALEAF_TRACE names its file.
 */
export function longHistory(): Uint8Array {
  let document = A.change(A.init<NoteDocument>({ actor }), { time: 0 }, (fresh) => {
    fresh.format = 1;
    fresh.title = "Long";
    fresh.body = "";
    fresh.tags = {};
    fresh.attachments = {};
    fresh.createdAt = 0;
  });
  for (const { at, remove, insert } of longTyping()) {
    document = A.change(document, { time: 0 }, (draft) => {
      A.splice(draft, ["body"], at, remove, insert);
    });
  }
  const saved = A.save(document);
  A.free(document);
  return saved;
}

/** The edits of {@link longHistory}, in order. */
export function longTyping(): Iterable<Edit> {
  const file = process.env["SEALEAF_TRACE"];
  return file !== undefined && existsSync(file) ? traced(file) : synthetic();
}

function* traced(file: string): Generator<Edit> {
  const trace = JSON.parse(gunzipSync(readFileSync(file)).toString()) as Trace; // as its project documents it
  for (const { patches } of trace.txns) {
    for (const [at, remove, insert] of patches) yield { at, remove, insert };
  }
}

/** Three tenths are deletions, as in the paper; somebody goes elsewhere every few hundred characters. */
function* synthetic(): Generator<Edit> {
  const letters = "the heron stands in the reeds and waits ";
  let length = 0;
  let caret = 0;
  let state = 7;
  for (let number = 0; number < historyEdits; number += 1) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    if (state % 300 === 0) caret = state % (length + 1);
    if (number % 10 >= 7 && caret > 0) {
      caret -= 1;
      length -= 1;
      yield { at: caret, remove: 1, insert: "" };
    } else {
      yield { at: caret, remove: 0, insert: letters.charAt(number % letters.length) };
      caret += 1;
      length += 1;
    }
  }
}
