/** What people, their roles and the links they come by are called on the screen. */
import type { LinkRow, NotebookRow, PersonRow, Role } from "#client/device/api.ts";

import { namesOf } from "./note-rows.ts";
import { dayOf } from "./time-words.ts";

const dayMs = 24 * 60 * 60 * 1000;

export const roleWords: Readonly<Record<Role, string>> = {
  read: "can read",
  edit: "can edit",
  admin: "administers",
};

/** How long a new link opens, in days; null: until somebody revokes it. */
export const linkLives = [
  { days: 1, words: "for a day" },
  { days: 7, words: "for 7 days" },
  { days: 30, words: "for 30 days" },
  { days: null, words: "until you revoke it" },
] as const;

/** A whole millisecond, which clocks of browsers do not tell. */
export function expiryOf(days: number | null, now: number): number | null {
  return days === null ? null : Math.ceil(now) + days * dayMs;
}

/** Somebody who has not said a name yet is called that. */
export function nameOfPerson(person: Pick<PersonRow, "name">): string {
  return person.name === "" ? "Somebody without a name" : person.name;
}

/** With whom, for a mark beside what is shared; null where nobody else can open it. */
export function sharedWith({ members, shared }: NotebookRow): string | null {
  const others = members.filter(({ self }) => !self).map(({ name }) => name);
  if (others.length > 0) return `Shared with ${namesOf(others)}`;
  return shared ? "Open to a link" : null;
}

/** Whom it concerns that a notebook is deleted. */
export function deletionWords({ members }: NotebookRow): string {
  const others = members.filter(({ self }) => !self).map(({ name }) => name);
  if (others.length === 0)
    return "Nobody else is in here yet. Its links will open nothing any more.";
  const [who, they] =
    others.length === 1
      ? ["One other person is", "them"]
      : [`${others.length} other people are`, "all of them"];
  return `${who} in here: ${namesOf(others)}. It closes for ${they} at once. They keep what has already arrived on their devices, and its links will open nothing any more.`;
}

/** Why a name is not to be trusted yet; null where it is. */
export function doubtWords(person: PersonRow): string | null {
  if (person.self || person.verified || person.name === "") return null;
  return "This name is not signed with their key. Compare the fingerprint before you trust it.";
}

export function removalWords(person: PersonRow, others: readonly PersonRow[]): string {
  const name = nameOfPerson(person);
  const left = others.filter(({ id, self }) => !self && id !== person.id).map(nameOfPerson);
  const rest = left.length === 0 ? "" : ` ${namesOf(left)} will notice nothing.`;
  return `${name} keeps what has already arrived there. From now on ${name} cannot read or change anything new here.${rest}`;
}

/** "can edit · for one person · until 5 December". */
export function linkWords(link: LinkRow, now: number): string {
  return [roleWords[link.role], usesWords(link), endWords(link, now)].filter(Boolean).join(" · ");
}

function usesWords({ maxJoins, joins }: LinkRow): string {
  const used = joins === 0 ? "" : joins === 1 ? "used once" : `used ${joins} times`;
  if (maxJoins === null) return used || "for several people";
  if (maxJoins === 1) return joins === 0 ? "for one person" : "";
  return used === "" ? `for ${maxJoins} people` : `${used} of ${maxJoins}`;
}

function endWords({ state, expiresAt }: LinkRow, now: number): string {
  switch (state) {
    case "spent":
      return "used up";
    case "revoked":
      return "revoked";
    case "expired":
      return "ended";
    case "live":
      return expiresAt === null ? "" : `until ${dayOf(expiresAt, now)}`;
  }
}

/** Who came by a link. */
export function broughtWords(link: LinkRow, people: readonly PersonRow[]): string | null {
  const names = people.filter(({ via }) => via === link.id).map(nameOfPerson);
  return names.length === 0 ? null : `${namesOf(names)} came by it`;
}
