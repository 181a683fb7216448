/**
 * An open file. All methods are synchronous and may throw; a `QuotaExceededError` or an error whose `code` is
 * `ENOSPC` means that the disk is full.
 */
export interface FileHandle {
  /** Fills `into` from byte `at` on; returns how many bytes there were: fewer means end of file. */
  read(into: Uint8Array, at: number): number;
  /** Writes all of `from` at byte `at`, growing the file; returns how many bytes were taken. */
  write(from: Uint8Array, at: number): number;
  size(): number;
  truncate(length: number): void;
  /** Returns once everything written so far survives a power cut. */
  flush(): void;
  close(): void;
}

export type FileRole = "main" | "wal" | "journal";

/** The three files of one database. They are opened before SQLite starts and stay open; none is ever deleted. */
export type FileSet = { readonly [role in FileRole]: FileHandle };

export const fileRoles = ["main", "wal", "journal"] as const satisfies readonly FileRole[];

/** What they take on the disk. */
export function bytesOfFiles(files: FileSet): number {
  return fileRoles.reduce((sum, role) => sum + files[role].size(), 0);
}

/** Closes all three, also when closing one of them fails; then throws that first failure. */
export function closeFiles(files: FileSet): void {
  const failures: unknown[] = [];
  for (const role of fileRoles) {
    try {
      files[role].close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
