/** Debian's nginx and Caddy in front of a relay, on loopback, with the files that are shipped. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const packaging = resolve(import.meta.dirname, "../../relay/packaging");

export interface ReverseProxy {
  readonly port: number;
  stop(): Promise<void>;
}

export interface ProxyOptions {
  /** The relay's. */
  readonly upstreamPort: number;
  /** `/notes/`, or `/` */
  readonly path: string;
  /** Whether the proxy takes that path away before it passes a request on. */
  readonly stripsPath?: boolean;
  /** After which silence it cuts a connection. */
  readonly idleSeconds?: number;
}

/** The shipped nginx.conf, without TLS and with these ports, path and patience. */
export async function startNginx(options: ProxyOptions): Promise<ReverseProxy> {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-nginx-"));
  const port = await freePort();
  const upstream = `http://127.0.0.1:${options.upstreamPort}`;
  const site = edited(readFileSync(join(packaging, "nginx.conf"), "utf8"), [
    [/listen 443 ssl http2;/, `listen 127.0.0.1:${port};`],
    [/server_name notes\.example;/, "server_name localhost;"],
    [/ +ssl_certificate(_key)? .*\n/g, ""],
    [/location \/ \{/, `location ${options.path} {`],
    [/proxy_pass .*;/, `proxy_pass ${upstream}${options.stripsPath === true ? "/" : ""};`],
    // The port is not a usual one here, and is part of the address.
    [/Host \$host;/, "Host $http_host;"],
    [/proxy_read_timeout 60s;/, `proxy_read_timeout ${options.idleSeconds ?? 60}s;`],
  ]);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${dir}/${name};`)
    .join("\n");
  const file = join(dir, "nginx.conf");
  writeFileSync(
    file,
    `daemon off; pid ${dir}/pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temporary}\n${site}}\n`,
  );
  return runProxy(spawn("/usr/sbin/nginx", ["-c", file, "-p", dir]), port, dir);
}

/** The shipped Caddyfile, or, for a sub-path or an idle timeout, one like it. */
export async function startCaddy(options: ProxyOptions): Promise<ReverseProxy> {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-caddy-"));
  const port = await freePort();
  const directive = options.stripsPath === true ? "handle_path" : "handle";
  const timeouts =
    options.idleSeconds === undefined
      ? ""
      : `{\n transport http {\n read_timeout ${options.idleSeconds}s\n }\n}`;
  const shipped = readFileSync(join(packaging, "Caddyfile"), "utf8");
  const site =
    options.path === "/"
      ? shipped.replace(/(reverse_proxy [^\n]+)/, `$1 ${timeouts}`)
      : shipped.replace(
          /reverse_proxy ([^\n]+)/,
          `${directive} ${options.path}* {\n reverse_proxy $1 ${timeouts}\n }`,
        );
  const file = join(dir, "Caddyfile");
  writeFileSync(file, `{\n admin off\n auto_https off\n}\n${site}`);
  const child = spawn("/usr/bin/caddy", ["run", "--config", file, "--adapter", "caddyfile"], {
    env: {
      PATH: process.env["PATH"],
      HOME: dir,
      SEALEAF_DOMAIN: `http://localhost:${port}`,
      SEALEAF_UPSTREAM: `127.0.0.1:${options.upstreamPort}`,
    },
  });
  return runProxy(child, port, dir);
}

async function runProxy(child: ChildProcess, port: number, dir: string): Promise<ReverseProxy> {
  let said = "";
  child.stderr?.on("data", (data: Buffer) => (said += data.toString()));
  child.stdout?.resume();
  const ended = once(child, "exit");
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      await ended;
    }
    rmSync(dir, { recursive: true, force: true });
  };
  while (!(await accepts(port))) {
    if (child.exitCode !== null) {
      await stop();
      throw new Error(`the proxy ended: ${said}`);
    }
  }
  return { port, stop };
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolveListening) => server.listen(0, "127.0.0.1", resolveListening));
  const { port } = server.address() as AddressInfo; // listening on TCP, as just asked
  await new Promise((resolveClosed) => server.close(resolveClosed));
  return port;
}

/** Throws where the shipped file is not what the edits are for. */
function edited(text: string, edits: readonly (readonly [RegExp, string])[]): string {
  let result = text;
  for (const [pattern, replacement] of edits) {
    if (result.search(pattern) < 0) throw new Error(`nothing to edit: ${pattern.source}`);
    result = result.replace(pattern, replacement);
  }
  return result;
}
