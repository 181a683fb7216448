import { describe } from "vitest";

import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { describeFiles } from "./files-contract.ts";

describe("files in memory", () => {
  describeFiles(() => {
    const files = new MemoryFiles();
    return { files, reopen: () => new MemoryFiles(files.snapshot()), teardown: () => undefined };
  });
});

describe("files on the fault-injecting disk, without faults", () => {
  describeFiles(() => {
    const files = new FaultyFiles(() => 0);
    return { files, reopen: () => files, teardown: () => undefined };
  });
});
