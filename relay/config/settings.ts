/** The settings of a relay: their names, what they default to, and the words of `--help`. */

export interface Setting {
  /** As a flag: `--port`. In the environment `SEALEAF_PORT`, in the file `port`, `keepFree`. */
  readonly name: string;
  /** As text, as an operator would write it; null where there is none or it depends on others. */
  readonly preset: string | null;
  readonly help: string;
}

export const settings = [
  { name: "data", preset: "data", help: "the data directory" },
  { name: "store", preset: "sqlite", help: "sqlite, or postgres://user:password@host/database" },
  { name: "host", preset: "127.0.0.1", help: "the address to listen on" },
  { name: "port", preset: "8787", help: "the port to listen on; 0 takes a free one" },
  { name: "client-dir", preset: null, help: "the built web client (default beside the program)" },
  {
    name: "public-url",
    preset: null,
    help: "what people open, with its path if it is a sub-path: https://example.org/notes",
  },
  {
    name: "trusted-proxies",
    preset: "",
    help: "addresses or networks whose X-Forwarded-* headers count, with commas",
  },
  {
    name: "access",
    preset: null,
    help: "who may make notebooks: open, invite, allowlist (default open on loopback, else invite)",
  },
  { name: "allowed-keys", preset: "", help: "access keys that are admitted, in hex, with commas" },
  { name: "guests", preset: "on", help: "whether people with a link alone are served: on, off" },
  { name: "space-quota", preset: "1GiB", help: "bytes a notebook may hold, attachments included" },
  {
    name: "key-quota",
    preset: "4GiB",
    help: "bytes all notebooks made with one access key may hold",
  },
  { name: "connections-per-address", preset: "32", help: "connections one address may hold" },
  { name: "entries-per-second", preset: "50", help: "entries a connection may send each second" },
  { name: "entry-burst", preset: "500", help: "entries a connection may send at once" },
  {
    name: "keep-free",
    preset: "256MiB",
    help: "room left on the disk below which the relay only reads; 0 to use all",
  },
  { name: "metrics-host", preset: "127.0.0.1", help: "the address that serves metrics" },
  { name: "metrics-port", preset: "off", help: "the port that serves metrics, or off" },
  { name: "log", preset: "info", help: "what is logged: debug, info, warn, error, silent" },
] as const satisfies readonly Setting[];

export type SettingName = (typeof settings)[number]["name"];

/** Names the configuration file, so it cannot stand in it. */
export const fileSetting = {
  name: "config",
  preset: null,
  help: "a JSON file with settings",
} as const satisfies Setting;

export function variableOf(name: string): string {
  return `SEALEAF_${name.toUpperCase().replaceAll("-", "_")}`;
}

export function flagOf(name: string): string {
  return `--${name}`;
}

export function fileKeyOf(name: string): string {
  return name.replace(/-./g, (part) => part.slice(1).toUpperCase());
}
