/**
 * The built web client over HTTP. The folder is listed once, at start: only what was found there is
 * ever opened, so no path a request can spell leads anywhere else.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { extname, join, relative, sep } from "node:path";

const contentTypes: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

const encodings = [
  { suffix: ".br", name: "br" },
  { suffix: ".gz", name: "gzip" },
] as const;

const pagePath = "/index.html";

/** The build writes the headers its page needs here; it is not served itself. */
const headersFile = "headers.json";

/** Without the build's own: nothing from elsewhere, and no frame around the page. */
const strictHeaders: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; " +
    "font-src 'self'; connect-src 'self' ws: wss: https:; worker-src 'self'; manifest-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

interface ClientFile {
  readonly path: string;
  readonly etag: string;
  readonly contentType: string;
  readonly isImmutable: boolean;
  /** Encodings that lie beside it, the smallest first. */
  readonly encoded: readonly { readonly name: string; readonly path: string }[];
}

export class ClientFiles {
  readonly #files: ReadonlyMap<string, ClientFile>;
  readonly #headers: Readonly<Record<string, string>>;

  /** @param dir the built client; a folder that is not there serves nothing */
  constructor(dir: string) {
    this.#files = listFiles(dir);
    this.#headers = { ...strictHeaders, ...readHeaders(dir) };
  }

  /** Answers a GET or HEAD. Paths without a file lead to the client's page. */
  async serve(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const file = this.#files.get(path === "/" ? pagePath : path) ?? null;
    if (file === null && isPage(path) && this.#files.has(pagePath)) {
      // The page's files are relative to its folder. So is this, whatever path a proxy has put before it.
      const up = "../".repeat(path.split("/").length - 2);
      response.writeHead(302, { location: up === "" ? "./" : up, "cache-control": "no-store" });
      response.end();
      return;
    }
    if (file === null) {
      response.writeHead(404, { "content-type": "text/plain; charset=utf-8" });
      response.end("Not found.\n");
      return;
    }
    const headers: Record<string, string> = {
      ...this.#headers,
      "content-type": file.contentType,
      "cache-control": file.isImmutable ? "public, max-age=31536000, immutable" : "no-cache",
      etag: file.etag,
      vary: "accept-encoding",
    };
    if (request.headers["if-none-match"] === file.etag) {
      response.writeHead(304, headers).end();
      return;
    }
    const accepted = acceptedEncodings(request);
    const encoded = file.encoded.find(({ name }) => accepted.has(name));
    if (encoded !== undefined) headers["content-encoding"] = encoded.name;
    const body = await readFile(encoded?.path ?? file.path);
    response.writeHead(200, { ...headers, "content-length": String(body.length) });
    response.end(request.method === "HEAD" ? undefined : body);
  }
}

/** A path that a person may have typed, and no file's. */
function isPage(path: string): boolean {
  return !path.startsWith("/assets/") && extname(path) === "";
}

function listFiles(dir: string): ReadonlyMap<string, ClientFile> {
  if (!existsSync(dir)) return new Map();
  const paths = readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const present = new Set(paths);
  const isBeside = (path: string) =>
    encodings.some(
      ({ suffix }) => path.endsWith(suffix) && present.has(path.slice(0, -suffix.length)),
    );
  const files = new Map<string, ClientFile>();
  for (const path of paths) {
    const name = `/${relative(dir, path).split(sep).join("/")}`;
    if (name === `/${headersFile}` || isBeside(path)) continue;
    files.set(name, {
      path,
      etag: `"${createHash("sha256").update(readFileSync(path)).digest("hex").slice(0, 32)}"`,
      contentType: contentTypes[extname(name)] ?? "application/octet-stream",
      isImmutable: name.startsWith("/assets/"),
      encoded: encodings
        .map(({ suffix, name: encoding }) => ({ name: encoding, path: path + suffix }))
        .filter((file) => present.has(file.path))
        .toSorted((a, b) => statSync(a.path).size - statSync(b.path).size),
    });
  }
  return files;
}

/** `{"headers": {…}}` or the map itself. Throws on anything else: a wrong policy must not pass silently. */
function readHeaders(dir: string): Readonly<Record<string, string>> {
  const path = join(dir, headersFile);
  if (!existsSync(path)) return {};
  const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
  const map = isObject(parsed) && isObject(parsed["headers"]) ? parsed["headers"] : parsed;
  if (!isObject(map)) throw new Error(`${headersFile} of the client holds no headers`);
  return Object.fromEntries(
    Object.entries(map).map(([name, value]) => {
      if (typeof value !== "string") throw new Error(`header ${name} of the client is no text`);
      return [name.toLowerCase(), value];
    }),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function acceptedEncodings(request: IncomingMessage): ReadonlySet<string> {
  const header = request.headers["accept-encoding"] ?? "";
  return new Set(
    String(header)
      .split(",")
      .map((part) => part.trim().toLowerCase())
      .filter((part) => !/;\s*q=0(\.0*)?$/.test(part))
      .map((part) => part.split(";")[0] ?? ""),
  );
}
