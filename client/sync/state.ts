/**
 * What a device does next about one space, as a pure machine. Each connection walks
 *
 *   publish own control records ─▶ certify this device ─▶ subscribe ─▶ live: receive and push
 *
 * and leaves the path only for the control log (keys changed, an author unknown) or to put back
 * what the relay has lost. It decides; session.ts performs.
 */
import { refusalClass, refusals } from "#relay/protocol/errors.ts";

export type SpacePhase =
  | "offline"
  /** Own control records are on their way; nothing else is possible before. */
  | "publishing"
  | "certifying"
  | "subscribing"
  /** The control log is being fetched. */
  | "fetching"
  | "live"
  /** Nothing more can be done now; it is tried again after a while, and by the next connection. */
  | "stuck"
  /** The space is deleted. It is looked at again, since an administrator may bring it back. */
  | "closed"
  /** Access was taken away. What was received stays. */
  | "ended";

export interface SpaceState {
  readonly phase: SpacePhase;
  /** Everything up to the relay's head has been taken in. */
  readonly caughtUp: boolean;
  readonly pushing: boolean;
  /** This socket carries the space's log: nothing need be subscribed again. */
  readonly subscribed: boolean;
  /** Received entries wait for the control log. */
  readonly holding: boolean;
  /** Steps back since everything was last taken in: bounds a relay that sends us in circles. */
  readonly detours: number;
}

/** What the store holds for the space, read when the event happens. */
export interface SpaceWork {
  readonly controlQueued: boolean;
  readonly certificateQueued: boolean;
  /** Among the certificates are some that the relay takes only before a control record that waits, too. */
  readonly certificatesFirst: boolean;
  readonly changesWaiting: boolean;
  /** Whether this device may write at all. */
  readonly mayWrite: boolean;
  /** Whether this device holds the control log, so that it can give it to a relay that lacks it. */
  readonly logHeld: boolean;
  /** The relay has lost some of the space: what waits for it was in its log before. */
  readonly givingBack: boolean;
  /** Nothing of the relay's log was ever read here. */
  readonly firstContact: boolean;
  /** In this connection the relay has told the control log from its first record on, and where each stands. */
  readonly placesTold: boolean;
}

export type SpaceEvent =
  | { readonly type: "connected" }
  | { readonly type: "disconnected" }
  | { readonly type: "control-queued" }
  /** `told`: with what stands at the relay in the place of ours. */
  | { readonly type: "control-acked"; readonly status: number; readonly told: boolean }
  | { readonly type: "certificate-acked"; readonly status: number }
  | { readonly type: "subscribed"; readonly status: number }
  | { readonly type: "control-received"; readonly found: boolean; readonly keyed: boolean }
  /** The relay would not give the control log now, or what it gave does not let this device go on. */
  | { readonly type: "control-refused" }
  /** The space is deleted. */
  | { readonly type: "control-closed" }
  /** An entry names an epoch that the relay, asked again, has no record of. */
  | { readonly type: "epoch-withheld" }
  | { readonly type: "caught-up" }
  | { readonly type: "rekeyed" }
  /** An entry names a device or an epoch that this device has not heard of. */
  | { readonly type: "author-unknown" }
  /** A position is missing or the chain does not fit. */
  | { readonly type: "log-broken" }
  /** This device has lost what it had read: the cursor was set back. */
  | { readonly type: "cursor-moved" }
  | { readonly type: "changes-waiting" }
  /** A while has passed since the space was stuck. */
  | { readonly type: "retry" }
  | { readonly type: "push-acked"; readonly staleEpoch: boolean; readonly refused: boolean };

export type SpaceEffect =
  | { readonly type: "push-control" }
  | { readonly type: "drop-control"; readonly status: number }
  | { readonly type: "put-certificate" }
  /** `whole`: from the first record on. */
  | { readonly type: "get-control"; readonly whole?: true }
  | { readonly type: "subscribe" }
  /** The relay's log is not the one we knew: look for the place up to which both are the same. */
  | { readonly type: "step-back" }
  /** What comes does not fit: it is asked for again from where everything did. */
  | { readonly type: "hear-no-more" }
  /** The head that the relay showed is where reading begins; what lies below it is told by its list. */
  | { readonly type: "adopt-head" }
  /** The relay does not know this space: give it everything this device holds of it. */
  | { readonly type: "put-back" }
  | { readonly type: "resume-intake" }
  | { readonly type: "push" }
  | { readonly type: "report-ended" };

export const offlineSpace: SpaceState = {
  phase: "offline",
  caughtUp: false,
  pushing: false,
  subscribed: false,
  holding: false,
  detours: 0,
};

const mostDetours = 4;

/** The relay is being asked for something without which the log cannot be read. */
export function isOnTheWay({ phase }: SpaceState): boolean {
  return (
    phase === "publishing" ||
    phase === "certifying" ||
    phase === "subscribing" ||
    phase === "fetching"
  );
}

type Step = { readonly state: SpaceState; readonly effects: readonly SpaceEffect[] };

export function stepSpace(state: SpaceState, event: SpaceEvent, work: SpaceWork): Step {
  switch (event.type) {
    case "connected":
      if (state.phase === "ended") return stay(state);
      return advance({ ...offlineSpace }, work);
    case "disconnected":
      return stay(state.phase === "ended" ? state : offlineSpace);
    case "control-queued":
      // While on the way, the path passes the queue by itself.
      return state.phase === "live" || state.phase === "closed"
        ? { state: { ...state, phase: "publishing" }, effects: [{ type: "push-control" }] }
        : stay(state);
    case "control-acked":
      if (state.phase !== "publishing") return stay(state);
      if (event.status === 0) return advance(state, work);
      if (event.status === refusals.CTRL_CONFLICT.code) {
        // Where nothing of ours is left to say, the log says whether there still is access. A relay that has nothing in the
        // place of ours lacks some that came before.
        return work.controlQueued && event.told
          ? detour(state, [{ type: "push-control" }], "publishing")
          : detour(state, [{ type: "get-control" }], "fetching");
      }
      // Records that others have built upon are not taken back, whatever a relay says.
      if (passes(event.status) || work.givingBack) return stay({ ...state, phase: "stuck" });
      return detour(
        state,
        [{ type: "drop-control", status: event.status }, { type: "get-control" }],
        "fetching",
      );
    case "certificate-acked":
      if (state.phase !== "certifying") return stay(state);
      if (event.status === 0) {
        return advance(state, { ...work, certificateQueued: false, certificatesFirst: false });
      }
      if (passes(event.status)) return stay({ ...state, phase: "stuck" });
      return detour(state, [{ type: "get-control" }], "fetching");
    case "subscribed":
      return subscribed(state, event.status, work);
    case "control-received":
      return controlReceived(state, event, work);
    case "control-refused":
      if (state.holding) return stay({ ...state, holding: false, phase: "stuck" });
      return stay(state.phase === "fetching" ? { ...state, phase: "stuck" } : state);
    case "control-closed":
      if (state.phase !== "fetching" && !state.holding) return stay(state);
      return stay({ ...offlineSpace, phase: "closed" });
    case "epoch-withheld":
      return state.subscribed ? stay({ ...offlineSpace, phase: "stuck" }) : stay(state);
    case "caught-up":
      return state.subscribed ? stay({ ...state, caughtUp: true, detours: 0 }) : stay(state);
    case "rekeyed":
      return state.subscribed
        ? detour({ ...state, subscribed: false }, [{ type: "get-control" }], "fetching")
        : stay(state);
    case "author-unknown":
      // Not counted as a detour: each entry is asked about once, and every new device is unknown at first.
      if (state.holding || !state.subscribed) return stay(state);
      return { state: { ...state, holding: true }, effects: [{ type: "get-control" }] };
    case "log-broken":
      if (!state.subscribed) return stay(state);
      return detour(
        { ...state, subscribed: false },
        [{ type: "hear-no-more" }, { type: "subscribe" }],
        "subscribing",
      );
    case "cursor-moved":
      if (!state.subscribed) return stay(state);
      return detour({ ...state, subscribed: false }, [{ type: "subscribe" }], "subscribing");
    case "changes-waiting":
      return pushIfPossible(state, work);
    case "retry":
      return state.phase === "stuck" || state.phase === "closed"
        ? advance({ ...state, detours: 0 }, work)
        : stay(state);
    case "push-acked": {
      if (!state.pushing) return stay(state);
      const settled = { ...state, pushing: false };
      if (event.staleEpoch) return detour(settled, [{ type: "get-control" }], "fetching");
      // What was refused for good waits for its person, what was refused for now for the next connection.
      return event.refused ? stay(settled) : pushIfPossible(settled, work);
    }
  }
}

/** What is refused for now, or until this person has access to the relay: nothing is taken back for it. */
function passes(status: number): boolean {
  return refusalClass(status) === "retry" || status === refusals.AUTH_REQUIRED.code;
}

function subscribed(state: SpaceState, status: number, work: SpaceWork): Step {
  if (state.phase !== "subscribing") return stay(state);
  if (status === 0) {
    // Records queued while the answer was on its way go first.
    return advance({ ...state, subscribed: true, caughtUp: false }, work);
  }
  const isFirst = status === refusals.CURSOR_AHEAD.code && work.firstContact;
  if (isFirst || status === refusals.BELOW_BASE.code) {
    // What is passed over is not heard of: where records stand in it may have been told of a log that is lost since.
    if (!work.placesTold) {
      return detour(state, [{ type: "get-control", whole: true }], "fetching");
    }
    return detour(state, [{ type: "adopt-head" }, { type: "subscribe" }], "subscribing");
  }
  if (status === refusals.CURSOR_AHEAD.code || status === refusals.CHAIN_MISMATCH.code) {
    // Entries are judged by where records stand, which for those still to be read was told of a log that is lost.
    return detour(state, [{ type: "step-back" }, { type: "get-control", whole: true }], "fetching");
  }
  if (status === refusals.NO_SPACE.code || status === refusals.SPACE_DELETED.code) {
    return detour(state, [{ type: "get-control" }], "fetching");
  }
  return stay({ ...state, phase: "stuck" });
}

function controlReceived(
  state: SpaceState,
  event: { readonly found: boolean; readonly keyed: boolean },
  work: SpaceWork,
): Step {
  if (state.phase !== "fetching" && !state.holding) return stay(state);
  const going = { ...state, holding: false };
  if (!event.found) {
    // Another device of this person founded it and has not reached the relay yet.
    if (!work.logHeld) return stay({ ...going, phase: "stuck" });
    return detour(going, [{ type: "put-back" }, { type: "push-control" }], "publishing");
  }
  if (!event.keyed) {
    return { state: { ...offlineSpace, phase: "ended" }, effects: [{ type: "report-ended" }] };
  }
  // Elsewhere on the path another answer is awaited, which takes the next step.
  const step = state.phase === "fetching" ? advance(going, work) : pushIfPossible(going, work);
  return state.holding
    ? { state: step.state, effects: [...step.effects, { type: "resume-intake" }] }
    : step;
}

/** The next step of the path that is not done yet. */
function advance(state: SpaceState, work: SpaceWork): Step {
  if (work.controlQueued && !work.certificatesFirst) {
    return { state: { ...state, phase: "publishing" }, effects: [{ type: "push-control" }] };
  }
  if (work.certificateQueued) {
    return { state: { ...state, phase: "certifying" }, effects: [{ type: "put-certificate" }] };
  }
  if (state.subscribed) return pushIfPossible({ ...state, phase: "live" }, work);
  return {
    state: { ...state, phase: "subscribing", caughtUp: false, pushing: false },
    effects: [{ type: "subscribe" }],
  };
}

function pushIfPossible(state: SpaceState, work: SpaceWork): Step {
  const isBusy = state.phase !== "live" || state.pushing || state.holding;
  // While the log is asked who has access now, nothing leaves under a key that may be over.
  if (isBusy || !work.changesWaiting || !work.mayWrite) return stay(state);
  return { state: { ...state, pushing: true }, effects: [{ type: "push" }] };
}

function detour(state: SpaceState, effects: readonly SpaceEffect[], phase: SpacePhase): Step {
  if (state.detours >= mostDetours) return stay({ ...state, phase: "stuck" });
  return { state: { ...state, phase, holding: false, detours: state.detours + 1 }, effects };
}

function stay(state: SpaceState): Step {
  return { state, effects: [] };
}
