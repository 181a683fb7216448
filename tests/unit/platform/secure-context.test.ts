import { describe, expect, it } from "vitest";
import { insecureAddress } from "#client/app/platform/secure-context.ts";

describe("a page opened where browsers give no storage or encryption", () => {
  it("is told in one sentence where to go instead", () => {
    const address = { isSecureContext: false, hostname: "nas.home", host: "nas.home:8080" };
    const sentence = insecureAddress(address);
    expect(sentence).toContain("http://nas.home:8080");
    expect(sentence).toContain("https://nas.home");
    expect(sentence).toContain("localhost");
  });

  it("is not bothered on https or localhost", () => {
    const address = { isSecureContext: true, hostname: "localhost", host: "localhost:8080" };
    expect(insecureAddress(address)).toBeNull();
  });
});
