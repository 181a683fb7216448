/** What the origin's private file system answers in browsers that have none, or half of one. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { openOpfsFiles } from "#crdt-store/files/opfs.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

const names = ["TypeError", "SecurityError", "UnknownError", "NotSupportedError"] as const;

function failWith(name: string): () => Promise<never> {
  return () => Promise.reject(new DOMException("as this browser words it", name));
}

interface Stubs {
  readonly createSyncAccessHandle: () => Promise<unknown>;
  readonly bytesKept?: number;
}

function stubFiles({ createSyncAccessHandle, bytesKept = 0 }: Stubs): void {
  const file = {
    createSyncAccessHandle,
    getFile: () => Promise.resolve({ size: bytesKept }),
  };
  const directory = { getFileHandle: () => Promise.resolve(file) };
  const root = { getDirectoryHandle: () => Promise.resolve(directory) };
  vi.stubGlobal("navigator", { storage: { getDirectory: () => Promise.resolve(root) } });
}

const noWait = (): Promise<void> => Promise.resolve();

describe("a browser that keeps no files", () => {
  it("is recognised without a storage manager", async () => {
    vi.stubGlobal("navigator", {});
    await expect(openOpfsFiles("notes", noWait)).rejects.toMatchObject({ type: "no-storage" });
  });

  it.each(names)("is recognised by a %s from the directory", async (name) => {
    vi.stubGlobal("navigator", { storage: { getDirectory: failWith(name) } });
    await expect(openOpfsFiles("notes", noWait)).rejects.toMatchObject({ type: "no-storage" });
  });

  it.each(names)("is recognised by a %s from the first handle", async (name) => {
    stubFiles({ createSyncAccessHandle: failWith(name) });
    await expect(openOpfsFiles("notes", noWait)).rejects.toMatchObject({ type: "no-storage" });
  });
});

describe("a browser that keeps notes and refuses to open them", () => {
  it("is an error, not an empty notebook", async () => {
    stubFiles({ createSyncAccessHandle: failWith("UnknownError"), bytesKept: 4096 });
    await expect(openOpfsFiles("notes", noWait)).rejects.toMatchObject({ type: "io" });
  });
});

describe("files that another worker holds", () => {
  it("are asked for again, for about ten seconds", async () => {
    const pauses: number[] = [];
    const wait = (ms: number): Promise<void> => {
      pauses.push(ms);
      return Promise.resolve();
    };
    stubFiles({ createSyncAccessHandle: failWith("NoModificationAllowedError") });
    await expect(openOpfsFiles("notes", wait)).rejects.toMatchObject({ type: "locked" });
    expect(pauses.at(0)).toBe(5);
    const total = pauses.reduce((sum, ms) => sum + ms, 0);
    expect(total).toBeGreaterThanOrEqual(10_000);
    expect(total).toBeLessThan(13_000);
  });

  it("open once they are let go, and are closed again if the next one fails", async () => {
    let calls = 0;
    let closed = 0;
    stubFiles({
      createSyncAccessHandle: () => {
        calls += 1;
        if (calls === 2) return Promise.resolve({ close: () => (closed += 1) });
        return failWith(calls === 1 ? "NoModificationAllowedError" : "QuotaExceededError")();
      },
    });
    await expect(openOpfsFiles("notes", noWait)).rejects.toMatchObject({
      name: "QuotaExceededError",
    });
    expect(closed).toBe(1);
  });
});
