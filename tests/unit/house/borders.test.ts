/** The lint rules that hold the folders apart, proved by planting what they forbid. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../../..");

const FORBIDDEN = [
  ["crdt-store/a.ts", "#client/device/api.ts"],
  ["crdt-store/b.ts", "../client/device/api.ts"],
  ["crdt-store/c.ts", "#relay/protocol/bytes.ts"],
  ["crdt-store/files/d.ts", "../../relay/protocol/bytes.ts"],
  ["crdt-store/e.ts", "ws"],
  ["crdt-store/f.ts", "@automerge/automerge"],
  ["crdt-store/g.ts", "@automerge/automerge-repo"],
  ["relay/a.ts", "#client/crypto/keys.ts"],
  ["relay/protocol/b.ts", "../../client/crypto/keys.ts"],
  ["relay/c.ts", "#crdt-store/store.ts"],
  ["relay/d.ts", "../crdt-store/store.ts"],
  ["relay/e.ts", "@automerge/automerge/slim"],
  ["relay/f.ts", "@noble/ciphers/chacha.js"],
  ["relay/g.ts", "@scure/bip39"],
  ["relay/h.ts", "sql.js"],
  ["relay/i.ts", "svelte"],
  ["client/a.ts", "#relay/hub.ts"],
  ["client/b.ts", "#relay/store/store.ts"],
  ["client/c.ts", "#relay/protocol.ts"],
  ["client/d.ts", "#relay/prometheus.ts"],
  ["client/sync/e.ts", "../../relay/server.ts"],
  ["client/f.ts", "@automerge/automerge"],
  ["client/g.ts", "@automerge/automerge-repo"],
  ["tests/a.ts", "@automerge/automerge"],
  ["tests/b.ts", "@automerge/automerge-repo"],
] as const;

const ALLOWED = [
  ["crdt-store/ok-a.ts", "@automerge/automerge-repo/slim"],
  ["crdt-store/ok-b.ts", "#crdt-store/store.ts"],
  ["relay/ok-a.ts", "#relay/protocol/bytes.ts"],
  ["relay/ok-b.ts", "ws"],
  ["relay/ok-c.ts", "@noble/curves/ed25519.js"],
  ["client/ok-a.ts", "#relay/protocol/bytes.ts"],
  ["client/sync/ok-b.ts", "../../relay/protocol/bytes.ts"],
  ["client/ok-c.ts", "#crdt-store/store.ts"],
  ["client/ok-d.ts", "@automerge/automerge/slim"],
  ["tests/ok-a.ts", "#relay/hub.ts"],
] as const;

/** What a violation looks like when it is re-exported rather than imported. */
const FORBIDDEN_RE_EXPORT = ["client/re-export.ts", "#relay/hub.ts"] as const;

let house = "";
let reported = new Set<string>();

beforeAll(() => {
  house = mkdtempSync(path.join(tmpdir(), "sealeaf-borders-"));
  writeFileSync(path.join(house, ".oxlintrc.json"), configurationWithoutTypes());
  for (const [file, target] of [...FORBIDDEN, ...ALLOWED]) {
    plant(file, `import * as planted from "${target}";\nexport const used = planted;\n`);
  }
  plant(FORBIDDEN_RE_EXPORT[0], `export { used } from "${FORBIDDEN_RE_EXPORT[1]}";\n`);
  reported = filesReported();
}, 60_000);

afterAll(() => rmSync(house, { recursive: true, force: true }));

/** The rules as they are; only the typed ones need the whole project. */
function configurationWithoutTypes(): string {
  const configuration: unknown = JSON.parse(
    readFileSync(path.join(root, ".oxlintrc.json"), "utf8"),
  );
  return JSON.stringify({ ...(configuration as object), options: {} });
}

function plant(file: string, text: string): void {
  const target = path.join(house, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
}

function filesReported(): Set<string> {
  const oxlint = path.join(root, "node_modules/.bin/oxlint");
  const { stdout } = spawnSync(oxlint, ["--format", "json", "."], {
    cwd: house,
    encoding: "utf8",
    timeout: 50_000,
  });
  const report = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  return new Set(
    report.diagnostics
      .filter(({ code }) => code.includes("no-restricted-imports"))
      .map(({ filename }) => filename.replaceAll(path.sep, "/")),
  );
}

describe("lint holds the borders between folders", () => {
  it.each(FORBIDDEN)("%s may not import %s", (file) => {
    expect(reported).toContain(file);
  });

  it.each([FORBIDDEN_RE_EXPORT])("%s may not pass on %s", (file) => {
    expect(reported).toContain(file);
  });

  it.each(ALLOWED)("%s may import %s", (file) => {
    expect(reported).not.toContain(file);
  });
});
