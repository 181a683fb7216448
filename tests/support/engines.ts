/**
 * Which browser engines and servers this machine has. Without one its tests are skipped by name, or fail
 * where all are required.
 */
import { accessSync, constants } from "node:fs";
import type { TestContext } from "vitest";

interface Engine {
  readonly name: string;
  /** Debian's packages that bring it. */
  readonly packages: string;
  /** All of these must be there. */
  readonly files: readonly string[];
}

export const firefoxProgram = "/usr/bin/firefox-esr";

export const firefoxEngine: Engine = {
  name: "Firefox ESR",
  packages: "firefox-esr",
  files: [firefoxProgram],
};

export const webkitPrograms = {
  driver: "/usr/bin/WebKitWebDriver",
  screen: "/usr/bin/Xvfb",
  python: "/usr/bin/python3",
};

export const webkitEngine: Engine = {
  name: "WebKitGTK",
  packages: "webkit2gtk-driver xvfb dbus python3-gi gir1.2-webkit2-4.1",
  files: [
    ...Object.values(webkitPrograms),
    "/usr/lib/python3/dist-packages/gi/__init__.py",
    "/usr/lib/x86_64-linux-gnu/girepository-1.0/WebKit2-4.1.typelib",
  ],
};

export const nginxServer: Engine = {
  name: "nginx",
  packages: "nginx",
  files: ["/usr/sbin/nginx"],
};

export const caddyServer: Engine = {
  name: "Caddy",
  packages: "caddy",
  files: ["/usr/bin/caddy"],
};

export const promtool: Engine = {
  name: "promtool",
  packages: "prometheus",
  files: ["/usr/bin/promtool"],
};

export const systemdAnalyze: Engine = {
  name: "systemd-analyze",
  packages: "systemd",
  files: ["/usr/bin/systemd-analyze"],
};

/** Call it first in a test. With CI=true a missing engine is an error. */
export function requireEngine(context: TestContext, { name, packages, files }: Engine): void {
  const missing = files.filter((file) => !isReadable(file));
  if (missing.length === 0) return;
  const advice = `${name} is not installed (no ${missing.join(", ")}): apt-get install ${packages}`;
  if (process.env["CI"] === "true") throw new Error(advice);
  context.skip(advice);
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
