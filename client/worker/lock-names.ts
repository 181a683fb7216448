/** The Web Locks by which the tabs of one browser agree; the browser releases them when their holder dies. */

/** Held by the one worker that has the store open. */
export const LEADER_LOCK = "sealeaf-leader";

/** Held by a tab as long as it lives: whoever is granted it knows that the tab has gone. */
export function tabLock(session: string): string {
  return `sealeaf-tab-${session}`;
}

const VISIBLE_PREFIX = "sealeaf-visible-";

/** Held by a tab while somebody can see it. */
export function visibleLock(session: string): string {
  return VISIBLE_PREFIX + session;
}

/** Whether a tab other than `session` is in sight; with `null`, whether any is. */
export async function isAnyTabVisible(locks: LockManager, except: string | null): Promise<boolean> {
  const { held = [] } = await locks.query();
  return held.some(
    ({ name = "" }) =>
      name.startsWith(VISIBLE_PREFIX) && (except === null || name !== visibleLock(except)),
  );
}

/** Whether a worker stands in line to become leader. */
export async function isAnyoneWaitingToLead(locks: LockManager): Promise<boolean> {
  const { pending = [] } = await locks.query();
  return pending.some(({ name }) => name === LEADER_LOCK);
}
