/** The negative control of every other test here: what a page or its worker reports does fail a test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { firefoxEngine, requireEngine, webkitEngine } from "#tests/support/engines.ts";
import { launchFirefox } from "#tests/support/firefox.ts";
import { startStaticServer } from "#tests/support/static-server.ts";
import { launchWebkit } from "#tests/support/webkit.ts";

const pageScript = `
console.error("Printedbypage");
const worker = new Worker("/worker.js", { type: "module" });
worker.addEventListener("message", () => {
  queueMicrotask(() => { throw new Error("Thrownbypage"); });
  eval("1");
});
Promise.reject(new Error("Rejectedbypage"));
`;
const workerScript = `
console.error("Printedbyworker");
Promise.reject(new Error("Rejectedbyworker"));
postMessage("here");
throw new Error("Thrownbyworker");
`;
const reports = [
  "Printedbypage",
  "Rejectedbypage",
  "Thrownbypage",
  "policy violation",
  "Printedbyworker",
  "Rejectedbyworker",
  "Thrownbyworker",
];

let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "sealeaf-errors-"));
  const headers = { "Content-Security-Policy": "default-src 'self'" };
  writeFileSync(join(folder, "headers.json"), JSON.stringify(headers));
  writeFileSync(
    join(folder, "index.html"),
    '<!doctype html><title>errors</title><script type="module" src="/page.js"></script>',
  );
  writeFileSync(join(folder, "page.js"), pageScript);
  writeFileSync(join(folder, "worker.js"), workerScript);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("errors in a browser", () => {
  it("are heard from Firefox, whoever makes them", async (context) => {
    requireEngine(context, firefoxEngine);
    const server = await startStaticServer(folder);
    const profile = mkdtempSync(join(folder, "profile-"));
    const person = await launchFirefox(profile);
    await person.page.goto(server.origin);
    await expect.poll(() => missing(person.unexpectedErrors()), { timeout: 10_000 }).toEqual([]);
    await expect(person.close()).rejects.toThrow("Printedbyworker");
    await server.close();
  });

  it("are heard from WebKit, whoever makes them", async (context) => {
    requireEngine(context, webkitEngine);
    const server = await startStaticServer(folder);
    const profile = mkdtempSync(join(folder, "profile-"));
    const person = await launchWebkit(profile);
    await person.page.goto(server.origin);
    await expect.poll(() => missing(person.unexpectedErrors()), { timeout: 10_000 }).toEqual([]);
    await expect(person.close()).rejects.toThrow("Printedbyworker");
    await server.close();
  });
});

function missing(heard: readonly string[]): readonly string[] {
  return reports.filter((report) => !heard.some((line) => line.includes(report)));
}
