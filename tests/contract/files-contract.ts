import { expect, it } from "vitest";

import { fileRoles, type FileSet } from "#crdt-store/files/file.ts";

/** What every back-end promises. `reopen` closes the given files and opens the same ones again. */
export function describeFiles(
  setup: () => {
    readonly files: FileSet;
    reopen(files: FileSet): FileSet;
    teardown(): void;
  },
): void {
  function withFiles(test: (fixture: ReturnType<typeof setup>) => void) {
    return () => {
      const fixture = setup();
      try {
        test(fixture);
      } finally {
        fixture.teardown();
      }
    };
  }

  it(
    "starts with three empty files",
    withFiles(({ files }) => {
      expect(fileRoles.map((role) => files[role].size())).toEqual([0, 0, 0]);
    }),
  );

  it(
    "reads what was written, anywhere, and says how much there was",
    withFiles(({ files }) => {
      expect(files.main.write(new Uint8Array([1, 2, 3, 4]), 0)).toBe(4);
      expect(files.main.write(new Uint8Array([9]), 2)).toBe(1);
      const into = new Uint8Array(6).fill(7);
      expect(files.main.read(into, 1)).toBe(3);
      expect([...into]).toEqual([2, 9, 4, 7, 7, 7]);
      expect(files.main.read(into, 4)).toBe(0);
      expect(files.main.read(into, 400)).toBe(0);
      expect(files.wal.size()).toBe(0);
    }),
  );

  it(
    "fills a gap with zeros, after a truncation too",
    withFiles(({ files }) => {
      files.main.write(new Uint8Array(8).fill(5), 0);
      files.main.truncate(2);
      expect(files.main.size()).toBe(2);
      files.main.write(new Uint8Array([6]), 5);
      const into = new Uint8Array(6);
      expect(files.main.read(into, 0)).toBe(6);
      expect([...into]).toEqual([5, 5, 0, 0, 0, 6]);
      files.main.truncate(8);
      expect(files.main.size()).toBe(8);
    }),
  );

  it(
    "keeps the bytes of each file over closing",
    withFiles((fixture) => {
      for (const [index, role] of fileRoles.entries()) {
        fixture.files[role].write(new Uint8Array([index + 1]), 0);
        fixture.files[role].flush();
      }
      const again = fixture.reopen(fixture.files);
      for (const [index, role] of fileRoles.entries()) {
        const into = new Uint8Array(2);
        expect(again[role].read(into, 0)).toBe(1);
        expect(into[0]).toBe(index + 1);
      }
    }),
  );

  it(
    "writes from a view in the middle of a larger buffer",
    withFiles(({ files }) => {
      const heap = Uint8Array.from({ length: 64 }, (_, index) => index);
      files.wal.write(heap.subarray(10, 14), 0);
      files.wal.read(heap.subarray(40, 44), 0);
      expect([...heap.subarray(39, 45)]).toEqual([39, 10, 11, 12, 13, 44]);
    }),
  );
}
