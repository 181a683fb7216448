/** `relay-info` for a person: one fact a line. */
import type { RelayInfo } from "#client/device/api.ts";
import {
  accessWords,
  limitWords,
  storedExplanation,
  tieWords,
} from "#client/device/relay-words.ts";
import { bytesInWords } from "#client/notes/bytes-in-words.ts";

export function relayInfoText(info: RelayInfo): string {
  const { about, stored } = info;
  const facts: readonly (readonly [string, readonly string[]])[] = [
    ["Address", [info.address ?? "none yet"]],
    ["Connected", [info.connected ? "yes" : "no"]],
    ["Key", [info.fingerprint ?? "not known yet"]],
    ["Version", [about === null ? "not known yet" : about.version]],
    ["Access", [about === null ? "not known yet" : accessWords(about)]],
    ["Limits", about === null ? ["not known yet"] : limitWords(about)],
    ["As told at", info.aboutAt === null ? [] : [timeOf(info.aboutAt)]],
    ["Yours", tieWords(info)],
    ["Stored", stored === null ? ["not known yet"] : [storedText(stored), storedExplanation]],
    ["Last receipt", [info.lastAckAt === null ? "none yet" : timeOf(info.lastAckAt)]],
  ];
  const lines = facts.flatMap(([name, values]) =>
    values.map((value, ix) => `${(ix === 0 ? `${name}:` : "").padEnd(14)}${value}\n`),
  );
  return lines.join("");
}

function storedText({ bytes, at }: NonNullable<RelayInfo["stored"]>): string {
  return `${bytesInWords(bytes)} (${timeOf(at)})`;
}

function timeOf(at: number): string {
  return new Date(at).toISOString();
}
