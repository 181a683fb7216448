import { refusalName, type RefusalName } from "#relay/protocol/errors.ts";

const words: Partial<Record<RefusalName, string>> = {
  RATE: "it asks this device to slow down",
  TOO_MANY: "it asks this device to slow down",
  QUOTA_SPACE: "the notebook has used up its room there",
  QUOTA_DOCUMENT: "the note is as large as the relay takes",
  QUOTA_MEMBER: "this person has used up their share of the notebook’s room there",
  DISK_FULL: "the relay is full",
  QUOTA_KEY: "the room it gives to the notebooks made with one invitation is used up",
  AUTH_REQUIRED:
    "it keeps notebooks only for those whom it has invited; ask whoever runs it for an invitation and enter it in Settings",
  TOKEN_SPENT: "it does not know this invitation, or it has been used or has expired",
  SHUTTING_DOWN: "the relay is restarting",
  SLOW_CONSUMER: "this device took too long to read",
  ENTRY_TOO_BIG: "it is larger than the relay takes",
  FRAME_TOO_BIG: "it is larger than the relay takes",
  NOT_A_WRITER: "this person may not write there",
  LINK_SPENT: "the link has been used up, withdrawn or has expired",
  NO_SPACE: "the relay does not know this notebook",
  AUTH_FAILED: "the address it was called by is not its own",
  UNSUPPORTED_VERSION: "the relay speaks another version: update one of them",
  INTERNAL: "something went wrong at the relay",
};

/** What a code of the relay means, as the end of a sentence; for the rest its name. */
export function refusalWords(code: number): string {
  const name = refusalName(code);
  if (name === null) return `code ${code}`;
  return words[name] ?? name.toLowerCase().replaceAll("_", " ");
}
