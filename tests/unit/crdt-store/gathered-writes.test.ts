import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { GatheredWrites } from "#crdt-store/files/gathered-writes.ts";

const fileBytes = 400;

type Step =
  | { readonly type: "add"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly type: "follow"; readonly bytes: Uint8Array }
  | { readonly type: "write-out" }
  | { readonly type: "cut"; readonly length: number }
  | { readonly type: "fail"; readonly writes: number; readonly taken: number };

const someBytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
const position = fc.integer({ min: 0, max: fileBytes - 40 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ type: fc.constant("add" as const), at: position, bytes: someBytes }),
    fc.record({ type: fc.constant("follow" as const), bytes: someBytes }),
    fc.record({ type: fc.constant("write-out" as const) }),
    fc.record({ type: fc.constant("cut" as const), length: position }),
    fc.record({
      type: fc.constant("fail" as const),
      writes: fc.integer({ min: 1, max: 2 }),
      taken: fc.integer({ min: 0, max: 20 }),
    }),
  ),
  { maxLength: 60 },
);

/** A file whose next writes fail, having taken some bytes. */
class FailingFile {
  readonly bytes = new Uint8Array(fileBytes);
  failures = 0;
  taken = 0;
  calls = 0;

  write(from: Uint8Array, at: number): void {
    this.calls += 1;
    const fails = this.failures > 0;
    this.bytes.set(fails ? from.subarray(0, this.taken) : from, at);
    if (!fails) return;
    this.failures -= 1;
    throw new Error("no space");
  }
}

describe("gathered writes", () => {
  it("reach the file in one call while they follow one another", () => {
    const file = new FailingFile();
    const gathered = new GatheredWrites((from, at) => file.write(from, at));
    gathered.add(new Uint8Array([1, 2]), 10);
    gathered.add(new Uint8Array([3]), 12);
    gathered.add(new Uint8Array([4, 5]), 13);
    expect(file.calls).toBe(0);
    gathered.writeOut();
    gathered.writeOut();
    expect(file.calls).toBe(1);
    expect([...file.bytes.subarray(9, 16)]).toEqual([0, 1, 2, 3, 4, 5, 0]);
  });

  it("keep their order where they overlap", () => {
    const file = new FailingFile();
    const gathered = new GatheredWrites((from, at) => file.write(from, at));
    gathered.add(new Uint8Array([1, 1, 1]), 0);
    gathered.add(new Uint8Array([2]), 1);
    gathered.add(new Uint8Array([3]), 0);
    gathered.writeOut();
    expect([...file.bytes.subarray(0, 4)]).toEqual([3, 2, 1, 0]);
  });

  it("hold no more than they have room for", () => {
    const lengths: number[] = [];
    const gathered = new GatheredWrites((from) => void lengths.push(from.length));
    for (let frame = 0; frame < 100; frame += 1) gathered.add(new Uint8Array(4_120), frame * 4_120);
    gathered.writeOut();
    expect(lengths.reduce((sum, length) => sum + length)).toBe(100 * 4_120);
    expect(lengths.length).toBe(4);
  });

  it("are either in the file or known to be lost, whatever fails", () => {
    let lost = 0;
    fc.assert(
      fc.property(steps, (todo) => {
        const file = new FailingFile();
        const gathered = new GatheredWrites((from, at) => file.write(from, at));
        // What the file would hold without gathering.
        const promised = Array.from({ length: fileBytes }, () => 0);
        let end = 0;
        for (const step of todo) {
          if (step.type === "add" || step.type === "follow") {
            const at = step.type === "add" ? step.at : Math.min(end, fileBytes - 40);
            const isTaken = succeeds(() => gathered.add(step.bytes, at));
            if (isTaken) step.bytes.forEach((byte, index) => (promised[at + index] = byte));
            end = at + step.bytes.length;
          } else if (step.type === "write-out") {
            succeeds(() => gathered.writeOut());
          } else if (step.type === "cut") {
            if (!succeeds(() => gathered.writeOut())) continue;
            file.bytes.fill(0, step.length);
            promised.fill(0, step.length);
            gathered.cut(step.length);
          } else {
            file.failures = step.writes;
            file.taken = step.taken;
          }
        }
        file.failures = 0;
        gathered.writeOut();
        const lostOnes = promised.map((_, at) => gathered.isLost(at, 1));
        lost += lostOnes.filter((isLost) => isLost).length;
        const found = promised.map((byte, at) => (lostOnes[at] === true ? byte : file.bytes[at]));
        expect(found).toEqual(promised);
      }),
      { numRuns: 500 },
    );
    expect(lost).toBeGreaterThan(0);
  });

  it("stop being lost once they are written again, or cut off", () => {
    const file = new FailingFile();
    const gathered = new GatheredWrites((from, at) => file.write(from, at));
    file.failures = 1;
    gathered.add(new Uint8Array(10), 20);
    expect(succeeds(() => gathered.writeOut())).toBe(false);
    expect([gathered.isLost(0, 20), gathered.isLost(19, 2), gathered.isLost(30, 5)]).toEqual([
      false,
      true,
      false,
    ]);
    gathered.add(new Uint8Array(6), 18);
    gathered.writeOut();
    expect([gathered.isLost(20, 4), gathered.isLost(24, 1)]).toEqual([false, true]);
    gathered.cut(24);
    expect(gathered.isLost(0, 100)).toBe(false);
  });
});

function succeeds(act: () => void): boolean {
  try {
    act();
    return true;
  } catch {
    return false;
  }
}
