/** The edge over HTTP: what it serves, and what it does not. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, brotliCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";

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
    for (const path of ["/", "/index.html", "/n/some/deep/link"]) {
      const answer = await get(path === "/" ? "/index.html" : path);
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
    expect((await get("/")).body.toString()).toBe(page);
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

describe("an edge without a built client", () => {
  it("answers 404 with a strict policy nowhere to be loosened, and still relays", async () => {
    const relay = await startTestRelay();
    expect((await fetch(`${relay.httpUrl}/`)).status).toBe(404);
    expect((await fetch(`${relay.httpUrl}/healthz`)).status).toBe(200);
    await relay.stop();
  });
});
