/** How synchronising goes with each relay in use, and altogether. */
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { loadLastAck } from "#client/sync/last-ack.ts";
import type { RelayStatus, SyncStatus } from "./api.ts";
import { isMixedContent } from "./relay-address.ts";
import type { RelayDesk, RelayInUse } from "./relay-desk.ts";
import { isWorkingOffline } from "./work-offline.ts";
import { describeRelay, describeSync } from "./status-word.ts";

export interface StatusPorts {
  readonly store: Store;
  readonly desk: RelayDesk;
  readonly durable: boolean;
  /** The relay whose app this is; null where none is. */
  readonly servedBy: string | null;
}

export function syncStatus({ store, desk, durable, servedBy }: StatusPorts): SyncStatus {
  const depths = depthsIn(desk, store);
  const used = relaysOf(desk, store).map(({ url, session, spaces }) => ({
    url,
    session: session === null ? null : stateOf(session, isMixedContent(servedBy, url)),
    waiting: spaces.reduce((sum, { hex }) => sum + (depths.get(hex) ?? 0), 0),
    notebooks: spaces.filter(({ kind }) => kind === "notebook").length,
  }));
  const connecting = used.filter(({ session }) => session !== null);
  const own = desk.url;
  const relays = used.map(({ url, session, waiting, notebooks }): RelayStatus => ({
    relay: url,
    isOwn: url === own,
    ...describeRelay(session, waiting, durable),
    connected: session?.connected ?? false,
    waiting,
    notebooks,
    lastAckAt: loadLastAck(store, url),
  }));
  const here = {
    durable,
    full: store.isFull,
    workingOffline: isWorkingOffline(store),
  };
  const ownSession = desk.own;
  // While nobody connects, the relays are still the ones that all this waits for.
  const acks = (here.workingOffline ? used : connecting).flatMap(
    ({ url }) => loadLastAck(store, url) ?? [],
  );
  return {
    ...describeSync(connecting, here),
    ...here,
    waiting: [...depths.values()].reduce((sum, waiting) => sum + waiting, 0),
    relay: ownSession?.url ?? (here.workingOffline ? own : null),
    connected: ownSession?.connected ?? false,
    fetching: fetchingFrom(desk),
    lastAckAt: acks.length === 0 ? null : Math.max(...acks),
    relays,
  };
}

/** From all relays together. */
function fetchingFrom(desk: RelayDesk): SyncStatus["fetching"] {
  const each = desk.sessions.flatMap(({ fetching }) => fetching ?? []);
  if (each.length === 0) return null;
  return {
    done: each.reduce((sum, { done }) => sum + done, 0),
    total: each.reduce((sum, { total }) => sum + total, 0),
  };
}

/** Everything there is has been taken in from every relay, and everything here acknowledged. */
export function areUpToDate(desk: RelayDesk, store: Store): boolean {
  const used = desk.inUse();
  const concerning = new Set(relaysOf(desk, store).map(({ url }) => url));
  const isSettled = ({ url, session }: RelayInUse): boolean =>
    session?.upToDate === true || (!concerning.has(url) && session?.failing !== false);
  return used.length > 0 && used.every(isSettled) && depthsIn(desk, store).size === 0;
}

/** What waits in the spaces that people see, by their ids in hex. */
function depthsIn(desk: RelayDesk, store: Store): ReadonlyMap<string, number> {
  const left = leftIn(store);
  // What was written where this person may write no more stays here, and waits for nothing.
  const closed = new Set(
    desk.inUse().flatMap(({ spaces }) => spaces.flatMap((s) => (s.mayWrite ? [] : [s.hex]))),
  );
  return new Map(
    store.outbox
      .depths()
      .map(({ space, waiting }) => [toHex(space), waiting] as const)
      .filter(([hex]) => !left.has(hex) && !closed.has(hex)),
  );
}

/** Spaces that have a new home: what was written there went along. */
function leftIn(store: Store): ReadonlySet<string> {
  const led = store.homes.all().filter(({ state }) => state === "led");
  return new Set(led.map(({ space }) => toHex(space)));
}

/** One at which only notebooks are that were taken away, or went elsewhere, is nobody's concern any more. */
function relaysOf(desk: RelayDesk, store: Store): readonly RelayInUse[] {
  const ended = new Set(
    store.spaces.list().flatMap(({ id, state }) => (state === "ended" ? [toHex(id)] : [])),
  );
  const left = leftIn(store);
  return desk.inUse().flatMap((relay) => {
    const spaces = relay.spaces.filter(({ hex }) => !ended.has(hex) && !left.has(hex));
    const isOwn = relay.url === desk.url;
    return isOwn || spaces.length > 0 ? [{ ...relay, spaces }] : [];
  });
}

function stateOf(session: NonNullable<RelayInUse["session"]>, isMixed: boolean) {
  const { connected, failing, refusedCode, stuck, upToDate, doubts, withheld, inconsistent } =
    session;
  const lastFailure = isMixed
    ? "a browser reaches no relay without encryption from an app that was opened over https"
    : session.lastFailure;
  return {
    connected,
    failing,
    lastFailure,
    refusedCode,
    stuck,
    upToDate,
    doubts,
    withheld,
    inconsistent,
  };
}
