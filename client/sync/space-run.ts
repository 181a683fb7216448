/** One space in a session: what is remembered of it while this process runs. */
import { refusals } from "#relay/protocol/errors.ts";
import type { Message } from "#relay/protocol/messages.ts";
import type { PresenceExchange } from "./presence-exchange.ts";
import type { ToldHead } from "./put-back.ts";
import type { LogItem } from "./receiver.ts";
import type { Space } from "./space.ts";
import type { SpaceState } from "./state.ts";
import type { Wanted } from "./wanted.ts";
import type { Witness } from "./witness.ts";

export interface SpaceRun {
  readonly space: Space;
  readonly presence: PresenceExchange;
  readonly witness: Witness;
  readonly wanted: Wanted;
  state: SpaceState;
  handle: number | null;
  /** Where the relay says that its log stands, as it refused or took the last subscription. */
  told: ToldHead;
  /** Received, not taken in: the control log is on its way. */
  held: LogItem[];
  /** Up to here unknown authors have had their second chance. */
  judgedAgainUpTo: number;
  /** While stuck: cancels the next try. */
  retryDue: (() => void) | null;
  /** Tries since the space was last caught up. */
  retries: number;
  /** A snapshot's blob is on its way. */
  uploading: boolean;
  /** Since when the log does not have this person any more, without a word that they were removed; null while it does. */
  outSince: number | null;
  /** Cancels the end of their access. */
  doubtDue: (() => void) | null;
}

export const nothingTold: ToldHead = { head: 0, chain: new Uint8Array(32) };

/** The refusal in an answer that is not the one asked for. */
export function errorCode(message: Message): number {
  return message.type === "error" ? message.code : refusals.INTERNAL.code;
}
