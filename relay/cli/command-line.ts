/** The arguments of `sealeaf-relay` as a value. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { fileSetting, flagOf, settings, variableOf } from "#relay/config/settings.ts";

/** Its words and arguments stand in the help in this order. */
const commands = [
  { name: "serve", args: "", help: "serve people: what it does without a command" },
  { name: "config check", args: "", help: "say what is set and where, or every mistake" },
  { name: "invite make", args: "[--label TEXT] [--days N]", help: "print a new invitation" },
  { name: "invite list", args: "", help: "list invitations and access keys" },
  { name: "invite revoke", args: "ID", help: "end an invitation or an access key" },
  { name: "backup", args: "FILE", help: "copy the store, also while it is served" },
  { name: "verify", args: "[FILE]", help: "read a store or a backup whole and check it" },
  { name: "stats", args: "[--json]", help: "what the store holds, in numbers" },
  { name: "doctor", args: "", help: "look for what is wrong; changes nothing" },
  { name: "compact", args: "", help: "give the disk back what was forgotten" },
  { name: "migrate-store", args: "FROM TO", help: "move a store from SQLite to PostgreSQL" },
  { name: "healthcheck", args: "", help: "ask the running relay whether it is ready" },
] as const;

export type CommandName = (typeof commands)[number]["name"];

export interface CommandLine {
  readonly command: CommandName;
  readonly args: readonly string[];
  readonly label: string | null;
  readonly days: string | null;
  readonly json: boolean;
  readonly configFile: string | null;
  /** Values of flags by setting. */
  readonly flags: Readonly<Record<string, string>>;
}

export type ParsedCommandLine =
  | { readonly type: "run"; readonly line: CommandLine }
  | { readonly type: "help" | "version" }
  /** A sentence for whoever typed it. */
  | { readonly type: "mistake"; readonly sentence: string };

export function parseCommandLine(args: readonly string[]): ParsedCommandLine {
  const parsed = parse(args);
  if (!parsed.ok) return { type: "mistake", sentence: parsed.sentence };
  const { values, positionals } = parsed;
  if (values["help"] === true) return { type: "help" };
  if (values["version"] === true) return { type: "version" };
  const words = positionals.length === 0 ? ["serve"] : positionals;
  const found = commands.find(({ name }) => `${words.join(" ")} `.startsWith(`${name} `));
  if (found === undefined) {
    return { type: "mistake", sentence: `There is no command "${words.join(" ")}".` };
  }
  const rest = words.slice(found.name.split(" ").length);
  const [least, most] = argumentCount(found.args);
  if (rest.length < least || rest.length > most) {
    const usage = `sealeaf-relay ${found.name} ${found.args}`.trim();
    return { type: "mistake", sentence: `It is used like this: ${usage}` };
  }
  return {
    type: "run",
    line: {
      command: found.name,
      args: rest,
      label: textOf(values["label"]),
      days: textOf(values["days"]),
      json: values["json"] === true,
      configFile: textOf(values[fileSetting.name]),
      flags: flagsIn(values),
    },
  };
}

export function helpText(): string {
  const list = (rows: readonly (readonly [string, string])[]): readonly string[] => {
    const width = Math.max(...rows.map(([left]) => left.length));
    return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
  };
  return [
    "Usage: sealeaf-relay [COMMAND] [SETTING …]",
    "",
    "Stores and forwards sealed notes, and serves the web client.",
    "",
    "Commands:",
    ...list(commands.map(({ name, args, help }) => [`${name} ${args}`.trim(), help])),
    "",
    "Settings, from the environment; as flags they win over it:",
    ...list(
      [...settings, fileSetting].map(({ name, preset, help }) => [
        `${variableOf(name)}, ${flagOf(name)}`,
        preset === null || preset === "" ? help : `${help} (default ${preset})`,
      ]),
    ),
    "",
    "  --help     shows this",
    "  --version  shows the version",
    "",
  ].join("\n");
}

type Values = Readonly<Record<string, string | boolean | undefined>>;

function parse(
  args: readonly string[],
):
  | { readonly ok: true; readonly values: Values; readonly positionals: readonly string[] }
  | { readonly ok: false; readonly sentence: string } {
  const options: NonNullable<ParseArgsConfig["options"]> = {
    help: { type: "boolean" },
    version: { type: "boolean" },
    json: { type: "boolean" },
    label: { type: "string" },
    days: { type: "string" },
    [fileSetting.name]: { type: "string" },
  };
  for (const { name } of settings) options[name] = { type: "string" };
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    // No option is declared `multiple`, so no value is a list.
    return { ok: true, values: values as Values, positionals };
  } catch (error) {
    return { ok: false, sentence: error instanceof Error ? error.message : "Unknown option." };
  }
}

function flagsIn(values: Values): Readonly<Record<string, string>> {
  const flags: Record<string, string> = {};
  for (const { name } of settings) {
    const value = textOf(values[name]);
    if (value !== null) flags[name] = value;
  }
  return flags;
}

function textOf(value: string | boolean | undefined): string | null {
  return typeof value === "string" ? value : null;
}

/** Capital words are arguments, those in brackets may be left out. Options count for nothing. */
function argumentCount(args: string): readonly [number, number] {
  const optional = [...args.matchAll(/\[([A-Z]+)\]/g)].length;
  const required = args.replace(/\[[^\]]*\]/g, "").match(/[A-Z]+/g)?.length ?? 0;
  return [required, required + optional];
}
