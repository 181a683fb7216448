import { refusalWords } from "#client/sync/refusal-words.ts";
import type { SyncStatus } from "./api.ts";

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
  /** The relay has lately been found to show others something else. */
  readonly inconsistent: boolean;
}

const outOfSpace =
  "This device is out of space. What was saved before is safe, and reading and copying go on; free some space and writing goes on by itself.";

const twoStories =
  "The relay has shown different people different things in one notebook. Everything that came is kept. Tell whoever runs the relay.";
const keepsBack =
  "Others have newer changes than the relay gives to this device. What you write is sent as always; their changes come when the relay gives them.";

/**
 * How synchronising goes, in one of the six words and, unless all is well, a sentence.
 *
 * @param session null while this device does not connect
 */
export function describeSync(
  session: SessionState | null,
  device: Pick<SyncStatus, "waiting" | "durable" | "full" | "workingOffline">,
): Pick<SyncStatus, "word" | "detail"> {
  const { waiting, durable } = device;
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
  if (session.doubts.length > 0) return { word: "limited", detail: keepsBack };
  if (waiting > 0) return { word: "sending", detail: "" };
  return { word: session.upToDate ? "up-to-date" : "saved-here", detail: "" };
}
