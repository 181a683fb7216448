import { expect, it } from "vitest";
import { newInvite } from "#relay/access.ts";
import { toBase64url } from "#relay/protocol/bytes.ts";

it("an invitation never begins with a dash, which a command would take for an option", () => {
  const beginnings = [0xf8, 0xfb, 0xfc];
  const drawn = newInvite((bytes) => new Uint8Array(bytes).fill(beginnings.shift() ?? 0));
  expect(toBase64url(new Uint8Array(16).fill(0xf8))).toMatch(/^-/);
  expect(drawn).toEqual(new Uint8Array(16).fill(0xfc));
  expect(toBase64url(drawn)).toMatch(/^_/);
});
