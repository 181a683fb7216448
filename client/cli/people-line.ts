/** What may be typed about people, links and the end of a notebook, and what it means. */

/** Null notebook: the only one that can be meant. */
interface InNotebook {
  readonly notebook: string | null;
}

export type PeopleCommand =
  | ({ readonly name: "people" | "links" | "leave" } & InNotebook)
  | ({ readonly name: "delete-notebook" | "restore-notebook" | "keep-copy" } & {
      readonly notebook: string;
    })
  | { readonly name: "authors"; readonly note: string }
  /** Null: what is asked for and waits; else the beginning of what is to be let in. */
  | { readonly name: "renewals"; readonly granted: string | null }
  | ({
      readonly name: "share";
      /** Shared alone, in place of a notebook. */
      readonly note: string | null;
      readonly role: "edit" | "read";
      /** From now. */
      readonly expiresInMs: number | null;
      readonly maxJoins: number | null;
    } & InNotebook)
  /** A link's id, the beginning of it, or the link. */
  | ({ readonly name: "revoke"; readonly link: string } & InNotebook)
  /** A person's id, the beginning of it, or their name. */
  | ({ readonly name: "remove"; readonly person: string } & InNotebook)
  | ({
      readonly name: "role";
      readonly person: string;
      readonly role: "read" | "edit" | "admin";
    } & InNotebook);

export interface PeopleOptions {
  readonly note?: string | undefined;
  readonly role?: string | undefined;
  readonly read?: boolean | undefined;
  readonly edit?: boolean | undefined;
  readonly expires?: string | undefined;
  readonly once?: boolean | undefined;
  readonly "max-joins"?: string | undefined;
}

const names = [
  "people",
  "links",
  "share",
  "revoke",
  "remove",
  "role",
  "leave",
  "delete-notebook",
  "restore-notebook",
  "keep-copy",
  "authors",
  "renewals",
] as const satisfies readonly PeopleCommand["name"][];

/** The command, a sentence about what is wrong with it, or null if it is none of these. */
export function peopleCommand(
  typed: string,
  rest: readonly string[],
  options: PeopleOptions,
): PeopleCommand | string | null {
  const name = names.find((known) => known === typed);
  if (name === undefined) return null;
  const [first, second, third] = rest;
  switch (name) {
    case "people":
    case "links":
    case "leave":
      return second === undefined
        ? { name, notebook: first ?? null }
        : `${name} takes one notebook.`;
    case "delete-notebook":
    case "restore-notebook":
    case "keep-copy":
      if (first === undefined) return `${name} needs the id of a notebook (see notebooks).`;
      return second === undefined ? { name, notebook: first } : `${name} takes one notebook.`;
    case "authors":
      if (first === undefined) return "authors needs the id of a note (see ls).";
      return second === undefined ? { name, note: first } : "authors takes one note.";
    case "renewals":
      if (first === undefined) return { name, granted: null };
      return first === "grant" && second !== undefined && third === undefined
        ? { name, granted: second }
        : "renewals takes nothing, or grant and a key (see renewals).";
    case "share":
      if (second !== undefined) return "share takes one notebook.";
      return shareCommand(first ?? null, options);
    case "revoke":
      if (first === undefined) return "revoke needs the id of a link (see links).";
      return third === undefined
        ? { name, link: first, notebook: second ?? null }
        : "revoke takes a link and a notebook.";
    case "remove":
      if (first === undefined) return "remove needs the id or the name of a person (see people).";
      return third === undefined
        ? { name, person: first, notebook: second ?? null }
        : "remove takes a person and a notebook. A name with spaces needs quotes.";
    case "role": {
      const [person, role, notebook = null, ...more] = rest;
      const isRole = role === "read" || role === "edit" || role === "admin";
      if (person === undefined || !isRole || more.length > 0) {
        return "role needs a person, then one of read, edit, admin, then perhaps a notebook.";
      }
      return { name, person, role, notebook };
    }
  }
}

function shareCommand(notebook: string | null, options: PeopleOptions): PeopleCommand | string {
  const { read = false, edit = false, once = false, role: named, expires } = options;
  const asked = [
    ...(named === undefined ? [] : [named]),
    ...(read ? ["read"] : []),
    ...(edit ? ["edit"] : []),
  ];
  const { note = null } = options;
  if (note !== null && notebook !== null) return "share takes a notebook, or --note with a note.";
  const role = asked[0] ?? "edit";
  if (role !== "edit" && role !== "read") return "--role is edit or read.";
  if (asked.length > 1) return "A link is for reading or for editing: say one of --read, --edit.";
  const joins = options["max-joins"];
  if (once && joins !== undefined) return "--once is --max-joins 1: say one of them.";
  if (joins !== undefined && !/^[1-9]\d{0,4}$/.test(joins)) {
    return "--max-joins is a number of people, at least 1.";
  }
  const expiresInMs = expires === undefined ? null : durationMs(expires);
  if (expires !== undefined && expiresInMs === null) {
    return "--expires is a time from now: 30m, 12h or 7d, at most 365d.";
  }
  const counted = joins === undefined ? null : Number(joins);
  return { name: "share", note, role, notebook, expiresInMs, maxJoins: once ? 1 : counted };
}

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const longestMs = 365 * unitMs.d;

/** "30m", "12h", "7d"; null for anything else and for nothing or more than a year. */
function durationMs(typed: string): number | null {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(typed) ?? [];
  if (count === undefined || (unit !== "m" && unit !== "h" && unit !== "d")) return null;
  const ms = Number(count) * unitMs[unit];
  return ms > 0 && ms <= longestMs ? ms : null;
}
