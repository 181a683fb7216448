import { createHash } from "node:crypto";

import * as Automerge from "@automerge/automerge/slim";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

import {
  countOperations,
  measureChange,
  parseChange,
  parseChanges,
  parseSave,
  topologicalOrder,
} from "#crdt-store/chunks.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { parsed } from "./store-fixtures.ts";

beforeAll(loadAutomerge);

type Anything = {
  text?: string;
  list?: unknown[];
  map?: Record<string, unknown>;
  count?: Automerge.Counter;
};

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** A document with the kinds of operations Automerge has, by two authors who also overwrite each other. */
function busyDocument(): Automerge.Doc<Anything> {
  let one = Automerge.from<Anything>(
    { text: "hello", list: [1, "two", null, 4.5], map: {} },
    { actor: "aa".repeat(16) },
  );
  let two = Automerge.clone(one, { actor: "bb".repeat(16) });
  one = Automerge.change(one, { message: "typing", time: 1_700_000_000 }, (draft) => {
    Automerge.splice(draft, ["text"], 0, 2, "j\u{1F33F}".repeat(30));
    draft.count = new Automerge.Counter(3);
  });
  two = Automerge.change(two, (draft) => {
    draft.map = { a: new Uint8Array([1, 2, 3]), b: new Date(0), c: true, d: { e: "deep" } };
    draft.list?.splice(1, 2, -7);
    Automerge.splice(draft, ["text"], 5, 0, " there");
    Automerge.mark(draft, ["text"], { start: 0, end: 3, expand: "both" }, "bold", true);
  });
  one = Automerge.merge(one, two);
  return Automerge.change(one, (draft) => {
    draft.count?.increment(2);
    if (draft.map) delete draft.map["c"];
    Automerge.splice(draft, ["text"], 0, 20);
  });
}

describe("a change chunk, read without Automerge", () => {
  it("says what Automerge says of it", () => {
    const changes = Automerge.getAllChanges(busyDocument());
    expect(changes.length).toBeGreaterThan(3);
    for (const bytes of changes) {
      const decoded = Automerge.decodeChange(bytes);
      const change = parsed(bytes);
      expect({
        hash: hex(change.hash),
        deps: change.deps.map(hex),
        actor: hex(change.actor),
        seq: change.seq,
        startOp: change.startOp,
      }).toEqual({
        hash: decoded.hash,
        deps: decoded.deps,
        actor: decoded.actor,
        seq: decoded.seq,
        startOp: decoded.startOp,
      });
      expect(change.bytes).toEqual(bytes);
      expect(countOperations(change)).toBe(decoded.ops.length);
      expect(measureChange(change)?.rows).toBeGreaterThanOrEqual(decoded.ops.length);
    }
  });

  it("has its operations counted without unrolling them", () => {
    const document = Automerge.change(Automerge.from<Anything>({ list: [] }), (draft) => {
      draft.list?.push(...Array.from({ length: 50_000 }, () => null));
    });
    const bytes = Automerge.getLastLocalChange(document) ?? new Uint8Array();
    expect(bytes.length).toBeLessThan(200);
    expect(countOperations(parsed(bytes))).toBe(50_000);
  });

  it("is split off concatenated ones", () => {
    const changes = Automerge.getAllChanges(busyDocument());
    const result = parseChanges(new Uint8Array(Buffer.concat(changes)));
    expect(result.type).toBe("ok");
    expect(result.type === "ok" && result.changes.map((change) => change.bytes)).toEqual(changes);
    expect(parseChange(new Uint8Array(Buffer.concat(changes)))).toMatchObject({ type: "failed" });
  });

  it("with a flipped bit is refused, with those before it kept, and Automerge would have applied some", () => {
    const [first = new Uint8Array(), second = new Uint8Array()] =
      Automerge.getAllChanges(busyDocument());
    for (let at = 0; at < second.length; at += 1) {
      const damaged = second.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const result = parseChanges(new Uint8Array(Buffer.concat([first, damaged])));
      expect(result).toMatchObject({ type: "failed", failure: { at: first.length } });
      expect(result.changes).toHaveLength(1);
    }
    const damaged = second.slice();
    damaged[5] = (damaged[5] ?? 0) ^ 1;
    const applied = Automerge.applyChanges(Automerge.init<Anything>(), [first, damaged])[0];
    expect(Automerge.getHeads(applied)).toHaveLength(1);
  });

  it("cut off anywhere is truncated", () => {
    const [bytes = new Uint8Array()] = Automerge.getAllChanges(busyDocument());
    for (let length = 1; length < bytes.length; length += 1) {
      expect(parseChange(bytes.subarray(0, length))).toMatchObject({
        failure: { type: "truncated" },
      });
    }
    expect(parseChange(new Uint8Array())).toMatchObject({ failure: { type: "truncated" } });
  });

  it("of another type is refused where only changes are allowed", () => {
    const saved = Automerge.save(busyDocument());
    expect(parseChanges(saved)).toMatchObject({ failure: { type: "wrong-type", at: 0 } });
    expect(parseChanges(new Uint8Array([1, 2, 3, 4]))).toMatchObject({
      failure: { type: "bad-magic" },
    });
  });

  it("never makes the parser throw, whatever the bytes", () => {
    const [bytes = new Uint8Array()] = Automerge.getAllChanges(busyDocument());
    const valid = parsed(bytes);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(bytes.length), (noise, at) => {
        const mixed = new Uint8Array([...bytes.subarray(0, at), ...noise]);
        expect(parseChanges(mixed).type).toMatch(/ok|failed/);
        expect(parseSave(mixed).type).toMatch(/ok|failed/);
        // With a right checksum, as an attacker would write it.
        const body = new Uint8Array([...bytes.subarray(0, Math.max(at, 12)), ...noise]);
        measureChange({ ...valid, bytes: withRightChecksum(body) });
        parseChange(withRightChecksum(body));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("a saved document", () => {
  it("declares its heads", () => {
    const document = busyDocument();
    const result = parseSave(Automerge.save(document));
    expect(result.documents.flatMap((chunk) => chunk.heads.map(hex))).toEqual(
      Automerge.getHeads(document),
    );
    expect(result.type).toBe("ok");
  });
});

describe("topological order", () => {
  it("puts dependencies first in any shuffle, keeping every change once", () => {
    const changes = Automerge.getAllChanges(busyDocument()).map(parsed);
    fc.assert(
      fc.property(fc.shuffledSubarray(changes, { minLength: changes.length }), (shuffled) => {
        const seen = new Set<string>();
        const ordered = topologicalOrder([...shuffled, ...shuffled.slice(0, 1)]);
        for (const change of ordered) {
          for (const dep of change.deps) expect(seen).toContain(hex(dep));
          seen.add(hex(change.hash));
        }
        expect(seen.size).toBe(changes.length);
        expect(ordered).toHaveLength(changes.length);
      }),
    );
  });

  it("of a long chain given backwards takes no deep recursion and no quadratic time", () => {
    const chain = Array.from({ length: 20_000 }, (_, index) => ({
      hash: numbered(index),
      deps: index === 0 ? [] : [numbered(index - 1)],
    }));
    expect(topologicalOrder(chain.toReversed()).map((item) => hex(item.hash))).toEqual(
      chain.map((item) => hex(item.hash)),
    );
  });
});

function numbered(index: number): Uint8Array {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setUint32(0, index);
  return hash;
}

function withRightChecksum(chunk: Uint8Array): Uint8Array {
  const result = chunk.slice();
  // The length that follows the type is 1 or 2 bytes here; only the length of the whole matters to the parser.
  const body = result.subarray(12);
  const head = new Uint8Array([
    0x85,
    0x6f,
    0x4a,
    0x83,
    0,
    0,
    0,
    0,
    1,
    (body.length & 0x7f) | 0x80,
    body.length >> 7,
  ]);
  const whole = new Uint8Array([...head, ...body]);
  whole.set(new Uint8Array(createDigest(whole.subarray(8))).subarray(0, 4), 4);
  return whole;
}

function createDigest(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
