import * as A from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";
import {
  fewRows,
  isUnusual,
  manyRows,
  mostRowsPerByte,
  type Work,
} from "#client/device/unusual.ts";
import { measureChange, parseChange } from "#crdt-store/chunks.ts";
import { maxRowsPerEntry } from "#client/sync/intake.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { bombChange } from "#tests/support/bombs.ts";

beforeAll(loadAutomerge);

const nothing: Work = { rows: 0, bytes: 0 };

function workOf(chunk: Uint8Array): Work {
  const parsed = parseChange(chunk);
  const size = parsed.type === "failed" ? undefined : measureChange(parsed.change);
  if (size === undefined) throw new Error("a change");
  return { rows: size.rows, bytes: chunk.length };
}

function sum(works: readonly Work[]): Work {
  return works.reduce(
    (all, { rows, bytes }) => ({ rows: all.rows + rows, bytes: all.bytes + bytes }),
    nothing,
  );
}

type Note = { body: string };

/** What `edit` adds to a note of so many characters. */
function changeOf(length: number, edit: (draft: Note) => void): Work {
  const doc = A.from<Note>({ body: "x".repeat(length) });
  const [change] = A.getChangesSince(A.change(doc, edit), A.getHeads(doc));
  if (change === undefined) throw new Error("a change was made");
  return workOf(change);
}

describe("ordinary changes are not tried first:", () => {
  it("typing, however long it goes on", () => {
    let doc = A.from<Note>({ body: "" });
    const before = A.getHeads(doc);
    for (let at = 0; at < 2_000; at += 1) {
      doc = A.change(doc, (draft) => A.splice(draft, ["body"], at, 0, "a"));
    }
    let come = nothing;
    for (const change of A.getChangesSince(doc, before)) {
      const work = workOf(change);
      expect(isUnusual(work, come)).toBe(false);
      come = sum([come, work]);
    }
    // As much of it as ten long books has not more rows for its bytes.
    const often = { rows: 10_000 * come.rows, bytes: 10_000 * come.bytes };
    expect(isUnusual(workOf(A.getLastLocalChange(doc) ?? new Uint8Array()), often)).toBe(false);
  });

  it("a long paste, and a page deleted", () => {
    const text = Array.from({ length: 9_000 }, (_, ix) => `word${ix} `).join("");
    expect(
      isUnusual(
        changeOf(0, (draft) => A.splice(draft, ["body"], 0, 0, text)),
        nothing,
      ),
    ).toBe(false);
    const deleted = changeOf(20_000, (draft) => A.splice(draft, ["body"], 0, 5_000));
    expect(isUnusual(deleted, nothing)).toBe(false);
  });
});

describe("what is out of the ordinary is tried first:", () => {
  it("a hundred bytes of run lengths, up to what an entry may claim", () => {
    const actor = new Uint8Array(16);
    for (const rows of [fewRows, manyRows, maxRowsPerEntry]) {
      const bomb = workOf(bombChange({ actor, seq: 1, startOp: 1, deps: [], rows }));
      expect(bomb.bytes).toBeLessThan(200);
      expect(isUnusual(bomb, nothing)).toBe(true);
    }
  });

  it("many of them, each small", () => {
    const actor = new Uint8Array(16);
    const small = workOf(bombChange({ actor, seq: 1, startOp: 1, deps: [], rows: 2_000 }));
    expect(isUnusual(small, nothing)).toBe(false);
    expect(isUnusual(small, sum([small, small, small, small]))).toBe(true);
  });

  it("and a text as long as a book in one go", () => {
    expect(isUnusual({ rows: manyRows, bytes: manyRows }, nothing)).toBe(true);
    expect(isUnusual({ rows: manyRows - 1, bytes: manyRows }, nothing)).toBe(false);
  });

  it("from the row on that its bytes do not account for", () => {
    const bytes = fewRows;
    expect(isUnusual({ rows: mostRowsPerByte * bytes, bytes }, nothing)).toBe(false);
    expect(isUnusual({ rows: mostRowsPerByte * bytes + 1, bytes }, nothing)).toBe(true);
  });
});
