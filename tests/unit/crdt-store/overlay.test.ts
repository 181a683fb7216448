import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { FileHandle } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { overlayFiles } from "#crdt-store/files/overlay.ts";

const lengths = fc.oneof(fc.nat(20_000), fc.constantFrom(0, 1, 4_095, 4_096, 4_097, 8_192));
const step = fc.oneof(
  fc.record({
    type: fc.constant("write" as const),
    at: lengths,
    length: lengths,
    fill: fc.nat(255),
  }),
  fc.record({ type: fc.constant("truncate" as const), at: lengths }),
  fc.record({ type: fc.constant("read" as const), at: lengths, length: lengths }),
);

function filesOf(length: number): MemoryFiles {
  const nothing = new Uint8Array();
  const main = Uint8Array.from({ length }, (_, at) => at % 251);
  return new MemoryFiles({ main, wal: nothing, journal: nothing });
}

type Step = typeof step extends fc.Arbitrary<infer One> ? One : never;

/** What the step does to the file and what it answers. */
function perform(file: FileHandle, one: Step): string {
  switch (one.type) {
    case "write":
      return `wrote ${file.write(new Uint8Array(one.length).fill(one.fill), one.at)}`;
    case "truncate":
      file.truncate(one.at);
      return "truncated";
    case "read": {
      const into = new Uint8Array(one.length);
      return `${file.read(into, one.at)} ${Buffer.from(into).toString("latin1")}`;
    }
  }
}

describe("files under an overlay", () => {
  it("read and write as files do, and what lies beneath stays as it was", () => {
    fc.assert(
      fc.property(lengths, fc.array(step, { maxLength: 12 }), (length, steps) => {
        const beneath = filesOf(length);
        const overlay = overlayFiles(beneath).main;
        const model = filesOf(length).main;
        const whole = { type: "read" as const, at: 0, length: 50_000 };
        for (const one of [...steps, whole]) {
          expect(perform(overlay, one) === perform(model, one)).toBe(true);
          expect(overlay.size()).toBe(model.size());
        }
        expect(Buffer.from(beneath.main.contents()).equals(filesOf(length).main.contents())).toBe(
          true,
        );
      }),
      { numRuns: 100 },
    );
  });
});
