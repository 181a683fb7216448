/**
 * Decisions that rest on more than a space's state: on what the store says of a blob, or of what is
 * old. What was read holds as long as nothing has been written in the space since.
 */
import type { Ledger, OpenSpace } from "#relay/ledger.ts";
import { noAdditions, type Additions, type SpaceState } from "#relay/space.ts";

export interface StoredDecision<Outcome> {
  readonly outcome: Outcome;
  /** Null if there is nothing to write. */
  readonly write: ({ readonly to: SpaceState } & Partial<Additions>) | null;
}

export interface StoredDecisionPorts<By, Facts, Outcome> {
  readonly ledger: Ledger<By>;
  readonly spaceId: Uint8Array;
  readonly by: By;
  /** Gets the space as it is stored: nothing of it is on its way to the disk. */
  readonly read: (state: SpaceState) => Promise<Facts>;
  /** Documents the decision has to know of. */
  readonly docIdsOf: (facts: Facts) => readonly Uint8Array[];
  readonly decide: (state: SpaceState, facts: Facts, space: OpenSpace) => StoredDecision<Outcome>;
}

/** A space in which others write all the time is left to them after so many attempts. */
const maxAttempts = 20;
const outdated = Symbol("outdated");

/**
 * Reads, decides, and writes what was decided; settled once it is durable. Null for a space that is
 * not there, or if others kept writing in between. Rejects when the store does.
 */
export async function decideOnStored<By, Facts, Outcome>(
  ports: StoredDecisionPorts<By, Facts, Outcome>,
): Promise<Outcome | null> {
  const { ledger, spaceId, by, read, docIdsOf, decide } = ports;
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    await ledger.settledIn(spaceId);
    const { committed } = await ledger.open(spaceId);
    if (committed === null) return null;
    const facts = await read(committed);
    const outcome = await ledger.decide<Outcome | typeof outdated>(
      spaceId,
      docIdsOf(facts),
      (space) => {
        const from = space.working;
        if (from?.revision !== committed.revision) {
          return { outcome: outdated, addition: null, isDoubtful: false };
        }
        const decided = decide(from, facts, space);
        const { write } = decided;
        const addition = write === null ? null : { ...noAdditions, ...write, from };
        return { outcome: decided.outcome, addition, isDoubtful: true };
      },
      by,
    );
    if (outcome !== outdated) return outcome;
  }
  return null;
}
