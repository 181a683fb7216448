import type { Sqlite } from "./sqlite.ts";

/** Chunks of blobs that are being downloaded, sealed as they came, until the blob is whole. */
export class BlobChunks {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  put(blob: Uint8Array, index: number, chunk: Uint8Array): void {
    this.#sqlite.run("INSERT OR REPLACE INTO blob_chunk (blob, ix, bytes) VALUES (?, ?, ?)", [
      blob,
      index,
      chunk,
    ]);
  }

  /** Indices of those that are here, in order. */
  held(blob: Uint8Array): number[] {
    return this.#sqlite
      .all<{ ix: number }>("SELECT ix FROM blob_chunk WHERE blob = ? ORDER BY ix", [blob])
      .map(({ ix }) => ix);
  }

  /** Those that are here, in order. */
  all(blob: Uint8Array): Uint8Array[] {
    return this.#sqlite
      .all<{ bytes: Uint8Array }>("SELECT bytes FROM blob_chunk WHERE blob = ? ORDER BY ix", [blob])
      .map(({ bytes }) => bytes);
  }

  forget(blob: Uint8Array): void {
    this.#sqlite.run("DELETE FROM blob_chunk WHERE blob = ?", [blob]);
  }
}
