import { DatabaseFiles, FileFault } from "./files/database-file.ts";
import type { FileSet } from "./files/file.ts";
import type { PageCipherOf } from "./files/page-cipher.ts";
import { pageSize } from "./files/page-codec.ts";
import { notesCodec } from "./database-codec.ts";
import type { HeldMainFile, Sqlite } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

const unreadable =
  "A part of the notes on this device could not be read, so they were not copied. Nothing was changed: check the disk.";

/** What a copy's pieces are multiples of, in bytes. */
export const copyUnit = pageSize;

/**
 * The pages of an open store, in clear, as they stood when the copy began. The store may be written to meanwhile: its
 * log takes all of that, and grows until {@link close}.
 */
export class StoreCopy {
  /** In bytes. */
  readonly size: number;
  readonly #held: HeldMainFile;

  constructor(sqlite: Sqlite) {
    this.#held = sqlite.holdMainFile();
    this.size = this.#held.file.size();
  }

  /**
   * Fills `into`, whole pages, with what stands from byte `at` on; returns how many bytes there were. Throws
   * {@link StoreError} `corrupt` or `io`.
   */
  read(into: Uint8Array, at: number): number {
    const wanted = Math.min(into.length, this.size - at);
    try {
      return this.#held.file.read(into.subarray(0, wanted), at);
    } catch (error) {
      throw new StoreError(error instanceof FileFault ? "corrupt" : "io", unreadable, error);
    }
  }

  /** Lets the log be emptied again. */
  close(): void {
    this.#held.release();
  }
}

/** Makes a store of the pages of another, under a key of its own, in empty files, which stay the caller's. */
export class StoreFromCopy {
  readonly #target: DatabaseFiles;
  #size = 0;

  /** @param options.key 32 bytes; null for a store in clear */
  constructor(options: {
    readonly files: FileSet;
    readonly key: Uint8Array | null;
    readonly random: (count: number) => Uint8Array;
    readonly cipher: PageCipherOf;
  }) {
    this.#target = new DatabaseFiles(
      options.files,
      notesCodec(options, options.key, options.random),
      1,
    );
    this.#target.writable = true;
  }

  /** The next pages, whole ones. */
  append(pages: Uint8Array): void {
    this.#target.main.write(pages, this.#size);
    this.#size += pages.length;
  }

  /** Returns once all of it is durable. What the pages hold is judged by whoever opens the store. */
  finish(): void {
    this.#target.main.flush();
  }
}
