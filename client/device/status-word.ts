import { refusalWords } from "#client/sync/refusal-words.ts";
import type { SyncStatus } from "./api.ts";
import { hostOf } from "./relay-address.ts";

/** What of a session the word depends on. */
interface SessionState {
  readonly connected: boolean;
  readonly failing: boolean;
  readonly lastFailure: string | null;
  readonly refusedCode: number | null;
  readonly stuck: readonly unknown[];
  readonly upToDate: boolean;
  /** Notebooks of which others have more than the relay gives. */
  readonly doubts: readonly unknown[];
  /** Spaces to which nothing is sent until somebody else removes somebody again. */
  readonly withheld: readonly unknown[];
  /** The relay has lately been found to show others something else. */
  readonly inconsistent: boolean;
}

const outOfSpace =
  "This device is out of space. What was saved before is safe, and reading and copying go on; free some space and writing goes on by itself.";

const twoStories =
  "The relay has shown different people different things in one notebook. Everything that came is kept. Tell whoever runs the relay.";
const withheld =
  "Somebody who was removed from a notebook has access again, because its relay has lost that. What you write there is kept, and waits until somebody who manages the notebook has removed them again.";
const keepsBack =
  "Others have newer changes than the relay gives to this device. What you write is sent as always; their changes come when the relay gives them.";

/** One relay in use, as far as the word depends on it. */
interface RelayState {
  readonly url: string;
  /** Null while this device does not connect. */
  readonly session: SessionState | null;
  /** Changes it has not acknowledged. */
  readonly waiting: number;
}

type Described = Pick<SyncStatus, "word" | "detail">;

/** Of a device that another one has removed. */
export const removedStatus = {
  word: "needs-you",
  detail:
    "This device was removed from your devices. What is here stays, but nothing new comes, and nothing is sent. You can remove everything from this device in its settings.",
} as const;

/**
 * How synchronising goes, in one of the six words and, unless all is well, a sentence.
 *
 * With several relays it is the worst state that needs the person. One that cannot be reached makes this device offline
 * only if something waits for it, or if all are so; up to date it is when it is so with each.
 * */
export function describeSync(
  relays: readonly RelayState[],
  device: Pick<SyncStatus, "durable" | "full" | "workingOffline">,
): Described {
  const { durable } = device;
  if (device.full) return { word: "needs-you", detail: outOfSpace };
  if (device.workingOffline) {
    return {
      word: "offline",
      detail: `You chose to work offline. ${
        durable
          ? "Everything you write is saved on this device and will be sent when you go online again."
          : "What you write exists only in this window until you go online again."
      }`,
    };
  }
  const [first, ...others] = relays;
  if (first === undefined) return { word: "saved-here", detail: "" };
  if (others.length === 0) return describeRelay(first.session, first.waiting, durable);
  const each = relays.map((relay) => ({
    ...relay,
    ...describeRelay(relay.session, relay.waiting, durable),
  }));
  const isAt = (word: SyncStatus["word"]) => (relay: Described) => relay.word === word;
  for (const word of ["needs-you", "limited"] as const) {
    const found = each.find(isAt(word));
    if (found !== undefined) return { word, detail: `${hostOf(found.url)}: ${found.detail}` };
  }
  const away = each.filter(isAt("offline"));
  if (away.length === each.length) return describeRelay(first.session, first.waiting, durable);
  const missed = away.filter(({ waiting }) => waiting > 0);
  if (missed.length > 0) return { word: "offline", detail: unsentTo(missed, durable) };
  if (each.some(isAt("sending"))) return { word: "sending", detail: "" };
  if (away.length > 0) return { word: "saved-here", detail: unheardOf(away) };
  return { word: each.every(isAt("up-to-date")) ? "up-to-date" : "saved-here", detail: "" };
}

function unsentTo(relays: readonly RelayState[], durable: boolean): string {
  const where = durable ? "is saved on this device" : "exists only in this window";
  return `${hosts(relays)} cannot be reached right now. What you wrote for it ${where} and will be sent later; your other notebooks go on.`;
}

function unheardOf(relays: readonly RelayState[]): string {
  return `${hosts(relays)} cannot be reached right now. Nothing of yours waits for it; what others write there comes later.`;
}

function hosts(relays: readonly RelayState[]): string {
  return relays.map(({ url }) => hostOf(url)).join(", ");
}

/**
 * @param session null while this device does not connect
 * @param waiting changes the relay has not acknowledged
 */
export function describeRelay(
  session: SessionState | null,
  waiting: number,
  durable: boolean,
): Described {
  if (session === null) return { word: "saved-here", detail: "" };
  if (!session.connected) {
    if (!session.failing) return { word: "saved-here", detail: "" };
    const why = session.lastFailure === null ? "" : ` (${session.lastFailure})`;
    return {
      word: "offline",
      detail: `You are offline${why}. ${
        durable
          ? "Everything you write is saved on this device and will be sent later."
          : "What you write exists only in this window until it is sent."
      }`,
    };
  }
  const refused = session.refusedCode;
  if (refused !== null) {
    const word = refused >= 500 && refused < 600 ? "limited" : "needs-you";
    return {
      word,
      detail: `The relay does not take more: ${refusalWords(refused)}. ${
        durable ? "Everything is saved here." : "What has not been sent exists only in this window."
      }`,
    };
  }
  if (session.stuck.length > 0) {
    return {
      word: "needs-you",
      detail:
        "A notebook cannot be synchronised right now. It is tried again when the connection is renewed.",
    };
  }
  if (session.inconsistent) return { word: "needs-you", detail: twoStories };
  if (session.withheld.length > 0 && waiting > 0) return { word: "needs-you", detail: withheld };
  if (session.doubts.length > 0) return { word: "limited", detail: keepsBack };
  if (waiting > 0) return { word: "sending", detail: "" };
  return { word: session.upToDate ? "up-to-date" : "saved-here", detail: "" };
}
