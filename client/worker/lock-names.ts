/** The Web Locks by which the tabs of one browser agree; the browser releases them when their holder dies. */

/** Held by the one worker that has the store open. */
export const LEADER_LOCK = "sealeaf-leader";

const TAB_PREFIX = "sealeaf-tab-";

/** Held by a tab as long as it lives: whoever is granted it knows that the tab has gone. */
export function tabLock(session: string): string {
  return TAB_PREFIX + session;
}

/** The sessions of the tabs that live, as far as the browser has noticed. */
export async function sessionsOfTabs(locks: LockManager): Promise<readonly string[]> {
  const { held = [] } = await locks.query();
  return held.flatMap(({ name = "" }) =>
    name.startsWith(TAB_PREFIX) ? [name.slice(TAB_PREFIX.length)] : [],
  );
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

/** Whether any worker leads at the moment. */
export async function isAnyoneLeading(locks: LockManager): Promise<boolean> {
  const { held = [] } = await locks.query();
  return held.some(({ name }) => name === LEADER_LOCK);
}

/** Whether a worker stands in line to become leader. */
export async function isAnyoneWaitingToLead(locks: LockManager): Promise<boolean> {
  const { pending = [] } = await locks.query();
  return pending.some(({ name }) => name === LEADER_LOCK);
}
