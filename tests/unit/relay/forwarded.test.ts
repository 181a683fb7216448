/** Whose word on who calls is believed. */
import { describe, expect, it } from "vitest";
import { Networks } from "#relay/config/networks.ts";
import { callerOf } from "#relay/forwarded.ts";

const proxies = new Networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]);
const nobody = new Networks([]);

describe("a caller", () => {
  it("is who connects, whatever its headers say, if it is no trusted proxy", () => {
    const headers = {
      host: "relay.example",
      "x-forwarded-for": "1.2.3.4",
      "x-forwarded-host": "other.example",
      "x-forwarded-proto": "https",
    };
    const plain = { address: "203.0.113.9", host: "relay.example" };
    expect(callerOf(headers, "203.0.113.9", proxies)).toEqual(plain);
    expect(callerOf(headers, "::ffff:203.0.113.9", proxies)).toEqual(plain);
    expect(callerOf(headers, "127.0.0.1", nobody).address).toBe("127.0.0.1");
  });

  it("is the nearest that is no trusted proxy: what stands before it may be made up", () => {
    const from = (path: string): string =>
      callerOf({ "x-forwarded-for": path }, "127.0.0.1", proxies).address;
    expect(from("198.51.100.7")).toBe("198.51.100.7");
    expect(from("1.1.1.1, 198.51.100.7, 10.2.3.4")).toBe("198.51.100.7");
    expect(from("10.9.9.9")).toBe("10.9.9.9");
    expect(from("198.51.100.7, unknown")).toBe("127.0.0.1");
    expect(from("")).toBe("127.0.0.1");
  });

  it("dialled what the trusted proxy says, with the scheme it says", () => {
    const headers = {
      host: "127.0.0.1:8787",
      "x-forwarded-host": "notes.example",
      "x-forwarded-proto": "https",
    };
    expect(callerOf(headers, "10.0.0.1", proxies).host).toBe("https://notes.example");
    const { host } = callerOf({ host: "notes.example" }, "10.0.0.1", proxies);
    expect(host).toBe("notes.example");
    const odd = { host: "a.example", "x-forwarded-proto": "gopher" };
    expect(callerOf(odd, "10.0.0.1", proxies).host).toBe("a.example");
  });

  it.each([
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:db8:1:2::6", "2001:db8:1:2"],
    ["2001:db8::6", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
  ])("with the IPv6 address %s counts with its whole /64", (address, counted) => {
    expect(callerOf({}, address, nobody).address).toBe(counted);
  });
});
