/** The edge over HTTP: what it serves, and what it does not. */
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, brotliCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { RawClient, startTestRelay, type TestRelay } from "#tests/support/relay.ts";

const page = "<!doctype html><title>Sealeaf</title>";
const script = "console.log('a long enough line to be worth compressing');\n".repeat(40);

describe("the edge", () => {
  let root: string;
  let relay: TestRelay;
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "sealeaf-server-"));
    const clientDir = join(root, "client");
    mkdirSync(join(clientDir, "assets"), { recursive: true });
    writeFileSync(join(root, "secret.txt"), "not to be served");
    writeFileSync(join(clientDir, "index.html"), page);
    writeFileSync(join(clientDir, "sw.js"), "");
    writeFileSync(join(clientDir, "assets/app-1a2b.js"), script);
    writeFileSync(join(clientDir, "assets/app-1a2b.js.br"), brotliCompressSync(script));
    writeFileSync(join(clientDir, "assets/app-1a2b.js.gz"), gzipSync(script));
    writeFileSync(join(clientDir, "assets/core.wasm"), new Uint8Array([0, 97, 115, 109]));
    const headers = { "Content-Security-Policy": "default-src 'self'" };
    writeFileSync(join(clientDir, "headers.json"), JSON.stringify({ headers }));
    relay = await startTestRelay({ clientDir });
  });
  afterAll(async () => {
    await relay.stop();
    rmSync(root, { recursive: true });
  });

  /** A request whose path reaches the wire as it stands. */
  function get(
    path: string,
    headers: Record<string, string> = {},
    method = "GET",
  ): Promise<{ status: number; headers: Record<string, unknown>; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const sent = request(
        { host: "127.0.0.1", port: relay.port, path, headers, method },
        (response) => {
          const parts: Buffer[] = [];
          response.on("data", (part: Buffer) => parts.push(part));
          response.on("end", () => {
            const { statusCode: status = 0, headers: received } = response;
            resolve({ status, headers: received, body: Buffer.concat(parts) });
          });
        },
      );
      sent.on("error", reject);
      sent.end();
    });
  }

  it("serves the client's page with the headers its build asks for, to be asked for again", async () => {
    for (const path of ["/", "/index.html"]) {
      const answer = await get(path);
      expect(answer).toMatchObject({
        status: 200,
        headers: {
          "content-type": "text/html; charset=utf-8",
          "cache-control": "no-cache",
          "content-security-policy": "default-src 'self'",
          "referrer-policy": "no-referrer",
          "x-content-type-options": "nosniff",
        },
      });
      expect(answer.body.toString()).toBe(page);
    }
  });

  it.each([
    ["/note", "./"],
    ["/n/some/deep/link", "../../../"],
    ["/n/some/", "../../"],
  ])("leads from %s to the page, to which its files are relative", async (path, location) => {
    const answer = await get(path);
    expect(answer).toMatchObject({ status: 302, headers: { location } });
    expect(new URL(location, `http://relay${path}`).pathname).toBe("/");
  });

  it("serves assets for ever, compressed as they lie there when that is accepted", async () => {
    const path = "/assets/app-1a2b.js";
    const plain = await get(path);
    expect(plain.headers).toMatchObject({
      "content-type": "text/javascript; charset=utf-8",
      "cache-control": "public, max-age=31536000, immutable",
    });
    expect(plain.headers["content-encoding"]).toBeUndefined();
    const brotli = await get(path, { "accept-encoding": "gzip, br;q=0.8" });
    expect(brotli.headers["content-encoding"]).toBe("br");
    expect(brotli.body).toEqual(brotliCompressSync(script));
    const gzip = await get(path, { "accept-encoding": "gzip, br;q=0" });
    expect(gzip.headers["content-encoding"]).toBe("gzip");
    expect((await get("/assets/core.wasm")).headers["content-type"]).toBe("application/wasm");
  });

  it("answers 304 to who has it, and HEAD without a body", async () => {
    const first = await get("/sw.js");
    const etag = String(first.headers["etag"]);
    const again = await get("/sw.js", { "if-none-match": etag });
    expect(again).toMatchObject({ status: 304, body: Buffer.alloc(0) });
    expect((await get("/index.html", { "if-none-match": etag })).status).toBe(200);
    const head = await get("/index.html", {}, "HEAD");
    expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    expect(head.headers["content-length"]).toBe(String(page.length));
  });

  it.each([
    "/../secret.txt",
    "/..%2fsecret.txt",
    "/%2e%2e/secret.txt",
    "/assets/..%5c..%5csecret.txt",
    "/assets/%00",
    "//secret.txt",
    "/headers.json",
    "/assets/gone.js",
    "/assets/app-1a2b.js.br",
  ])("%s leads to no file", async (path) => {
    const answer = await get(path);
    expect(answer.status).toBe(404);
    expect(answer.body.toString()).not.toContain("not to be served");
  });

  it("refuses what cannot be decoded and what it does not do", async () => {
    expect((await get("/%ff")).status).toBe(400);
    expect((await get("/", {}, "POST")).status).toBe(405);
    expect((await get("/v1")).status).toBe(426);
  });

  it("tells its health, and its limits to anybody", async () => {
    expect((await get("/healthz")).body.toString()).toBe("ok\n");
    const about = await get("/relay.json");
    expect(about.headers["access-control-allow-origin"]).toBe("*");
    const parsed: unknown = JSON.parse(about.body.toString());
    expect(parsed).toMatchObject({ name: "sealeaf", protocol: 1, limits: defaultLimits });
    expect(parsed).toHaveProperty(
      "relayKey",
      expect.stringMatching(/^([0-9a-f]{4} ){7}[0-9a-f]{4}$/),
    );
  });

  it.each([
    ["another path", "/v2", "sealeaf.v1", "404"],
    ["another subprotocol", "/v1", "sealeaf.v9", "400"],
  ])("opens no WebSocket on %s", async (_, path, protocol, status) => {
    const socket = new WebSocket(`ws://127.0.0.1:${relay.port}${path}`, protocol);
    const error = await new Promise<Error>((resolve) => socket.once("error", resolve));
    expect(error.message).toContain(status);
  });
});

describe("an edge below a path", () => {
  it("serves everything there, and at the root for proxies that take the path away", async () => {
    const clientDir = mkdtempSync(join(tmpdir(), "sealeaf-server-"));
    writeFileSync(join(clientDir, "index.html"), page);
    const relay = await startTestRelay({
      clientDir,
      settings: { "public-url": "http://localhost/some/notes/", access: "open" },
    });
    for (const base of ["/some/notes", ""]) {
      const about = await fetch(`${relay.httpUrl}${base}/relay.json`);
      expect(await about.json()).toMatchObject({ name: "sealeaf" });
      expect(await (await fetch(`${relay.httpUrl}${base}/`)).text()).toBe(page);
      expect((await fetch(`${relay.httpUrl}${base}/healthz`)).status).toBe(200);
      const client = await RawClient.dial(`ws://127.0.0.1:${relay.port}${base}/v1`);
      await client.close();
    }
    const folder = await fetch(`${relay.httpUrl}/some/notes`, { redirect: "manual" });
    expect([folder.status, folder.headers.get("location")]).toEqual([308, "/some/notes/"]);
    expect((await fetch(`${relay.httpUrl}/some/notesextra/relay.json`)).status).toBe(404);
    await relay.stop();
    rmSync(clientDir, { recursive: true });
  });
});

describe("an edge behind a proxy", () => {
  async function dial(url: string, headers: Record<string, string>): Promise<number | "open"> {
    const socket = new WebSocket(url, "sealeaf.v1", { headers });
    return new Promise((resolve) => {
      socket.once("unexpected-response", (_, { statusCode = 0 }) => resolve(statusCode));
      socket.once("error", () => undefined);
      socket.once("open", () => resolve("open"));
    });
  }

  it("[LIM-5] counts the addresses that a trusted proxy names, and nobody else's word", async () => {
    const settings = { "connections-per-address": "2", "trusted-proxies": "127.0.0.1" };
    const relay = await startTestRelay({ settings });
    const from = (address: string) => dial(relay.url, { "x-forwarded-for": address });
    expect([await from("192.0.2.1"), await from("192.0.2.1"), await from("192.0.2.1")]).toEqual([
      "open",
      "open",
      429,
    ]);
    expect(await from("192.0.2.2")).toBe("open");
    await relay.stop();

    const alone = await startTestRelay({ settings: { "connections-per-address": "2" } });
    const claims = (address: string) => dial(alone.url, { "x-forwarded-for": address });
    const answers = [
      await claims("192.0.2.1"),
      await claims("192.0.2.2"),
      await claims("192.0.2.3"),
    ];
    expect(answers).toEqual(["open", "open", 429]);
    await alone.stop();
  });

  it("[SES-3] signs for the address that a trusted proxy says was dialled, with its scheme", async () => {
    const relay = await startTestRelay({ settings: { "trusted-proxies": "127.0.0.1" } });
    const answers: string[] = [];
    for (const origin of ["wss://notes.example/v1", "ws://notes.example/v1", relay.url]) {
      const headers = { "x-forwarded-host": "notes.example", "x-forwarded-proto": "https" };
      const client = new RawClient(relay.url, new WebSocket(relay.url, "sealeaf.v1", { headers }));
      await once(client.socket, "open");
      const nonce = new Uint8Array(16);
      const answer = await client.answerTo(
        client.send({ type: "hello", version: 1, nonce, origin }),
      );
      answers.push(answer.type);
      client.socket.terminate();
    }
    expect(answers).toEqual(["welcome", "error", "error"]);
    await relay.stop();
  });
});

describe("an edge without a built client", () => {
  it("answers 404 with a strict policy nowhere to be loosened, and still relays", async () => {
    const relay = await startTestRelay();
    expect((await fetch(`${relay.httpUrl}/`)).status).toBe(404);
    expect((await fetch(`${relay.httpUrl}/healthz`)).status).toBe(200);
    await relay.stop();
  });
});
