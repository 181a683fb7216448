import { argon2id as nobleArgon2id } from "@noble/hashes/argon2.js";
import { sha256 } from "@noble/hashes/sha2.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { wasmArgon2id } from "#client/crypto/argon2id.ts";
import {
  isPassphraseLock,
  leanWork,
  lockWithPassphrase,
  openPassphraseLock,
  passphraseFault,
  usualWork,
  type Argon2id,
} from "#client/crypto/passphrase-lock.ts";
import { concat, parseHex, toHex, utf8 } from "#relay/protocol/bytes.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const key = bytesNamed("database key", 32);

/** Made by this code; a version that reads it otherwise locks people out. */
const knownRecord =
  "534c504c010100010000000000033973b720f5cdaa2b848cc26f3afd57cb7e47af158e9db54fc5e4902996f536" +
  "0a933c581e7bad3543216b74bd5d8e979f5061ebc1470584be8fe61e22d2fbf544ed0fd1035dd93b56b995ad67" +
  "bea3aff0b9c6e09f9b9a7730";

/** As sensitive to every input as the real one, and a million times faster. */
const quickKdf: Argon2id = async (password, salt, { memoryKiB, passes }) =>
  sha256(concat(utf8(`${memoryKiB} ${passes} `), salt, password));

/** The salt first, then the nonce: the same bytes in every run. */
function fixedRandom(): (count: number) => Uint8Array {
  const names = ["salt", "nonce"];
  return (count) => bytesNamed(names.shift() ?? "more", count);
}

function lock(passphrase: string, argon2id = quickKdf): Promise<Uint8Array | null> {
  return lockWithPassphrase(key, passphrase, { argon2id, random: fixedRandom() });
}

async function locked(passphrase: string): Promise<Uint8Array> {
  const record = await lock(passphrase);
  if (record === null) throw new Error("the quick function needs no memory");
  return record;
}

// It is meant to take its time.
describe("Argon2id", { timeout: 60_000 }, () => {
  it("gives what its authors' own test expects", async () => {
    // phc-winner-argon2, src/test.c: version 0x13, t = 2, m = 2^16, p = 1.
    const hash = await wasmArgon2id(utf8("password"), utf8("somesalt"), {
      memoryKiB: 65_536,
      passes: 2,
    });
    expect(toHex(hash ?? new Uint8Array())).toBe(
      "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7",
    );
  });

  it("gives what another implementation gives for the least work we use", async () => {
    const { memoryKiB: m, passes: t } = leanWork;
    const salt = bytesNamed("salt", 16);
    const expected = nobleArgon2id(utf8("pässphrase"), salt, { m, t, p: 1, dkLen: 32 });
    expect(await wasmArgon2id(utf8("pässphrase"), salt, leanWork)).toEqual(expected);
  });

  it("says so where the memory cannot be had", async () => {
    const all = { memoryKiB: 4 * 1024 * 1024, passes: 1 };
    expect(await wasmArgon2id(utf8("password"), utf8("somesalt"), all)).toBeNull();
  });
});

describe("a key locked with a passphrase", { timeout: 60_000 }, () => {
  it("has these bytes", async () => {
    const record = await lock("correct horse battery staple", wasmArgon2id);
    expect(toHex(record ?? new Uint8Array())).toBe(knownRecord);
  });

  it("opens from these bytes, with another implementation of Argon2id", async () => {
    const record = parseHex(knownRecord) ?? new Uint8Array();
    const noble: Argon2id = async (password, salt, { memoryKiB: m, passes: t }) =>
      nobleArgon2id(password, salt, { m, t, p: 1, dkLen: 32 });
    expect(isPassphraseLock(record)).toBe(true);
    const opening = await openPassphraseLock(record, "correct horse battery staple", noble);
    expect(opening).toEqual({ type: "open", key });
  });

  it("opens with its passphrase and with no other", async () => {
    const phrase = fc.string({ unit: "grapheme", minLength: 8, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(phrase, phrase, async (right, other) => {
        fc.pre(passphraseFault(right) === null);
        fc.pre(right.normalize("NFKC") !== other.normalize("NFKC"));
        const record = await locked(right);
        expect(await openPassphraseLock(record, right, quickKdf)).toEqual({ type: "open", key });
        const wrong = await openPassphraseLock(record, other, quickKdf);
        expect(wrong).toEqual({ type: "wrong-passphrase" });
      }),
    );
  });

  it("opens with the same characters typed on another keyboard", async () => {
    const record = await locked("für élise ﬁnale");
    const decomposed = "für élise finale".normalize("NFD");
    expect(await openPassphraseLock(record, decomposed, quickKdf)).toEqual({ type: "open", key });
  });

  it("does not open when any bit of it was changed, or a part is missing", async () => {
    const record = await locked("four wet green leaves");
    for (let bit = 0; bit < record.length * 8; bit += 1) {
      const byte = bit >> 3;
      const changed = record.with(byte, (record[byte] ?? 0) ^ (1 << (bit & 7)));
      const opening = await openPassphraseLock(changed, "four wet green leaves", quickKdf);
      expect(opening.type).not.toBe("open");
    }
    for (let length = 0; length < record.length; length += 1) {
      const cut = record.slice(0, length);
      const opening = await openPassphraseLock(cut, "four wet green leaves", quickKdf);
      expect(opening.type).toBe("damaged");
    }
  });

  it("is not even tried with cheaper work than we ever write, nor with work beyond all measure", async () => {
    const record = await locked("four wet green leaves");
    const asked: unknown[] = [];
    const counting: Argon2id = (password, salt, work) => {
      asked.push(work);
      return quickKdf(password, salt, work);
    };
    for (const [memoryKiB, passes] of [
      [8, 3],
      [leanWork.memoryKiB - 1, 3],
      [usualWork.memoryKiB, 1],
      [2 ** 32 - 1, 3],
      [usualWork.memoryKiB, 2 ** 32 - 1],
    ] as const) {
      const changed = record.slice();
      new DataView(changed.buffer).setUint32(6, memoryKiB);
      new DataView(changed.buffer).setUint32(10, passes);
      const opening = await openPassphraseLock(changed, "four wet green leaves", counting);
      expect(opening).toEqual({ type: "damaged" });
    }
    expect(asked).toEqual([]);
  });

  it("is bound to its parameters also where they are allowed", async () => {
    const record = await locked("four wet green leaves");
    const lean = record.slice();
    new DataView(lean.buffer).setUint32(6, leanWork.memoryKiB);
    new DataView(lean.buffer).setUint32(10, leanWork.passes);
    // Even a function that gave the same key for any work would not open it.
    const blind: Argon2id = async (password, salt) => sha256(concat(salt, password));
    const same = await lock("four wet green leaves", blind);
    expect((await openPassphraseLock(lean, "four wet green leaves", quickKdf)).type).toBe(
      "wrong-passphrase",
    );
    const cheap = (same ?? new Uint8Array()).slice();
    new DataView(cheap.buffer).setUint32(6, leanWork.memoryKiB);
    expect((await openPassphraseLock(cheap, "four wet green leaves", blind)).type).toBe(
      "wrong-passphrase",
    );
  });

  it("says when a newer version wrote it", async () => {
    const record = (await locked("four wet green leaves")).with(4, 2);
    expect(await openPassphraseLock(record, "four wet green leaves", quickKdf)).toEqual({
      type: "newer-version",
    });
  });

  it("asks for less memory where there is not enough, and for none less than that", async () => {
    const limitedTo =
      (mostKiB: number): Argon2id =>
      async (password, salt, work) =>
        work.memoryKiB > mostKiB ? null : quickKdf(password, salt, work);
    const lean = await lock("four wet green leaves", limitedTo(32 * 1024));
    const opening = openPassphraseLock(lean ?? new Uint8Array(), "four wet green leaves", quickKdf);
    expect(await opening).toEqual({ type: "open", key });
    expect(await lock("four wet green leaves", limitedTo(8 * 1024))).toBeNull();
    const record = await locked("four wet green leaves");
    expect(await openPassphraseLock(record, "four wet green leaves", limitedTo(32 * 1024))).toEqual(
      { type: "no-memory" },
    );
  });
});

describe("a passphrase", () => {
  it("too short to withstand guessing is refused with a sentence", () => {
    for (const short of ["", "        ", "seven 7", "  short   ", "🔑🔑🔑🔑🔑🔑🔑"]) {
      expect(passphraseFault(short)).toMatch(/at least 8 characters/);
    }
    for (const fine of ["eight888", "🔑🔑🔑🔑🔑🔑🔑🔑", "four wet green leaves"]) {
      expect(passphraseFault(fine)).toBeNull();
    }
  });

  it("too long to be typed is refused", () => {
    expect(passphraseFault("a".repeat(1_024))).toBeNull();
    expect(passphraseFault("a".repeat(1_025))).toMatch(/at most 1024 characters/);
  });
});
