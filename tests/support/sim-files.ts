import type { FileContents } from "#crdt-store/files/memory.ts";
import { MemoryFile } from "#crdt-store/files/memory.ts";
import type { FileSet } from "#crdt-store/files/file.ts";

/** Files of a process that may be killed between any two flushes. */
export class KillableFiles implements FileSet {
  readonly main: MemoryFile;
  readonly wal: MemoryFile;
  readonly journal: MemoryFile;
  #flushesLeft = Infinity;
  #left: FileContents | null = null;
  #onKilled: () => void = () => undefined;

  constructor(contents: FileContents | null) {
    const onFlush = (): void => this.#flushed();
    this.main = new FlushingFile(contents?.main, onFlush);
    this.wal = new FlushingFile(contents?.wal, onFlush);
    this.journal = new FlushingFile(contents?.journal, onFlush);
  }

  /** Killed at the so-manieth flush from now, at once with 0: what the files hold then is what is left. */
  killAfter(flushes: number, onKilled: () => void): void {
    this.#flushesLeft = flushes;
    this.#onKilled = onKilled;
    if (flushes === 0) this.#end();
  }

  /** What the process leaves behind; writes after it was killed are not in it. */
  remains(): FileContents {
    return this.#left ?? this.#contents();
  }

  #flushed(): void {
    this.#flushesLeft -= 1;
    if (this.#flushesLeft <= 0) this.#end();
  }

  #end(): void {
    if (this.#left !== null) return;
    this.#left = this.#contents();
    this.#onKilled();
  }

  #contents(): FileContents {
    return {
      main: this.main.contents(),
      wal: this.wal.contents(),
      journal: this.journal.contents(),
    };
  }
}

class FlushingFile extends MemoryFile {
  readonly #onFlush: () => void;

  constructor(contents: Uint8Array | undefined, onFlush: () => void) {
    super(contents);
    this.#onFlush = onFlush;
  }

  override flush(): void {
    this.#onFlush();
  }
}
