import { StoreError } from "../store-error.ts";
import { type FileHandle, type FileRole, type FileSet } from "./file.ts";

const firstRetryMs = 5;
const longestRetryMs = 2_000;
const longestWaitMs = 10_000;

// Found by trying, for there is no asking: a browser may offer every function and refuse the last one (WebKitGTK).
const refusals: ReadonlySet<string> = new Set([
  "TypeError", // Safari's private tabs have no storage manager
  "SecurityError", // Firefox's private windows
  "UnknownError", // WebKit's ephemeral sessions
  "NotSupportedError", // file systems without access handles
]);

const noStorageMessage =
  "This browser offers no durable storage here (a private window, perhaps). Notes written now are not saved on this device: copy or export them before closing.";

/**
 * Opens the three files of the database in the directory `directoryName` of the origin's private file system, creating
 * what is missing. Works in dedicated workers only. While another worker still holds a handle it tries again, with
 * pauses through `wait` growing from 5 ms to 2 s, for about ten seconds.
 *
 * Throws {@link StoreError}: `no-storage` where there is no such file system, `locked` when the files stay held, `io`
 * when they hold a database and the browser refuses to open it now.
 */
export async function openOpfsFiles(
  directoryName: string,
  wait: (ms: number) => Promise<void>,
): Promise<FileSet> {
  const directory = await openDirectory(directoryName);
  const opened: Partial<Record<FileRole, FileHandle>> = {};
  try {
    const main = (opened.main = await openHandle(directory, "main", wait));
    const wal = (opened.wal = await openHandle(directory, "wal", wait));
    const journal = (opened.journal = await openHandle(directory, "journal", wait));
    return { main, wal, journal };
  } catch (error) {
    for (const handle of Object.values(opened)) handle.close();
    throw error;
  }
}

/** Whether the directory still has its name: files removed under an open handle go on being written, for nobody. */
export async function hasOpfsFiles(directoryName: string): Promise<boolean> {
  const root = await openRoot();
  try {
    await root.getDirectoryHandle(directoryName);
    return true;
  } catch (error) {
    if (nameOf(error) === "NotFoundError") return false;
    throw error;
  }
}

/** Removes the directory with all files. Call it only to wipe, after the key is gone and the files are closed. */
export async function removeOpfsFiles(directoryName: string): Promise<void> {
  const root = await openRoot();
  try {
    await root.removeEntry(directoryName, { recursive: true });
  } catch (error) {
    if (nameOf(error) !== "NotFoundError") throw error;
  }
}

async function openDirectory(directoryName: string): Promise<FileSystemDirectoryHandle> {
  const root = await openRoot();
  try {
    return await root.getDirectoryHandle(directoryName, { create: true });
  } catch (error) {
    throw isRefusal(error) ? new StoreError("no-storage", noStorageMessage, error) : error;
  }
}

async function openRoot(): Promise<FileSystemDirectoryHandle> {
  try {
    return await navigator.storage.getDirectory();
  } catch (error) {
    throw new StoreError("no-storage", noStorageMessage, error);
  }
}

async function openHandle(
  directory: FileSystemDirectoryHandle,
  role: FileRole,
  wait: (ms: number) => Promise<void>,
): Promise<FileHandle> {
  const file = await createFile(directory, role);
  let pauseMs = firstRetryMs;
  let waitedMs = 0;
  for (;;) {
    try {
      return opfsFile(await file.createSyncAccessHandle());
    } catch (error) {
      if (isRefusal(error)) throw await refusalOf(file, error);
      if (nameOf(error) !== "NoModificationAllowedError") throw error;
      if (waitedMs >= longestWaitMs) {
        throw new StoreError(
          "locked",
          "Another tab or window is holding your notes. Switch to it, or close it and try again.",
          error,
        );
      }
    }
    await wait(pauseMs);
    waitedMs += pauseMs;
    pauseMs = Math.min(pauseMs * 2, longestRetryMs);
  }
}

async function createFile(
  directory: FileSystemDirectoryHandle,
  role: FileRole,
): Promise<FileSystemFileHandle> {
  try {
    return await directory.getFileHandle(role, { create: true });
  } catch (error) {
    throw isRefusal(error) ? new StoreError("no-storage", noStorageMessage, error) : error;
  }
}

/** Where notes lie already the browser can store: an empty notebook in memory must not take their place. */
async function refusalOf(file: FileSystemFileHandle, error: unknown): Promise<StoreError> {
  const { size } = await file.getFile();
  if (size === 0) return new StoreError("no-storage", noStorageMessage, error);
  return new StoreError(
    "io",
    "The browser refuses to open the notes it keeps here. Nothing was changed. Reload this page; if that does not help, restart the browser.",
    error,
  );
}

function opfsFile(handle: FileSystemSyncAccessHandle): FileHandle {
  return {
    // The file system takes no views on shared memory; the heap of the wasm instance is not shared.
    read: (into, at) => handle.read(into as Uint8Array<ArrayBuffer>, { at }),
    write: (from, at) => handle.write(from as Uint8Array<ArrayBuffer>, { at }),
    size: () => handle.getSize(),
    truncate: (length) => handle.truncate(length),
    flush: () => handle.flush(),
    close: () => handle.close(),
  };
}

function isRefusal(error: unknown): boolean {
  return refusals.has(nameOf(error) ?? "");
}

function nameOf(error: unknown): string | undefined {
  return error instanceof Error || error instanceof DOMException ? error.name : undefined;
}
