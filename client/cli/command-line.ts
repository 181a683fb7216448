/** What may be typed, and what it means. */
import { parseArgs } from "node:util";

export const usage = `Usage: sealeaf --home DIR [--relay URL] [--json] COMMAND

  init                       make a new identity; prints the 24 words once
  restore                    become a device of the words on standard input
  new [--title T] [--notebook N]   a note with the text on standard input
  ls                         list the notes
  cat ID                     print a note's text
  edit ID [--base HEADS]     replace a note's text by standard input, as minimal changes
  rm ID                      move a note to the trash
  notebooks                  list the notebooks
  share [--role edit|read] [NOTEBOOK]   print a link to a notebook
  join LINK                  open a notebook by its link
  name NAME                  how others see you
  sync [--timeout S]         exchange everything with the relay, then stop
  watch                      stay connected; one JSON line per event
  status                     what is saved, sent and waiting

Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the relay cannot be reached.`;

export interface CommandLine {
  readonly home: string;
  readonly relay: string | null;
  readonly json: boolean;
  readonly command: Command;
}

export type Command =
  | { readonly name: "init" | "restore" | "ls" | "notebooks" | "status" }
  | { readonly name: "watch" }
  | { readonly name: "new"; readonly title: string; readonly notebook: string | null }
  | { readonly name: "cat" | "rm"; readonly id: string }
  | { readonly name: "edit"; readonly id: string; readonly base: readonly string[] | null }
  | { readonly name: "share"; readonly role: "edit" | "read"; readonly notebook: string | null }
  | { readonly name: "join"; readonly link: string }
  | { readonly name: "name"; readonly displayName: string }
  | { readonly name: "sync"; readonly timeoutMs: number };

export type ParsedLine =
  | { readonly type: "run"; readonly line: CommandLine }
  | { readonly type: "help" }
  | { readonly type: "version" }
  | { readonly type: "wrong"; readonly message: string };

const defaultTimeoutS = 30;

/** @param args without node and script */
export function parseLine(args: readonly string[]): ParsedLine {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    return wrong(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  if (values.help === true) return { type: "help" };
  if (values.version === true) return { type: "version" };
  const [name, ...rest] = positionals;
  if (name === undefined) return wrong("Which command?");
  if (values.home === undefined) return wrong("Where is the home? Say --home DIR.");
  const command = commandOf(name, rest, values);
  if (typeof command === "string") return wrong(command);
  return {
    type: "run",
    line: { home: values.home, relay: values.relay ?? null, json: values.json === true, command },
  };
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      home: { type: "string" },
      relay: { type: "string" },
      json: { type: "boolean" },
      help: { type: "boolean", short: "h" },
      version: { type: "boolean" },
      title: { type: "string" },
      notebook: { type: "string" },
      base: { type: "string" },
      role: { type: "string" },
      timeout: { type: "string" },
    },
  });
}

type Values = ReturnType<typeof parse>["values"];

/** Which options belong to which command; --home, --relay and --json to all. */
const optionsOf: Record<string, readonly (keyof Values)[]> = {
  new: ["title", "notebook"],
  edit: ["base"],
  share: ["role"],
  sync: ["timeout"],
};

function commandOf(name: string, rest: readonly string[], values: Values): Command | string {
  for (const option of ["title", "notebook", "base", "role", "timeout"] as const) {
    if (values[option] !== undefined && !(optionsOf[name] ?? []).includes(option)) {
      return `--${option} does not belong to ${name}.`;
    }
  }
  const [first, second] = rest;
  const one = (what: string): string | null =>
    first === undefined
      ? `${name} needs ${what}.`
      : second === undefined
        ? null
        : `${name} takes one ${what}.`;
  switch (name) {
    case "init":
    case "restore":
    case "ls":
    case "notebooks":
    case "watch":
    case "status":
      return first === undefined ? { name } : `${name} takes no argument.`;
    case "new":
      if (first !== undefined) return "new takes its text from standard input.";
      return { name, title: values.title ?? "", notebook: values.notebook ?? null };
    case "cat":
    case "rm":
      return first === undefined || second !== undefined
        ? (one("note") ?? "")
        : { name, id: first };
    case "edit": {
      if (first === undefined || second !== undefined) return one("note") ?? "";
      const base =
        values.base === undefined ? null : values.base.split(",").filter((head) => head !== "");
      if (base?.some((head) => !/^[0-9a-f]{64}$/.test(head)) === true || base?.length === 0) {
        return "--base takes the heads of an earlier cat --json, with commas between.";
      }
      return { name, id: first, base };
    }
    case "share": {
      if (second !== undefined) return "share takes one notebook.";
      const role = values.role ?? "edit";
      if (role !== "edit" && role !== "read") return "--role is edit or read.";
      return { name, role, notebook: first ?? null };
    }
    case "join":
      return first === undefined || second !== undefined
        ? (one("link") ?? "")
        : { name, link: first };
    case "name":
      return first === undefined ? "name needs a name." : { name, displayName: rest.join(" ") };
    case "sync": {
      const seconds = Number(values.timeout ?? defaultTimeoutS);
      if (!(seconds > 0)) return "--timeout is a number of seconds.";
      return first === undefined ? { name, timeoutMs: seconds * 1000 } : "sync takes no argument.";
    }
    default:
      return `There is no command “${name}”.`;
  }
}

function wrong(message: string): ParsedLine {
  return { type: "wrong", message };
}
