/** What the app and the command line say about a relay. */
import { bytesInWords } from "#client/notes/bytes-in-words.ts";
import type { RelayAbout, RelayInfo } from "./api.ts";

export function accessWords({ access, guests }: RelayAbout): string {
  const others = guests
    ? "Whoever holds a link to a notebook may use it."
    : "Nobody else is served.";
  switch (access) {
    case "open":
      return "Open: anybody may keep notebooks there.";
    case "invite":
      return `By invitation: those whom its operator invited may keep notebooks there. ${others}`;
    case "allowlist":
      return `By a list: those whom its operator listed may keep notebooks there. ${others}`;
  }
}

/** What it takes, one limit each. */
export function limitWords({ limits, keyBytes }: RelayAbout): readonly string[] {
  const { spaceBytes, documentBytes, blobBytes, entriesPerSecond, entryBurst } = limits;
  const person =
    keyBytes === null ? [] : [`All notebooks of one person: ${bytesInWords(keyBytes)}`];
  return [
    ...person,
    `A notebook: ${bytesInWords(spaceBytes)}`,
    `A note with its history: ${bytesInWords(documentBytes)}`,
    `An attachment: ${bytesInWords(blobBytes)}`,
    `Changes: ${entriesPerSecond} a second, ${entryBurst} at once`,
  ];
}

/** What ties this device to it, a sentence each; never nothing. */
export function tieWords(
  info: Pick<RelayInfo, "notebooks" | "servesThisApp" | "holdsAccessKey">,
): readonly string[] {
  const { all, own } = info.notebooks;
  const shared = all - own;
  const kept = [
    ...(own > 0 ? [`It keeps ${counted(own, "notebook")} of yours.`] : []),
    ...(shared > 0 ? [`It keeps ${counted(shared, "notebook")} that others share with you.`] : []),
  ];
  return [
    ...(info.servesThisApp ? ["This app came from it."] : []),
    ...(kept.length > 0 ? kept : ["It keeps no notebook of this device."]),
    ...(info.holdsAccessKey ? ["It has admitted you: this device holds your access key."] : []),
  ];
}

/** What the figure of stored bytes is. */
export const storedExplanation =
  "As the relay counts it: the newest sealed copy of each of your notes and what was written since. Attachments and older copies come on top.";

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
