/** What is shipped around the relay fits the relay: settings, paths, units, workflows. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { readConfig } from "#relay/config/config.ts";
import { fileSetting, settings, variableOf } from "#relay/config/settings.ts";
import { MetricsRegistry } from "#relay/metrics.ts";
import { RelayMetrics } from "#relay/relay-metrics.ts";
import { promtool, requireEngine, systemdAnalyze } from "#tests/support/engines.ts";

const root = resolve(import.meta.dirname, "../../..");
const packaging = join(root, "relay/packaging");
const read = (name: string): string => readFileSync(join(packaging, name), "utf8");
const known = new Set([...settings, fileSetting].map(({ name }) => variableOf(name)));

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes?: Readonly<Record<string, unknown>>;
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** Fields of the compose specification that are used here; another is a typing error. */
const serviceFields = new Set([
  "image",
  "build",
  "restart",
  "read_only",
  "cap_drop",
  "security_opt",
  "stop_grace_period",
  "ports",
  "volumes",
  "environment",
  "networks",
  "depends_on",
  "deploy",
  "healthcheck",
]);
const composeFiles = ["compose.yaml", "compose.postgres.yaml"] as const;

/** Placeholders as an operator would fill them. */
function filled(text: string): string {
  return text.replace(/\$\{(\w+)(:\?[^}]*)?\}/g, (_, name: string) =>
    name === "SEALEAF_DOMAIN" ? "notes.example" : "secret",
  );
}

function composeOf(name: string): Compose {
  return parse(filled(read(name))) as Compose; // its shape is what the tests look at
}

describe.each(composeFiles)("%s", (name) => {
  const compose = composeOf(name);

  it("has only fields there are, and refers to nothing that is not in it", () => {
    expect(
      Object.keys(compose).filter((field) => !/^(name|services|volumes|networks)$/.test(field)),
    ).toEqual([]);
    for (const service of Object.values(compose.services)) {
      expect(Object.keys(service).filter((field) => !serviceFields.has(field))).toEqual([]);
      const needed = service.depends_on ?? [];
      const names = Array.isArray(needed) ? needed : Object.keys(needed);
      for (const other of names) expect(compose.services).toHaveProperty(other);
      for (const network of service.networks ?? [])
        expect(compose.networks).toHaveProperty(network);
      const sources = (service.volumes ?? []).map((volume) => volume.split(":")[0] ?? "");
      for (const file of sources.filter((source) => source.startsWith("./"))) {
        expect(readdirSync(packaging)).toContain(file.slice(2));
      }
      for (const volume of sources.filter((source) => !source.startsWith("./"))) {
        expect(compose.volumes).toHaveProperty(volume);
      }
    }
  });

  it("configures the relay with settings there are, all of them valid", () => {
    const environment = compose.services["relay"]?.environment ?? {};
    const result = readConfig({
      environment: { ...environment, SEALEAF_HOST: "0.0.0.0" } as Record<string, string>,
    });
    expect(result.ok ? [] : result.mistakes).toEqual([]);
    expect(result.ok && result.config.access).toBe("invite");
    // Also those that are only suggested.
    const named = [...read(name).matchAll(/^[ #]*(SEALEAF_\w+):/gm)].map(
      ([, variable]) => variable,
    );
    const ofCaddy = new Set(["SEALEAF_DOMAIN"]);
    expect(named.filter((one = "") => !known.has(one) && !ofCaddy.has(one))).toEqual([]);
  });

  it("gives the relay nothing it does not need", () => {
    expect(compose.services["relay"]).toMatchObject({
      read_only: true,
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
      build: { context: "../..", dockerfile: "relay/packaging/Dockerfile" },
    });
  });
});

describe("the image", () => {
  const dockerfile = read("Dockerfile");

  it("copies what the build makes, runs as nobody in particular, and asks itself for its health", () => {
    const standalone = readFileSync(join(packaging, "standalone.ts"), "utf8");
    expect(standalone).toContain('"dist/relay"');
    expect(dockerfile).toContain("/source/dist/relay");
    expect(dockerfile.lastIndexOf("USER node")).toBeGreaterThan(dockerfile.lastIndexOf("RUN"));
    expect(dockerfile).toMatch(/^HEALTHCHECK .*\\\n +CMD \["node", ".*", "healthcheck"\]$/m);
    expect(dockerfile).toMatch(/^STOPSIGNAL SIGTERM$/m);
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    for (const [, script = ""] of dockerfile.matchAll(/npm run (\S+)/g)) {
      expect(scripts).toHaveProperty(script);
    }
  });

  it("sets only settings there are", () => {
    const variables = [...dockerfile.matchAll(/\b(SEALEAF_\w+)=/g)].map(([, variable]) => variable);
    expect(variables.length).toBeGreaterThan(0);
    expect(variables.filter((variable = "") => !known.has(variable))).toEqual([]);
  });

  it("is built from everything that the build configuration imports", () => {
    const kept = read("Dockerfile.dockerignore")
      .split("\n")
      .flatMap((line) => (line.startsWith("!") ? [line.slice(1)] : []));
    const imports = [
      ...readFileSync(join(root, "vite.config.ts"), "utf8").matchAll(/"\.\/(.+?)"/g),
    ];
    const outside = imports
      .map(([, file = ""]) => file)
      .filter((file) => !kept.some((path) => file === path || file.startsWith(`${path}/`)));
    expect(outside).toEqual([]);
  });
});

describe("the systemd unit", () => {
  it("is what systemd understands, hardened", (context) => {
    requireEngine(context, systemdAnalyze);
    const unit = join(packaging, "sealeaf-relay.service");
    const verified = spawnSync("systemd-analyze", ["verify", unit], { encoding: "utf8" });
    expect(verified.stderr + verified.stdout).toBe("");
    expect(verified.status).toBe(0);
    const args = ["security", "--offline=true", "--threshold=20", unit];
    expect(spawnSync("systemd-analyze", args).status).toBe(0);
  });

  it("sets only settings there are", () => {
    const variables = read("sealeaf-relay.service").match(/SEALEAF_\w+(?==)/g) ?? [];
    expect(variables.filter((variable) => !known.has(variable))).toEqual([]);
  });
});

describe("the metrics", () => {
  it("are what Prometheus reads without a remark", (context) => {
    requireEngine(context, promtool);
    const registry = new MetricsRegistry();
    const metrics = new RelayMetrics(registry);
    metrics.appends.add(3, { result: "ok" });
    metrics.appends.add(1, { result: "rate" });
    metrics.appendSeconds.observe(0.003);
    registry.gauge("relay_build_info", "Which relay this is.", () => 1, { version: '1"\n' });
    const checked = spawnSync("promtool", ["check", "metrics"], {
      input: registry.render(),
      encoding: "utf8",
    });
    expect(checked.stderr + checked.stdout).toBe("");
    expect(checked.status).toBe(0);
    const wrong = spawnSync("promtool", ["check", "metrics"], { input: "relay_x{ 1\n" });
    expect(wrong.status).not.toBe(0);
  });
});

describe("the workflow", () => {
  it("runs the gate on every version of Node that is promised", () => {
    const text = readFileSync(join(root, ".github/workflows/ci.yml"), "utf8");
    const { jobs } = parse(text) as {
      jobs: Record<
        string,
        { strategy: { matrix: { node: number[] } }; steps: readonly { run?: string }[] }
      >;
    };
    const gate = Object.values(jobs)[0];
    expect(gate?.strategy.matrix.node).toEqual([20, 22, 24]);
    expect(gate?.steps.flatMap(({ run }) => run ?? []).join("\n")).toContain(".ci/run");
  });
});
