import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { keyVectors } from "#tests/vectors/keys.ts";

const committed: unknown = JSON.parse(
  readFileSync(new URL("../../vectors/keys.json", import.meta.url), "utf8"),
);

function hmac(key: Buffer, ...parts: readonly (string | Buffer)[]): Buffer {
  const mac = createHmac("sha256", key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

describe("the committed keys", () => {
  it("are what this version derives: notes of an earlier one still open", () => {
    expect(keyVectors()).toEqual(committed);
  });

  it("follow from HKDF-SHA-256 as RFC 5869 has it, by another implementation", () => {
    const entropy = Buffer.alloc(32);
    const root = hmac(Buffer.from("sealeaf/1/root"), entropy);
    const admin = hmac(root, "sealeaf/1/vault-admin", Buffer.from([1]));
    const box = hmac(root, "sealeaf/1/recovery-box", Buffer.from([1]));
    expect(committed).toMatchObject({
      words: {
        entropy: entropy.toString("hex"),
        vaultAdminSeed: admin.toString("hex"),
        recoveryBoxSecret: box.toString("hex"),
      },
    });
  });
});
