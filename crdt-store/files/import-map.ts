/**
 * The names under which the published sql.js build imports its file syscalls. They are minified, hence private to one
 * release: `tests/unit/crdt-store/import-map.test.ts` derives this table anew by running the same SQL on the release
 * and the debug build (whose names are plain) and lining up the two sequences of imported calls. It fails on any other
 * sql.js until the table is right again.
 */
export const sqlJsVersion = "1.16.0";

/** SHA-256 (hex) of `sql-wasm.wasm`, byte for byte the same file as `sql-wasm-browser.wasm`. */
export const wasmSha256 = "43bbcdd44287e5a2db3b6b5af34b1a3485a7a441285d247976c1ebe3c61f8dbf";

export const memoryExport = "O";
export const importModule = "a";

export const importNames = {
  faccessat: "D",
  fcntl64: "b",
  fstat64: "g",
  ftruncate64: "J",
  lstat64: "M",
  newfstatat: "L",
  openat: "x",
  stat64: "N",
  unlinkat: "o",
  fd_close: "e",
  fd_read: "t",
  fd_seek: "E",
  fd_sync: "K",
  fd_write: "q",
  fchmod: "j",
  fchown32: "h",
} as const;

export type SyscallName = keyof typeof importNames;
