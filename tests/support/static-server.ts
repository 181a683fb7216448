/** Serves a built client the way the relay does: its headers.json on every answer, hashed files for ever. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

export interface StaticServer {
  readonly origin: string;
  /** Serves another folder from now on: a deployment. */
  deploy(folder: string): void;
  close(): Promise<void>;
}

/** `port` 0 chooses a free one; give the former one to come back at the same address. */
export async function startStaticServer(folder: string, port = 0): Promise<StaticServer> {
  let current = folder;
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    const file = path.join(current, pathname === "/" ? "index.html" : pathname);
    // Written by this product's build.
    const headers = JSON.parse(readFileSync(path.join(current, "headers.json"), "utf8")) as Record<
      string,
      string
    >;
    const found = file.startsWith(current) && existsSync(file) && statSync(file).isFile();
    response.writeHead(found ? 200 : 404, {
      ...headers,
      "Content-Type": TYPES[path.extname(file)] ?? "text/plain",
      "Cache-Control": pathname.startsWith("/assets/")
        ? "public, max-age=31536000, immutable"
        : "no-cache",
    });
    response.end(found ? readFileSync(file) : "");
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo;
  return {
    origin: `http://localhost:${address.port}`,
    deploy: (next) => {
      current = next;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
