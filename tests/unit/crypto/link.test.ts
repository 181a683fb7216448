import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatLink, parseLink, type ShareLink } from "#client/crypto/link.ts";

const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
const relay = fc.constantFrom(null, "wss://notes.example/v1", "ws://localhost:8787/v1");
const role = fc.constantFrom<ShareLink["role"]>("read", "edit", "device");
const link: fc.Arbitrary<ShareLink> = fc.record({ role, secret: bytes, spaceId: bytes, relay });

describe("a link", () => {
  it("says the same after it was written down, as a whole or only its fragment", () => {
    fc.assert(
      fc.property(
        link,
        fc.constantFrom("https://a.example", "https://a.example/app/"),
        (made, app) => {
          const text = formatLink(app, made);
          expect(parseLink(text)).toEqual({ ok: true, link: made });
          expect(parseLink(` ${text}\n`)).toEqual({ ok: true, link: made });
          expect(parseLink(text.slice(text.indexOf("#") + 1))).toEqual({ ok: true, link: made });
        },
      ),
    );
  });

  it("keeps everything secret behind the #, which browsers never send", () => {
    fc.assert(
      fc.property(link, (made) => {
        const [before] = formatLink("https://a.example/#old", made).split("#");
        expect(before).toBe("https://a.example/");
      }),
    );
  });
});

describe("a damaged link is refused with a sentence, never with an exception,", () => {
  const good = formatLink("https://a.example", {
    role: "edit",
    secret: new Uint8Array(32).fill(1),
    spaceId: new Uint8Array(32).fill(2),
    relay: null,
  });

  it("when a part is missing, cut or added", () => {
    const damaged = { ok: false, message: expect.stringContaining("damaged") };
    expect(parseLink(good.slice(0, -1))).toEqual(damaged);
    expect(parseLink(`${good}A`)).toEqual(damaged);
    expect(parseLink(`${good}..x`)).toEqual(damaged);
    expect(parseLink(good.replace(/\.[^.]*$/, "."))).toEqual(damaged);
    expect(parseLink(good.replace("#1e.", "#1e.!"))).toEqual(damaged);
  });

  it("when it names a relay that is none", () => {
    const relays = [
      "https://a.example/v1",
      "javascript:alert(1)",
      "",
      "wss://",
      "wss://a.example/",
    ];
    for (const text of relays) {
      const named = `${good}.${Buffer.from(text).toString("base64url")}`;
      expect(parseLink(named)).toEqual({
        ok: false,
        message: expect.stringContaining("This link is damaged: the relay it names"),
      });
    }
  });

  it("wherever it was cut short, within the address of its relay too", () => {
    const whole = `${good}.${Buffer.from("wss://a.example:8443/notes/v1").toString("base64url")}`;
    expect(parseLink(whole)).toMatchObject({ ok: true });
    for (let length = good.length + 1; length < whole.length; length += 1) {
      expect(parseLink(whole.slice(0, length))).toMatchObject({ ok: false });
    }
  });

  it("when it is something else", () => {
    const other = { ok: false, message: "This is not a Sealeaf link." };
    for (const text of ["", "#", "https://a.example/", "hello", good.replace("#1e", "#2e")]) {
      expect(parseLink(text)).toEqual(other);
    }
  });

  it("whatever it is", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.string({ maxLength: 120 }).map((rest) => `#1e.${rest}`),
      fc
        .tuple(fc.nat(good.length - 1), fc.string({ maxLength: 3 }))
        .map(([at, put]) => good.slice(0, at) + put + good.slice(at + 1)),
    );
    fc.assert(
      fc.property(text, (typed) => {
        const parsed = parseLink(typed);
        const told = parsed.ok
          ? `${parsed.link.secret.length} and ${parsed.link.spaceId.length} bytes`
          : parsed.message;
        expect(told).toMatch(/^32 and 32 bytes$|^[A-Z].*\.$/);
      }),
      { numRuns: 500 },
    );
  });
});
