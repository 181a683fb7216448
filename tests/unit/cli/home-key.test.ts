/** The key file of a home, on a real directory. */
import {
  chmodSync,
  closeSync,
  linkSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import {
  changeHomePassphrase,
  closeKeyToOthers,
  createHomeKey,
  hasPassphrase,
  readHomeKey,
} from "#client/cli/home-key.ts";

const first = "four wet green leaves";
const second = "five dry brown leaves";

const made: string[] = [];
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true });
});

function setupHome() {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-key-"));
  made.push(dir);
  const key = createHomeKey(dir);
  const path = join(dir, "key");
  return { dir, key, path, file: () => new Uint8Array(readFileSync(path)) };
}

const unasked = (): Promise<string> => Promise.reject(new Error("nobody is to be asked"));

describe("a key without a passphrase", () => {
  it("is read without asking, by its owner alone", async () => {
    const { dir, key, path } = setupHome();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await readHomeKey(dir, unasked)).toEqual(key);
    expect(hasPassphrase(dir)).toBe(false);
  });

  it("that others could read is closed to them, and not in silence", () => {
    const { dir, path } = setupHome();
    const told: string[] = [];
    chmodSync(path, 0o644);
    closeKeyToOthers(dir, (sentence) => told.push(sentence));
    closeKeyToOthers(dir, (sentence) => told.push(sentence));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(told).toEqual([expect.stringMatching(/Others could read the key file/)]);
  });

  it("that is missing or has another length is refused and left alone", async () => {
    const { dir, path } = setupHome();
    writeFileSync(path, "short");
    await expect(readHomeKey(dir, unasked)).rejects.toThrow(/is damaged: it must hold 32 bytes/);
    expect(readFileSync(path, "utf8")).toBe("short");
    rmSync(path);
    await expect(readHomeKey(dir, unasked)).rejects.toThrow(/is missing/);
    expect(readdirSync(dir)).toEqual([]);
  });
});

// Argon2id is meant to take its time.
describe("a passphrase", { timeout: 60_000 }, () => {
  it("opens the same key as before, and only the right one does", async () => {
    const { dir, key, path } = setupHome();
    await changeHomePassphrase(dir, { action: "set", next: first });
    expect(hasPassphrase(dir)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await readHomeKey(dir, async () => first)).toEqual(key);
    await expect(readHomeKey(dir, async () => second)).rejects.toMatchObject({
      code: "wrong-passphrase",
    });
    await changeHomePassphrase(dir, { action: "change", current: first, next: second });
    await expect(readHomeKey(dir, async () => first)).rejects.toMatchObject({
      code: "wrong-passphrase",
    });
    await changeHomePassphrase(dir, { action: "remove", current: second });
    expect(await readHomeKey(dir, unasked)).toEqual(key);
    expect(readdirSync(dir)).toEqual(["key"]);
  });

  it("that does not fit what is there is refused, and changes nothing", async () => {
    const { dir, file } = setupHome();
    const bare = file();
    const refused = async (
      change: Parameters<typeof changeHomePassphrase>[1],
      sentence: RegExp,
    ): Promise<void> => {
      const before = file();
      await expect(changeHomePassphrase(dir, change)).rejects.toThrow(sentence);
      expect(file()).toEqual(before);
    };
    await refused({ action: "set", next: "short" }, /at least 8 characters/);
    await refused({ action: "remove", current: first }, /has no passphrase/);
    await refused({ action: "change", current: first, next: second }, /has no passphrase/);
    await changeHomePassphrase(dir, { action: "set", next: first });
    expect(file()).not.toEqual(bare);
    await refused({ action: "set", next: second }, /has a passphrase already/);
    await refused({ action: "change", current: second, next: first }, /does not open this home/);
    await refused({ action: "change", current: first, next: "" }, /at least 8 characters/);
    await refused({ action: "remove", current: second }, /does not open this home/);
  });

  it("leaves nothing of the bare key in the file it replaces, unless that has another name", async () => {
    const { dir, key, path } = setupHome();
    const replaced = openSync(path, "r");
    await changeHomePassphrase(dir, { action: "set", next: first });
    const left = new Uint8Array(readFileSync(replaced));
    closeSync(replaced);
    expect(left).toHaveLength(key.length);
    expect(left).not.toEqual(key);

    await changeHomePassphrase(dir, { action: "remove", current: first });
    const backup = join(dir, "backup");
    linkSync(path, backup);
    await changeHomePassphrase(dir, { action: "set", next: first });
    expect(new Uint8Array(readFileSync(backup))).toEqual(key);
  });

  it("does not open a record that is damaged, and leaves it alone", async () => {
    const { dir, path, file } = setupHome();
    await changeHomePassphrase(dir, { action: "set", next: first });
    const record = file();
    const damages: readonly (readonly [Uint8Array, RegExp])[] = [
      [record.slice(0, 60), /is damaged/],
      [record.with(60, (record[60] ?? 0) ^ 1), /does not open this home/],
      [record.with(4, 9), /newer version/],
    ];
    for (const [damaged, sentence] of damages) {
      writeFileSync(path, damaged);
      await expect(readHomeKey(dir, async () => first)).rejects.toThrow(sentence);
      expect(file()).toEqual(damaged);
    }
  });
});
