/** An install gives everybody the same packages, from whatever registry they use. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";

const root = path.resolve(import.meta.dirname, "../../..");
const read = (file: string): string => readFileSync(path.join(root, file), "utf8");

interface Manifest {
  readonly version: string;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
}

describe("the lock file", () => {
  it("names no registry: packages are found by name, version and integrity", () => {
    expect(read("package-lock.json")).not.toContain('"resolved"');
    expect(read("package-lock.json")).toMatch(/"integrity": "sha512-/);
  });

  it("stays so: npm is told to leave registries out and to save exact versions", () => {
    const settings = read(".npmrc").split("\n");
    expect(settings).toContain("omit-lockfile-registry-resolved=true");
    expect(settings).toContain("save-exact=true");
    expect(read(".npmrc")).not.toMatch(/registry\s*=\s*http|_auth/);
  });
});

describe("a clean install", () => {
  it("finds every platform's optional packages in the lock: npm ci refuses one that lacks any", () => {
    interface Locked {
      readonly optionalDependencies?: Record<string, string>;
    }
    const { packages } = JSON.parse(read("package-lock.json")) as {
      packages: Record<string, Locked>;
    };
    const missing = Object.entries(packages).flatMap(([place, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) =>
          packages[`node_modules/${name}`] === undefined &&
          packages[`${place}/node_modules/${name}`] === undefined,
      ),
    );
    expect(missing).toEqual([]);
  });
});

describe("the versions", () => {
  const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Manifest;

  it.each(Object.entries({ ...dependencies, ...devDependencies }))(
    "%s is pinned: %s",
    (_, range) => {
      expect(range).toMatch(/^(npm:[@a-z/-]+@)?\d+\.\d+\.\d+$/);
    },
  );

  it("gives tsc 7 to check with and TypeScript 6 to the tools that read Svelte", () => {
    const tsc = path.join(root, "node_modules/.bin/tsc");
    expect(execFileSync(tsc, ["--version"], { encoding: "utf8" })).toMatch(/^Version 7\./);
    expect((JSON.parse(read("node_modules/typescript/package.json")) as Manifest).version).toMatch(
      /^6\./,
    );
  });
});
