/** What an operator may set, in which order, and what is said about mistakes. */
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { readConfig, type Config } from "#relay/config/config.ts";
import type { ConfigSources } from "#relay/config/setting-reader.ts";
import { settings, variableOf } from "#relay/config/settings.ts";

function configOf(sources: Partial<ConfigSources> = {}): Config {
  const result = readConfig({ environment: {}, ...sources });
  if (!result.ok) throw new Error(result.mistakes.join("\n"));
  return result.config;
}

function mistakesIn(sources: Partial<ConfigSources>): readonly string[] {
  const result = readConfig({ environment: {}, ...sources });
  return result.ok ? [] : result.mistakes;
}

function fileWith(content: unknown): { readonly path: string; readonly text: string } {
  return { path: "relay.json", text: JSON.stringify(content) };
}

describe("the configuration", () => {
  it("needs nothing", () => {
    expect(configOf()).toMatchObject({
      host: "127.0.0.1",
      port: 8787,
      store: { type: "sqlite" },
      access: "open",
      guests: true,
      metrics: null,
      keyQuotaBytes: 4 * 2 ** 30,
      limits: { spaceBytes: 2 ** 30, connectionsPerAddress: 32 },
    });
  });

  it("lets flags win over the environment, that over the file, and that over the defaults", () => {
    const file = fileWith({ port: 1, keepFree: "1GiB", guests: false });
    const environment = { SEALEAF_PORT: "2", SEALEAF_HOST: " ::1 " };
    expect(configOf({ file }).port).toBe(1);
    expect(configOf({ file, environment }).port).toBe(2);
    const config = configOf({ file, environment, flags: { port: "3" } });
    expect(config).toMatchObject({ port: 3, host: "::1", guests: false, keepFreeBytes: 2 ** 30 });
  });

  it("says of every setting what it is and where it was found", () => {
    const result = readConfig({
      environment: { SEALEAF_PORT: "2" },
      file: fileWith({ guests: "off" }),
    });
    const effective = result.ok ? result.effective : [];
    expect(effective.map(({ name }) => name)).toEqual(settings.map(({ name }) => name));
    expect(effective).toContainEqual({ name: "port", value: "2", origin: "SEALEAF_PORT" });
    expect(effective).toContainEqual({
      name: "guests",
      value: "off",
      origin: '"guests" in relay.json',
    });
    expect(effective).toContainEqual({ name: "host", value: "127.0.0.1", origin: "default" });
  });

  it("names every mistake at once, with the value and what is allowed", () => {
    const sources = {
      environment: {
        SEALEAF_PORT: "70000",
        SEALEAF_DATTA: "/data",
        SEALEAF_ACCESS: "closed",
        SEALEAF_TRUSTED_PROXIES: "10.0.0.0/33",
        SEALEAF_PUBLIC_URL: "https://notes.example/?a=1",
        SEALEAF_ALLOWED_KEYS: "abcd",
        SEALEAF_METRICS_PORT: "on",
      },
      flags: { "space-quota": "12 bananas" },
      file: fileWith({ keepFree: "-1", colour: "red", log: {} }),
    };
    expect(mistakesIn(sources)).toEqual([
      '"log" in relay.json is a text, a number, true, false or a list of texts.',
      "SEALEAF_DATTA is not a setting of this relay.",
      '"colour" in relay.json is not a setting of this relay.',
      'SEALEAF_PUBLIC_URL is an address like https://notes.example or https://example.org/notes, not "https://notes.example/?a=1".',
      'SEALEAF_PORT is a number from 0 to 65535, not "70000".',
      'SEALEAF_TRUSTED_PROXIES is addresses or networks like 127.0.0.1, 10.0.0.0/8, not "10.0.0.0/33".',
      'SEALEAF_ACCESS is open, invite or allowlist, not "closed".',
      'SEALEAF_ALLOWED_KEYS is access keys of 64 hex digits, as a client shows its own, not "abcd".',
      '--space-quota is a size of at least 1048576 bytes like 512MiB or 1GiB, not "12 bananas".',
      '"keepFree" in relay.json is a size like 512MiB or 1GiB, not "-1".',
      'SEALEAF_METRICS_PORT is off, or a number from 0 to 65535, not "on".',
    ]);
  });

  it("says what is wrong with a file that holds no settings", () => {
    const broken = mistakesIn({ file: { path: "relay.json", text: "{port: 1}" } });
    expect(broken).toHaveLength(1);
    expect(broken[0]).toMatch(/^relay\.json is not JSON: /);
    expect(mistakesIn({ file: fileWith([1]) })).toEqual([
      'relay.json holds no object with settings, like {"port": 8787}.',
    ]);
  });

  it("leaves the variables of the command line and of tests alone", () => {
    const environment = { SEALEAF_PASSPHRASE_FILE: "/a", SEALEAF_TEST_POSTGRES: "postgres://b" };
    expect(mistakesIn({ environment })).toEqual([]);
  });

  it.each([
    ["1048576", 2 ** 20],
    ["1GiB", 2 ** 30],
    ["1.5 GiB", 1.5 * 2 ** 30],
    ["500MB", 5e8],
    ["2tib", 2 ** 41],
  ])("reads %s as %d bytes", (text, bytes) => {
    expect(configOf({ flags: { "space-quota": text } }).limits.spaceBytes).toBe(bytes);
  });

  it.each([
    [{}, "open"],
    [{ host: "localhost" }, "open"],
    [{ host: "127.0.0.2" }, "open"],
    [{ host: "::1", "public-url": "http://localhost:8787" }, "open"],
    [{ host: "0.0.0.0" }, "invite"],
    [{ host: "192.168.1.4" }, "invite"],
    [{ "public-url": "https://notes.example" }, "invite"],
    [{ host: "0.0.0.0", access: "open" }, "open"],
  ])("%j is %s", (flags, access) => {
    expect(configOf({ flags }).access).toBe(access);
  });
});

describe("a database's password", () => {
  const text = "postgres://relay:s3cret@db.example:5432/sealeaf?sslmode=require&password=s3cret";

  it("reaches the driver, and nothing that is printed", () => {
    const result = readConfig({ environment: { SEALEAF_STORE: text } });
    if (!result.ok || result.config.store.type !== "postgres") throw new Error("PostgreSQL");
    expect(result.config.store.address.reveal()).toBe(text);
    const shown = [
      JSON.stringify(result),
      inspect(result, { depth: 9 }),
      String(result.config.store.address),
    ];
    for (const line of shown) {
      expect(line).not.toContain("s3cret");
      expect(line).toContain("db.example");
    }
  });

  it("is not repeated in the sentence about a mistake", () => {
    const mistakes = mistakesIn({ environment: { SEALEAF_STORE: "postgre://relay:s3cret@db" } });
    expect(mistakes).toEqual([
      "SEALEAF_STORE is sqlite, or like postgres://user:password@host/database.",
    ]);
  });
});

describe("the settings", () => {
  it("have names that can stand in an environment", () => {
    for (const { name } of settings) expect(variableOf(name)).toMatch(/^SEALEAF_[A-Z_]+$/);
  });
});
