/** What a person is told about the room on this device. */
import type { StorageReport } from "#client/device/api.ts";
import { bytesInWords } from "#client/notes/bytes-in-words.ts";

import type { Keeping } from "./storage.svelte.ts";

export const outOfSpace =
  "This device is out of space. What you typed is kept in this window; reading and copying go on; free some space and it is saved by itself.";

export function usedWords({ files, free }: StorageReport): string {
  const used = `${bytesInWords(files)} used`;
  return free === null ? used : `${used}, ${bytesInWords(free)} free`;
}

/** What the room is used for, without what is nothing. */
export function partsOf(report: StorageReport): readonly { name: string; size: string }[] {
  const { notes, search, waiting, unused, files } = report;
  const rest = Math.max(0, files - notes - search - waiting - unused);
  const parts: readonly (readonly [string, number])[] = [
    ["Notes and their history", notes],
    ["List and search", search],
    ["Waiting to be sent", waiting],
    ["Free inside the files", unused],
    ["Keys, order, upkeep", rest],
  ];
  return parts.flatMap(([name, bytes]) =>
    bytes === 0 ? [] : [{ name, size: bytesInWords(bytes) }],
  );
}

export function keepingWords(keeping: Keeping): string {
  switch (keeping) {
    case "promised":
      return "The browser keeps your notes even when space runs out.";
    case "refused":
      return "The browser may remove your notes if space runs out. Keep your 24 words; install the app or bookmark it to be trusted more.";
    case "asked":
      return "The browser has not said yet whether it keeps your notes when space runs out; until then it may remove them. Keep your 24 words, and answer if it asks you.";
    case "not-asked":
      return "The browser may remove your notes if space runs out. It is asked to keep them once there is a note worth keeping.";
  }
}

/** A name that every file system takes, made of what a note is called. */
export function markdownFileName(title: string): string {
  const plain = title.replace(/[\p{Cc}\p{Cf}\s/\\:*?"<>|]+/gu, " ").replace(/^[. ]+/, "");
  const short = Array.from(plain)
    .slice(0, 60)
    .join("")
    .replace(/[. ]+$/, "");
  return `${short || "Note"}.md`;
}
