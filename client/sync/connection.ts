/**
 * The life of one connection to a relay, as a pure machine: when to dial, when to give up on a
 * silent socket, how long to wait before trying again (docs/protocol.md, SES).
 *
 *   resting ──start──▶ dialling ──opened──▶ greeting ──welcomed──▶ open
 *      ▲                  │ closed, silence or refusal at any point   │
 *      └──stop── waiting ◀┴───────────────────────────────────────────┘
 */

export interface ConnectionState {
  readonly phase: "resting" | "waiting" | "dialling" | "greeting" | "open";
  /** Failures since the last healthy connection: the exponent of the back-off. */
  readonly failures: number;
  /** When the phase began. */
  readonly since: number;
  /** When anything was last received. */
  readonly heardAt: number;
  /** When an unanswered ping went out, null if none is. */
  readonly pingedAt: number | null;
  /** When to dial again, in `waiting`. */
  readonly retryAt: number;
  readonly visible: boolean;
  /** Last time the browser's word on the network made us hurry. */
  readonly hurriedAt: number;
}

export type ConnectionEvent =
  | { readonly type: "start" }
  | { readonly type: "stop" }
  | { readonly type: "opened" }
  | { readonly type: "welcomed" }
  | { readonly type: "heard" }
  /** The socket is gone, or the relay refused: `retryAfterMs` is its wish, 0 for none. */
  | { readonly type: "closed"; readonly retryAfterMs: number }
  | { readonly type: "tick" }
  | { readonly type: "network"; readonly online: boolean }
  | { readonly type: "visible"; readonly visible: boolean };

export type ConnectionEffect =
  | { readonly type: "dial" }
  | { readonly type: "greet" }
  | { readonly type: "ping" }
  | { readonly type: "hang-up" }
  | { readonly type: "connected" }
  | { readonly type: "disconnected" };

/** Dialling and greeting together must end within this. */
export const openWithinMs = 8_000;
/** With somebody looking, a swallowed socket is noticed within ping + patience: under 10 s. */
export const pingVisibleMs = 5_000;
export const pingHiddenMs = 25_000;
export const patienceMs = 4_000;
const healthyMs = 30_000;
const longestWaitMs = 60_000;
const firstWaitMs = 1_000;
/** How often a hint of the browser may bring the next try forward. */
const hurryEveryMs = 3_000;

export function restingConnection(now: number): ConnectionState {
  return {
    phase: "resting",
    failures: 0,
    since: now,
    heardAt: now,
    pingedAt: null,
    retryAt: now,
    visible: true,
    hurriedAt: now - hurryEveryMs,
  };
}

/**
 * @param chance 0 ≤ chance < 1, drawn by the caller: full jitter rand(0, min(60 s, 1 s · 2^n))
 */
export function stepConnection(
  state: ConnectionState,
  event: ConnectionEvent,
  now: number,
  chance: number,
): { readonly state: ConnectionState; readonly effects: readonly ConnectionEffect[] } {
  const connecting = state.phase === "dialling" || state.phase === "greeting";
  switch (event.type) {
    case "start":
      return state.phase === "resting" ? dial(state, now) : stay(state);
    case "stop": {
      const effects: ConnectionEffect[] = [];
      if (connecting || state.phase === "open") effects.push({ type: "hang-up" });
      if (state.phase === "open") effects.push({ type: "disconnected" });
      return { state: { ...state, phase: "resting", since: now }, effects };
    }
    case "opened":
      if (state.phase !== "dialling") return stay(state);
      return { state: { ...state, phase: "greeting", heardAt: now }, effects: [{ type: "greet" }] };
    case "welcomed":
      if (state.phase !== "greeting") return stay(state);
      return {
        state: { ...state, phase: "open", since: now, heardAt: now, pingedAt: null },
        effects: [{ type: "connected" }],
      };
    case "heard":
      return stay({ ...state, heardAt: now, pingedAt: null });
    case "closed":
      return connecting || state.phase === "open"
        ? lose(state, now, chance, event.retryAfterMs, [])
        : stay(state);
    case "network":
      if (event.online) return hurry(state, now);
      // The browser knows before any timeout does that a link is gone. It also says "offline" where only
      // the wide world is missing and a relay next door answers: trying goes on.
      return state.phase === "open"
        ? lose(state, now, chance, 0, [{ type: "hang-up" }])
        : stay(state);
    case "visible": {
      const next = { ...state, visible: event.visible };
      return event.visible ? hurry(next, now) : stay(next);
    }
    case "tick":
      return tick(state, now, chance);
  }
}

/** When `tick` is due next, or null. The shell keeps one timer for it. */
export function connectionDeadline(state: ConnectionState): number | null {
  switch (state.phase) {
    case "resting":
      return null;
    case "waiting":
      return state.retryAt;
    case "dialling":
    case "greeting":
      return state.since + openWithinMs;
    case "open":
      return state.pingedAt === null
        ? state.heardAt + pingInterval(state)
        : state.pingedAt + patienceMs;
  }
}

function pingInterval(state: ConnectionState): number {
  return state.visible ? pingVisibleMs : pingHiddenMs;
}

type Step = ReturnType<typeof stepConnection>;

function tick(state: ConnectionState, now: number, chance: number): Step {
  const deadline = connectionDeadline(state);
  if (deadline === null || now < deadline) return stay(state);
  switch (state.phase) {
    case "resting":
      return stay(state);
    case "waiting":
      return dial(state, now);
    case "dialling":
    case "greeting":
      return lose(state, now, chance, 0, [{ type: "hang-up" }]);
    case "open":
      if (state.pingedAt !== null) return lose(state, now, chance, 0, [{ type: "hang-up" }]);
      return { state: { ...state, pingedAt: now }, effects: [{ type: "ping" }] };
  }
}

/** A hint that the network is back: dial at once, or make sure the open socket still lives. */
function hurry(state: ConnectionState, now: number): Step {
  if (now - state.hurriedAt < hurryEveryMs) return stay(state);
  const hurried = { ...state, hurriedAt: now };
  if (state.phase === "waiting") return dial(hurried, now);
  if (state.phase === "open" && state.pingedAt === null) {
    return { state: { ...hurried, pingedAt: now }, effects: [{ type: "ping" }] };
  }
  return stay(state);
}

function dial(state: ConnectionState, now: number): Step {
  return { state: { ...state, phase: "dialling", since: now }, effects: [{ type: "dial" }] };
}

function lose(
  state: ConnectionState,
  now: number,
  chance: number,
  retryAfterMs: number,
  effects: readonly ConnectionEffect[],
): Step {
  const healthy = state.phase === "open" && now - state.since >= healthyMs;
  const failures = healthy ? 0 : state.failures + 1;
  const ceiling = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(failures, 10));
  const wait = Math.max(retryAfterMs, Math.floor(chance * ceiling));
  const lost: ConnectionEffect[] = state.phase === "open" ? [{ type: "disconnected" }] : [];
  return {
    state: {
      ...state,
      phase: "waiting",
      since: now,
      failures,
      retryAt: now + wait,
      pingedAt: null,
    },
    effects: [...effects, ...lost],
  };
}

function stay(state: ConnectionState): Step {
  return { state, effects: [] };
}
