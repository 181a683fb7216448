/**
 * The service worker: the whole application, verified file by file, for use without a network.
 *
 * A version enters the cache complete or not at all: every file is checked against the hash of the
 * build, so that a half-finished deployment leaves the previous version in place. It never takes over
 * by itself; the page asks when the person has agreed.
 */
import { TAKE_OVER } from "#client/app/platform/take-over.ts";

declare const self: ServiceWorkerGlobalScope;

/** Path → SHA-256 (hex) of every file of this version; the page itself is "./". Filled in by the build. */
declare const PRECACHE: Readonly<Record<string, string>>;
declare const VERSION: string;

const CACHE_PREFIX = "sealeaf-";
const CACHE = CACHE_PREFIX + VERSION;
/** The folder of the page, whatever path the relay serves it under; with a slash at its end. */
const BASE = new URL("./", self.location.href);

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(deleteOtherVersions()));
self.addEventListener("message", ({ data }) => {
  if (data === TAKE_OVER) void self.skipWaiting();
});
self.addEventListener("fetch", (event) => {
  const path = cachedPath(event.request);
  if (path !== null) event.respondWith(fromCache(path, event.request));
});

async function install(): Promise<void> {
  try {
    const cache = await caches.open(CACHE);
    await Promise.all(
      Object.entries(PRECACHE).map(async ([path, hash]) =>
        cache.put(urlOf(path), await verified(path, hash)),
      ),
    );
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

/** The file with exactly this content: from an older version's cache, the network, or past the HTTP cache. */
async function verified(path: string, hash: string): Promise<Response> {
  const url = urlOf(path);
  const sources = [
    () => caches.match(url),
    () => fetch(url, { cache: isImmutable(path) ? "default" : "no-cache" }),
    // A wrong body once cached as immutable would otherwise fail every later install for a year.
    () => fetch(url, { cache: "reload" }),
  ];
  for (const source of sources) {
    const response = await source();
    if (response !== undefined && response.ok && (await sha256(response.clone())) === hash) {
      return response;
    }
  }
  throw new Error(`${path} is not the file this version was built with`);
}

function isImmutable(path: string): boolean {
  return path.startsWith("./assets/");
}

function urlOf(path: string): string {
  return new URL(path, BASE).href;
}

async function sha256(response: Response): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await response.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function deleteOtherVersions(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(CACHE_PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

/** Which file of the list answers this request; null leaves it to the network (API, health, sockets). */
function cachedPath(request: Request): string | null {
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return null;
  if (!pathname.startsWith(BASE.pathname)) return null;
  const path = `./${pathname.slice(BASE.pathname.length)}`;
  if (Object.hasOwn(PRECACHE, path)) return path;
  return request.mode === "navigate" && isPageAddress(path) ? "./" : null;
}

/** Deep links are pages; files (`relay.json`) and health checks are the relay's. */
function isPageAddress(path: string): boolean {
  return !/\.[a-z]+$|^\.\/(healthz|readyz)$/.test(path);
}

async function fromCache(path: string, request: Request): Promise<Response> {
  // The page's files are relative to its folder: elsewhere they would not be found.
  const isElsewhere = path === "./" && new URL(request.url).pathname !== BASE.pathname;
  if (isElsewhere) return Response.redirect(BASE.href);
  const cache = await caches.open(CACHE);
  return (await cache.match(urlOf(path))) ?? fetch(request);
}
