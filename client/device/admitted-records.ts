/** Writing to the control log of a space that this device does not hold yet, with a key that the log has let in. */
import type { SignedControl } from "#relay/protocol/control.ts";
import { refusals } from "#relay/protocol/errors.ts";
import type { BoxKey } from "#client/crypto/capability.ts";
import { keysFor, type ControlPlace } from "#client/crypto/space-keys.ts";
import { refusalWords } from "#client/sync/refusal-words.ts";
import { refuse } from "./refusal.ts";
import type { ControlLog, RelayQuestions } from "./relay-questions.ts";

/** Others may write to a control log while we do: so often our records are written anew. */
const mostTries = 6;

interface Written {
  /** As the relay told it before. */
  readonly log: ControlLog;
  readonly signed: readonly SignedControl[];
}

/** Pushes records on top of a log that others may be writing to, all or none, until they are taken or refused. */
export async function admitRecords<T extends Written>(
  relay: RelayQuestions,
  write: () => Promise<T>,
  words: { readonly refused: string; readonly tooMany: string },
): Promise<T & { readonly records: ControlLog["records"] }> {
  for (let tries = 0; tries < mostTries; tries += 1) {
    const written = await write();
    const { genesis, records } = written.log;
    const pushed = written.signed.map(({ bytes }) => bytes);
    const answer = await relay.pushRecords(genesis, pushed);
    if (answer.type === "taken") return { ...written, records: [...records, ...answer.records] };
    if (answer.code === refusals.LINK_SPENT.code) {
      refuse(
        "link-spent",
        "This link has just been used up, or its time is over. Ask for a new one.",
      );
    }
    if (answer.code !== refusals.CTRL_CONFLICT.code) {
      refuse("refused", `${words.refused}: ${refusalWords(answer.code)}.`);
    }
  }
  return refuse("refused", words.tooMany);
}

/** The place of the next record, written by somebody who has read nothing but the control log. */
export function topOf({ verified }: ControlLog, timeMs: number): ControlPlace {
  return {
    authority: verified.authority,
    timeMs,
    seenPos: 0,
    seenChain: new Uint8Array(32),
  };
}

/** The key of the current epoch, if the log holds it for this capability. */
export function currentKey(
  { verified }: ControlLog,
  signPub: Uint8Array,
  box: BoxKey,
): Uint8Array | null {
  const { authority, records } = verified;
  const keys = keysFor(authority.spaceId, records, { signPub, box });
  return keys.find(({ epoch }) => epoch === authority.epoch)?.key ?? null;
}
