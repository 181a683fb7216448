import { DatabaseFiles } from "./database-file.ts";
import type { FileSet } from "./file.ts";
import { pageSize, reservedBytes, type PageCodec } from "./page-codec.ts";
import { StoreError } from "../store-error.ts";

// Stands in the journal file, which SQLite never uses here, while a database is being created. Without it a power cut in
// the middle of the first page would leave a main file that is neither empty nor valid, and nobody could tell it from a
// damaged database full of notes.
const creationMark = new TextEncoder().encode("sealeaf: creating this database\n");

/**
 * Writes the empty database where there is none yet, or where an earlier creation did not finish; otherwise does
 * nothing. Safe to repeat after a crash at any point. Files with contents are never touched: if the main file is empty
 * while the log is not, it throws {@link StoreError} `corrupt`.
 */
export function createDatabase(files: FileSet, codec: PageCodec | null): void {
  if (!isUnfinished(files)) {
    if (files.main.size() > 0) return;
    if (files.wal.size() > 0) {
      throw new StoreError(
        "corrupt",
        "The main file of the notes is empty although their log is not. Nothing was changed; restore a backup, or join again from another device.",
      );
    }
    files.journal.truncate(0);
    files.journal.write(creationMark, 0);
    files.journal.flush();
  }
  files.wal.truncate(0);
  files.wal.flush();
  writeEmptyDatabase(files, codec);
  files.journal.truncate(0);
  files.journal.flush();
}

function isUnfinished(files: FileSet): boolean {
  const found = new Uint8Array(creationMark.length);
  const count = files.journal.read(found, 0);
  return count === found.length && found.every((byte, index) => byte === creationMark[index]);
}

function writeEmptyDatabase(files: FileSet, codec: PageCodec | null): void {
  const target = new DatabaseFiles(files, codec, 1);
  target.writable = true;
  target.main.truncate(0);
  target.main.write(emptyPage(), 0);
  target.main.flush();
}

// https://sqlite.org/fileformat2.html#the_database_header. SQLite has no pragma for the reserved bytes, hence a page by
// hand; plain databases get the same, so that the pages of one can become the pages of the other.
function emptyPage(): Uint8Array {
  const page = new Uint8Array(pageSize);
  const view = new DataView(page.buffer);
  page.set(new TextEncoder().encode("SQLite format 3\0"));
  view.setUint16(16, pageSize);
  page.set([2, 2], 18); // write and read version: write-ahead log
  page.set([reservedBytes, 64, 32, 32], 20); // 64, 32, 32: fixed payload fractions
  view.setUint32(24, 1); // change counter
  view.setUint32(28, 1); // size in pages
  view.setUint32(44, 4); // schema format
  view.setUint32(56, 1); // UTF-8
  view.setUint32(92, 1); // change counter for which the size is valid
  view.setUint32(96, 3_054_001); // SQLite version
  page[100] = 13; // leaf of a table b-tree, without cells
  view.setUint16(105, pageSize - reservedBytes); // where cell contents start
  return page;
}
