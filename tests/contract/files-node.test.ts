import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { closeFiles } from "#crdt-store/files/file.ts";
import { lockDirectory, openNodeFiles } from "#crdt-store/files/node.ts";
import { describeFiles } from "./files-contract.ts";

describe("files of Node", () => {
  describeFiles(() => {
    const directory = mkdtempSync(join(tmpdir(), "sealeaf-files-"));
    let files = openNodeFiles(directory);
    return {
      files,
      reopen(open) {
        closeFiles(open);
        return (files = openNodeFiles(directory));
      },
      teardown() {
        closeFiles(files);
        rmSync(directory, { recursive: true });
      },
    };
  });
});

describe("the lock of a directory", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "sealeaf-lock-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it("keeps others out, naming the holder, until it is released", () => {
    const lock = lockDirectory(directory);
    expect(() => lockDirectory(directory)).toThrow(
      expect.objectContaining({
        type: "locked",
        message: expect.stringContaining(`process ${process.pid}`),
      }),
    );
    lock.release();
    lockDirectory(directory).release();
  });

  it("is readable by its owner only, like the files", () => {
    lockDirectory(directory);
    closeFiles(openNodeFiles(directory));
    for (const name of ["lock", "main", "wal", "journal"]) {
      expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    }
  });

  it("of another running process is respected", async () => {
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    await once(other, "spawn");
    writeFileSync(join(directory, "lock"), `${other.pid}\n`);
    expect(() => lockDirectory(directory)).toThrow(`process ${other.pid}`);
    other.kill();
    await once(other, "exit");
    lockDirectory(directory).release();
  });

  it("left by a process that is gone is taken over", () => {
    const gone = spawnSync(process.execPath, ["-e", ""]);
    writeFileSync(join(directory, "lock"), `${gone.pid}\n`);
    const lock = lockDirectory(directory);
    expect(readFileSync(join(directory, "lock"), "utf8")).toMatch(`${process.pid}\n`);
    lock.release();
  });

  it.runIf(process.platform === "linux")(
    "left by an earlier process with the same id is taken over, as in a container",
    () => {
      writeFileSync(join(directory, "lock"), `${process.pid}\nanother-boot 17\n`);
      expect(() => lockDirectory(directory).release()).not.toThrow();
    },
  );

  it("that cannot be read is taken over", () => {
    writeFileSync(join(directory, "lock"), "");
    expect(() => lockDirectory(directory).release()).not.toThrow();
  });
});
