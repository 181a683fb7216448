/** What may be typed, and what it means. */
import { parseArgs } from "node:util";
import { relayAddress } from "#client/device/relay-address.ts";
import { peopleCommand, type PeopleCommand } from "./people-line.ts";

export const usage = `Usage: sealeaf --home DIR [--relay URL] [--json] COMMAND

  init                       make a new identity; prints the 24 words once
  restore [--yes]            become a device of the words on standard input; shows what is found
                             under them, and at a terminal asks first
  become LINK                the same, by the link that device-link prints on another device
  new [--title T] [--notebook N]   a note with the text on standard input
  ls                         list the notes
  search QUERY               find notes: words "a phrase" -word tag:T in:NOTEBOOK
                             is:pinned|trashed|shared after:2026-03 before:2026-03-14
                             (-- in front of a query that begins with -)
  cat ID                     print a note's text
  edit ID [--base HEADS]     replace a note's text by standard input, as minimal changes
  rm ID                      move a note to the trash
  notebooks                  list the notebooks
  share [--read|--edit] [--expires 7d] [--once|--max-joins N] [NOTEBOOK]
                             print a link to a notebook, for editing unless --read; with
                             --note ID to one note alone
  links [NOTEBOOK]           every link: what it allows, who came by it, whether it still lives
  revoke LINK [NOTEBOOK]     end a link; who came by it stays
  join LINK                  open a notebook by its link
  people [NOTEBOOK]          who has access, what they may do, and a fingerprint to compare
  role PERSON read|edit|admin [NOTEBOOK]   change what somebody may do
  remove PERSON [NOTEBOOK]   end somebody's access; they keep what they had received
  leave [NOTEBOOK]           follow a notebook no more
  keep-copy NOTEBOOK         copy a notebook that has ended, with its history, into one of your own
  authors ID                 who wrote a note, by signature
  renewals [grant KEY]       whose access waits to be renewed; let one in after comparing fingerprints
  delete-notebook NOTEBOOK   close a notebook for everybody
  restore-notebook NOTEBOOK  bring it back, within 30 days
  name NAME                  how others see you
  words                      the 24 words, while they are still in this home
  words check                prove that you have them by three of them; they are then removed from here
  devices                    your devices: when each was last here, and its fingerprint
  devices name NAME          how your other devices see this one
  devices remove ID          take a lost or sold device out of everything, for good
  shut-out-others            after a theft: with the words on standard input, every other device is out
  device-link [cancel]       a link for one more device of yours, good for ten minutes
  redeem INVITATION [URL]    enter a relay that asks for one; without URL the own one
  sync [--timeout S]         exchange everything with the relay, then stop; keeps trying
                             for S seconds, else gives up when the relay cannot be reached
  watch                      stay connected; one JSON line per event
  relays                     the relays in use, and what waits for each
  move-home NOTEBOOK URL     give a notebook a new home on another relay; its people are led over
  status                     what is saved, sent and waiting, and how quickly; with --json a
                             report without secrets
  conflicts [ID]             passages of your notes, or of one, that were changed in two places at
                             once; conflicts --reviewed CONFLICT marks one as looked at
  offline on|off             exchange nothing with the relay until it is switched off again
  relay-info                 what the relay is, what it keeps of yours, and its limits
  doctor                     examine everything here and say what is well; changes nothing
  backup FILE                write all of this home into a new file that only your words open
  restore-backup FILE        make an empty home of a backup; the words come on standard input
  passphrase set|change|remove   ask for a passphrase before opening this home; the current and the
                             new one are typed, or lines on standard input

A home with a passphrase is opened with --passphrase-file FILE, with the file that
SEALEAF_PASSPHRASE_FILE names, or by typing it at a terminal.

Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the relay cannot be reached.`;

export interface CommandLine {
  readonly home: string;
  /** ws:// or wss:// */
  readonly relay: string | null;
  readonly json: boolean;
  /** The file that holds the passphrase of this home. */
  readonly passphraseFile: string | null;
  readonly command: Command;
}

export type Command =
  | { readonly name: "restore"; readonly isSure: boolean }
  | { readonly name: "become"; readonly link: string }
  | { readonly name: "shut-out-others" }
  | { readonly name: "init" | "ls" | "notebooks" | "status" | "relay-info" }
  | { readonly name: "doctor" }
  | { readonly name: "watch" }
  | { readonly name: "backup"; readonly file: string }
  | { readonly name: "restore-backup"; readonly file: string }
  | { readonly name: "new"; readonly title: string; readonly notebook: string | null }
  | { readonly name: "relays" }
  | { readonly name: "move-home"; readonly notebook: string; readonly relay: string }
  | { readonly name: "search"; readonly query: string }
  | { readonly name: "cat" | "rm"; readonly id: string }
  | { readonly name: "edit"; readonly id: string; readonly base: readonly string[] | null }
  | PeopleCommand
  | { readonly name: "join"; readonly link: string }
  | { readonly name: "name"; readonly displayName: string }
  | { readonly name: "words"; readonly check: boolean }
  | { readonly name: "devices"; readonly act: "list" }
  | { readonly name: "devices"; readonly act: "name"; readonly deviceName: string }
  | { readonly name: "devices"; readonly act: "remove"; readonly id: string }
  | { readonly name: "device-link"; readonly act: "show" | "cancel" }
  /** Null: the own relay. */
  | { readonly name: "redeem"; readonly invite: string; readonly relay: string | null }
  | { readonly name: "offline"; readonly offline: boolean }
  | { readonly name: "conflicts"; readonly note: string | null; readonly reviewed: string | null }
  | { readonly name: "passphrase"; readonly action: "set" | "change" | "remove" }
  /** Null: until it is hopeless. */
  | { readonly name: "sync"; readonly timeoutMs: number | null };

export type ParsedLine =
  | { readonly type: "run"; readonly line: CommandLine }
  | { readonly type: "help" }
  | { readonly type: "version" }
  | { readonly type: "wrong"; readonly message: string };

/** A day: beyond 2^31 ms timers fire at once. */
const longestTimeoutS = 86_400;

/** @param args without node and script */
export function parseLine(args: readonly string[]): ParsedLine {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    // Node explains at length; its first sentence names the option.
    const [sentence = ""] = (error instanceof Error ? error.message : String(error)).split(". ");
    return wrong(`${sentence.replace(/\.$/, "")}.`);
  }
  const { values, positionals } = parsed;
  if (values.help === true) return { type: "help" };
  if (values.version === true) return { type: "version" };
  const [name, ...rest] = positionals;
  if (name === undefined) return wrong("Which command?");
  const command = commandOf(name, rest, values);
  if (typeof command === "string") return wrong(command);
  const misplaced = misplacedOption(command.name, values);
  if (misplaced !== null) return wrong(misplaced);
  const { home } = values;
  if (home === undefined || home === "") return wrong("Where is the home? Say --home DIR.");
  const relay = values.relay === undefined ? null : relayAddress(values.relay);
  if (values.relay !== undefined && relay === null) {
    return wrong(
      `“${values.relay}” is not the address of a relay. It looks like http://localhost:8787 or wss://notes.example.`,
    );
  }
  const passphraseFile = values["passphrase-file"] ?? null;
  return {
    type: "run",
    line: { home, relay, json: values.json === true, passphraseFile, command },
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
      "passphrase-file": { type: "string" },
      help: { type: "boolean", short: "h" },
      version: { type: "boolean" },
      title: { type: "string" },
      notebook: { type: "string" },
      base: { type: "string" },
      role: { type: "string" },
      read: { type: "boolean" },
      edit: { type: "boolean" },
      expires: { type: "string" },
      once: { type: "boolean" },
      "max-joins": { type: "string" },
      timeout: { type: "string" },
      note: { type: "string" },
      reviewed: { type: "string" },
      yes: { type: "boolean" },
    },
  });
}

type Values = ReturnType<typeof parse>["values"];

/** Which options belong to one command; --home, --relay, --json and --passphrase-file belong to all. */
const commandOfOption = {
  title: "new",
  notebook: "new",
  base: "edit",
  note: "share",
  role: "share",
  read: "share",
  edit: "share",
  expires: "share",
  once: "share",
  "max-joins": "share",
  timeout: "sync",
  reviewed: "conflicts",
  yes: "restore",
} as const satisfies Partial<Record<keyof Values, Command["name"]>>;

/** A sentence about the first option that is out of place, null if none is. */
function misplacedOption(name: Command["name"], values: Values): string | null {
  const options = Object.entries(commandOfOption) as [keyof typeof commandOfOption, string][];
  const misplaced = options.find(
    ([option, owner]) => values[option] !== undefined && owner !== name,
  );
  return misplaced === undefined ? null : `--${misplaced[0]} does not belong to ${name}.`;
}

/** The command, or a sentence about what is wrong with it. */
function commandOf(name: string, rest: readonly string[], values: Values): Command | string {
  const [first, second] = rest;
  switch (name) {
    case "init":
    case "shut-out-others":
    case "ls":
    case "notebooks":
    case "watch":
    case "status":
    case "relay-info":
    case "relays":
    case "doctor":
      return first === undefined ? { name } : `${name} takes no argument.`;
    case "restore":
      return first === undefined
        ? { name, isSure: values.yes === true }
        : "restore takes no argument: the words come on standard input.";
    case "become":
      if (first === undefined) return "become needs the link that device-link prints.";
      return second === undefined ? { name, link: first } : "become takes one link.";
    case "new":
      if (first !== undefined) return "new takes its text from standard input.";
      return { name, title: values.title ?? "", notebook: values.notebook ?? null };
    case "cat":
    case "rm":
      if (first === undefined) return `${name} needs the id of a note (see ls).`;
      return second === undefined ? { name, id: first } : `${name} takes one note.`;
    case "edit": {
      if (first === undefined) return "edit needs the id of a note (see ls).";
      if (second !== undefined) return "edit takes one note; its text comes from standard input.";
      const base = values.base === undefined ? null : values.base.split(",");
      if (base?.some((head) => !/^[0-9a-f]{64}$/.test(head)) === true) {
        return "--base takes the heads of an earlier cat --json, with commas between.";
      }
      return { name, id: first, base };
    }
    case "search":
      if (first === undefined) return "search needs something to look for.";
      return { name, query: rest.join(" ") };
    case "join":
      if (first === undefined) return "join needs a link.";
      return second === undefined ? { name, link: first } : "join takes one link.";
    case "conflicts": {
      const { reviewed = null } = values;
      const most = reviewed === null ? 1 : 0;
      if (rest.length > most) return "conflicts takes one note, or --reviewed with a conflict.";
      return { name, note: first ?? null, reviewed };
    }
    case "offline":
      if ((first !== "on" && first !== "off") || second !== undefined) {
        return "offline needs one of on, off.";
      }
      return { name, offline: first === "on" };
    case "move-home": {
      if (first === undefined || second === undefined || rest.length > 2) {
        return "move-home needs a notebook (see notebooks) and the address of a relay.";
      }
      const relay = relayAddress(second);
      return relay === null ? notARelay(second) : { name, notebook: first, relay };
    }
    case "passphrase":
      if (first !== "set" && first !== "change" && first !== "remove") {
        return "passphrase needs one of set, change, remove.";
      }
      return second === undefined
        ? { name, action: first }
        : "A passphrase is never typed on the command line, where others can read it.";
    case "words":
      if (first !== undefined && first !== "check") return "words takes nothing, or check.";
      return second === undefined
        ? { name, check: first === "check" }
        : "Words are never typed on the command line, where others can read them.";
    case "devices":
      return devicesCommand(rest);
    case "device-link":
      return rest.length === 0 || (first === "cancel" && second === undefined)
        ? { name, act: first === "cancel" ? "cancel" : "show" }
        : "device-link takes nothing, or cancel.";
    case "redeem": {
      if (first === undefined) return "redeem needs an invitation.";
      if (rest.length > 2) return "redeem takes one invitation, and the address of its relay.";
      const relay = second === undefined ? null : relayAddress(second);
      if (second !== undefined && relay === null) return notARelay(second);
      return { name, invite: first, relay };
    }
    case "name":
      return first === undefined ? "name needs a name." : { name, displayName: rest.join(" ") };
    case "backup":
    case "restore-backup":
      if (first === undefined) return `${name} needs the name of a file.`;
      return second === undefined ? { name, file: first } : `${name} takes one file.`;
    case "sync": {
      if (first !== undefined) return "sync takes no argument.";
      if (values.timeout === undefined) return { name, timeoutMs: null };
      const seconds = /^\d+(\.\d+)?$/.test(values.timeout) ? Number(values.timeout) : 0;
      if (seconds <= 0 || seconds > longestTimeoutS) {
        return `--timeout is a number of seconds, at most ${longestTimeoutS}.`;
      }
      return { name, timeoutMs: Math.ceil(seconds * 1000) };
    }
    default:
      return peopleCommand(name, rest, values) ?? `There is no command “${name}”.`;
  }
}

function devicesCommand([act, ...rest]: readonly string[]): Command | string {
  switch (act) {
    case undefined:
      return { name: "devices", act: "list" };
    case "name":
      if (rest.length === 0) return "devices name needs a name.";
      return { name: "devices", act, deviceName: rest.join(" ") };
    case "remove": {
      const [id, ...more] = rest;
      if (id === undefined || more.length > 0) return "devices remove needs the id of one device.";
      return { name: "devices", act, id };
    }
    default:
      return "devices takes nothing, or name, or remove.";
  }
}

function notARelay(typed: string): string {
  return `“${typed}” is not the address of a relay. It looks like https://notes.example.`;
}

function wrong(message: string): ParsedLine {
  return { type: "wrong", message };
}
