/** The six words of the footer and what they mean. */
import type { RelayStatus, SyncReport, SyncStatus } from "#client/device/api.ts";

import { outOfSpace } from "./storage-words.ts";

export type SyncTone = "calm" | "busy" | "waiting" | "needs";

/**
 * What is true while something typed has not become a change: the device's last word may be old, and its next one long in
 * coming when another worker is taking over.
 */
export function statusWhileTyping(status: SyncStatus, isTyping: boolean): SyncStatus {
  if (!isTyping || status.word !== "up-to-date") return status;
  const detail = status.durable
    ? "What you type is being saved on this device and sent to the relay."
    : "";
  return { ...status, word: "sending", waiting: 1, detail };
}

export function syncText(status: SyncStatus): string {
  switch (status.word) {
    case "saved-here":
      return status.durable ? "Saved here" : "Not kept on this device";
    case "sending":
      return `Sending ${status.waiting}`;
    case "up-to-date":
      return "Up to date";
    case "offline":
      return status.waiting > 0 ? `Offline, ${status.waiting} waiting` : "Offline";
    case "limited":
      return `Limited${reasonOf(status.detail)}`;
    case "needs-you":
      return `Needs you: ${Math.max(1, status.relays.filter(({ word }) => word === "needs-you").length)}`;
  }
}

export function syncTone(status: SyncStatus): SyncTone {
  switch (status.word) {
    case "saved-here":
      return status.durable ? "calm" : "waiting";
    case "up-to-date":
      return "calm";
    case "sending":
      return "busy";
    case "offline":
    case "limited":
      return "waiting";
    case "needs-you":
      return "needs";
  }
}

/** The sentence at the top of the panel: the device's own, or what the word means. */
export function syncSentence(status: SyncStatus): string {
  if (status.full) return outOfSpace;
  if (status.detail !== "") return status.detail;
  if (!status.durable) return sentenceWithoutStorage(status.word);
  switch (status.word) {
    case "saved-here":
      return "Everything is saved on this device.";
    case "sending":
      return "Everything is saved on this device and is being sent to the relay.";
    case "up-to-date":
      return "Everything is saved on this device and on the relay.";
    case "offline":
      return "You are offline. Everything you write is saved on this device and will be sent later.";
    case "limited":
      return "The relay accepts less than usual. Everything is saved on this device and will be sent later.";
    case "needs-you":
      return "Something here waits for your decision. Everything is saved on this device.";
  }
}

function sentenceWithoutStorage(word: SyncStatus["word"]): string {
  switch (word) {
    case "saved-here":
      return "What you write exists only in this window.";
    case "sending":
      return "What you write is being sent to the relay. This window keeps nothing.";
    case "up-to-date":
      return "Everything is on the relay. This window keeps nothing.";
    case "offline":
      return "You are offline. What you write exists only in this window until it is sent.";
    case "limited":
      return "The relay accepts less than usual. What has not been sent exists only in this window.";
    case "needs-you":
      return "Something here waits for your decision. What has not been sent exists only in this window.";
  }
}

/** How one of several relays is, and what belongs to it. */
export function relayText({ connected, notebooks, waiting }: RelayStatus): string {
  const state = connected ? "connected" : "not connected";
  const kept = `${notebooks} ${notebooks === 1 ? "notebook" : "notebooks"}`;
  return waiting === 0 ? `${state}, ${kept}` : `${state}, ${kept}, ${waiting} waiting`;
}

export function waitingText(changes: number, notes: number): string {
  if (changes === 0) return "Nothing";
  const waiting = `${changes} ${changes === 1 ? "change" : "changes"}`;
  if (notes === 0) return waiting;
  return `${waiting}, in ${notes} ${notes === 1 ? "note" : "notes"}`;
}

export function divergenceText({ checks, found }: SyncReport["divergence"]): string {
  if (checks === 0) return "With nobody yet";
  const times = `With other devices, ${checks} ${checks === 1 ? "time" : "times"}`;
  if (found === 0) return `${times}: no difference`;
  return `${times}: ${found} ${found === 1 ? "difference" : "differences"} found and put right`;
}

export function conflictText({ found, open, reviewed }: SyncReport["conflicts"]): string {
  if (found === 0) return "No passage";
  const passages = `${found} ${found === 1 ? "passage" : "passages"}`;
  return `${passages}: ${open} to look at, ${reviewed} reviewed. Both edits are in the notes.`;
}

export function asideText(entries: number): string {
  if (entries === 0) return "Nothing";
  if (entries === 1) return "One change could not be applied and is kept aside. The note is fine.";
  return `${entries} changes could not be applied and are kept aside. The notes are fine.`;
}

/** Why, if it can be said in the room that a footer has: what stands behind the last colon of the first sentence, or all of it. */
function reasonOf(detail: string): string {
  const [sentence = ""] = detail.split(/[.;](?:\s|$)/);
  const reason = (sentence.split(": ").at(-1) ?? "").replace(/^the /i, "");
  if (reason === "" || reason.length > 40) return "";
  return `: ${reason.charAt(0).toLowerCase()}${reason.slice(1)}`;
}
