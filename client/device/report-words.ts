/** A sync report as text, for a person to read or to hand to somebody who helps; nothing in it is a secret. */
import { refusals } from "#relay/protocol/errors.ts";
import { refusalWords } from "#client/sync/refusal-words.ts";
import type { Percentiles, SyncReport, SyncWord } from "./api.ts";
import { hostOf } from "./relay-address.ts";

export const syncWords: Record<SyncWord, string> = {
  "saved-here": "Saved here",
  sending: "Sending",
  "up-to-date": "Up to date",
  offline: "Offline",
  limited: "Limited",
  "needs-you": "Needs you",
};

/** What is measured, as it is called in front of a person. */
export const durationWords: Record<keyof SyncReport["times"], string> = {
  acknowledged: "Written here to acknowledged",
  shown: "Arrived from others to on the screen",
  push: "One push to the relay",
  pull: "Reading a notebook's log",
  upToDate: "Connected to up to date",
};

/** Times as UTC, so that two reports can be laid side by side. */
export function reportText(report: SyncReport): string {
  const { pushes, divergence, conflicts } = report;
  const lines = [
    "Sealeaf sync report",
    `Made: ${moment(report.madeAt)}`,
    `State: ${syncWords[report.word]}${report.workingOffline ? ", by choice" : ""}`,
    ...(report.detail === "" ? [] : [`Reason: ${report.detail}`]),
    `Relay: ${report.relay ?? "none"} (${report.connected ? "connected" : "not connected"})`,
    ...report.relays
      .filter(({ isOwn }) => !isOwn)
      .map(
        ({ relay, connected, waiting }) =>
          `Also: ${relay} (${connected ? "connected" : "not connected"}, ${waiting} waiting)`,
      ),
    `Last acknowledgement: ${report.lastAckAt === null ? "never" : moment(report.lastAckAt)}`,
    `Waiting: ${counted(report.waiting, "change")} in ${counted(report.waitingNotes, "note")}`,
    `Keeps data on this device: ${report.durable ? "yes" : "no"}${report.full ? ", but there is no room" : ""}`,
    "",
    ...measureLines(report),
    `Entries: ${pushes.taken} taken, ${pushes.refused} refused`,
    `Comparisons with other devices: ${divergence.checks}, of which ${divergence.found} found a difference`,
    `Passages changed in two places at once: ${conflicts.found}; listed: ${conflicts.open} to review, ${conflicts.reviewed} reviewed`,
    "",
    `Kept aside: ${report.quarantine.length}`,
    ...report.quarantine.map(
      ({ at, reason, bytes }) => `  ${moment(at)} ${reason} (${bytes} bytes)`,
    ),
    "",
    "Log:",
    ...report.log.map(({ at, level, text }) => `${moment(at)} ${level} ${text}`),
  ];
  return lines.join("\n");
}

/** One line for each thing that is measured or was tried again. */
export function measureLines(report: SyncReport): readonly string[] {
  const times = Object.entries(durationWords).map(([name, words]) => {
    const key = name as keyof SyncReport["times"]; // of a literal's keys
    return `${words}: ${percentileWords(report.times[key])}`;
  });
  const retries = report.retries.map(
    ({ reason, times: count }) => `Tried again: ${retryWords(reason)}, ${counted(count, "time")}`,
  );
  return [...times, ...retries];
}

export const notMeasured = "not measured yet";

export function percentileWords(measured: Percentiles | null): string {
  if (measured === null) return notMeasured;
  const { p50, p95, count } = measured;
  return `${msInWords(p50)} as a rule, ${msInWords(p95)} at worst but for one in twenty (${counted(count, "time")})`;
}

export function msInWords(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

const connectionWords: Partial<Record<string, string>> = {
  unreachable: "the relay could not be reached",
  broken: "the connection broke",
  "no-answer": "the relay did not answer",
  RATE: "the relay asked to slow down",
  TOO_MANY: "the relay asked to slow down",
  STALE_EPOCH: "the notebook had got new keys",
  NOT_A_WRITER: "the right to write had to be shown anew",
  CTR_REPLAY: "the relay knew of a later number",
};

/** What was in the way, as the panel and the report say it. */
export function retryWords(reason: string): string {
  const code = refusals[reason as keyof typeof refusals]?.code; // undefined for what is no refusal
  return connectionWords[reason] ?? (code === undefined ? reason : refusalWords(code));
}

const asideWords: Partial<Record<string, string>> = {
  "damaged-row": "it was damaged on this device",
  "damaged-row-fetched": "it was damaged on this device, and has been fetched from the relay again",
  "damaged-page": "a page of this device's files cannot be read",
  "damaged-control-record": "a record of who has access was damaged on this device",
  "damaged-draft": "typing that was kept for a crash was damaged on this device",
  "author-unknown-here": "this device does not know who wrote it",
  "not-applicable": "it does not fit into its note",
  "not-savable": "its note could not be kept with it",
  "too-much": "it would take too much time or memory",
  interrupted: "the app ended in the middle of it",
  "on-trial": "it is unusual and is being tried first",
};

/** Why something is kept aside, as the end of a sentence; without secrets. */
export function quarantineWords(reason: string): string {
  return asideWords[reason] ?? withoutSecrets(reason);
}

/** A link's fragment is a key, 32 bytes in hex or base64url may be one, and of an address only the host is needed. */
export function withoutSecrets(text: string): string {
  return text
    .replace(/#1[a-z][.][^\s]+/g, "#…")
    .replace(/\b(?:wss?|https?):\/\/[^\s)]+/g, (address) => hostOf(address))
    .replace(/[A-Za-z0-9_-]{40,}/g, "…");
}

function moment(at: number): string {
  return new Date(at).toISOString();
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
