import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { concat, utf8 } from "#relay/protocol/bytes.ts";
import { chainStart, hashInDomain, inDomain } from "#relay/protocol/domain.ts";

describe("domains", () => {
  it("[GEN-2] are the string, a zero and the input, so that none is a prefix of another", () => {
    const input = utf8("input");
    const expected = concat(utf8("sealeaf/1/chain"), new Uint8Array(1), input);
    expect(inDomain("chain", input)).toEqual(expected);
    const hash = createHash("sha256").update(expected).digest();
    expect(Buffer.from(hashInDomain("chain", input))).toEqual(hash);
    expect(chainStart(input)).not.toEqual(hashInDomain("chain", utf8("0"), input));
  });
});
