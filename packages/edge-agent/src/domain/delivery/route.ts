/**
 * By which way bytes of the hub come: its own HTTPS port, or the MQTT link where only that passes. A table: every state knows
 * every event (the compiler checks it).
 */

export type RoutePhase =
  /** HTTPS. */
  | "direct"
  /** HTTPS failed again and again: the link, until the next probe. */
  | "fallback"
  /** The next read tries HTTPS. */
  | "probing";

export interface RouteState {
  readonly phase: RoutePhase;
  /** Failures of HTTPS in a row; after a fall-back, probes in a row that failed. */
  readonly failures: number;
  /** Boot clock; when HTTPS is tried again. */
  readonly probeAtMs: number;
}

export type RouteEvent =
  | { readonly kind: "direct-worked" }
  | { readonly kind: "direct-failed"; readonly nowMs: number }
  /** The link does not bring it either. */
  | { readonly kind: "link-failed" }
  /** Time has passed. */
  | { readonly kind: "asked"; readonly nowMs: number };

/** So many failures of HTTPS in a row lead to the link. */
export const FAILURES_BEFORE_FALLBACK = 3;
/** HTTPS is tried again after this, then after twice as long, and so on. */
export const PROBE_BASE_MS = 60_000;
/** Longest time between two probes. */
export const PROBE_MAX_MS = 3_600_000;

export const INITIAL_ROUTE: RouteState = { phase: "direct", failures: 0, probeAtMs: 0 };

type Handlers = {
  readonly [K in RouteEvent["kind"]]: (
    state: RouteState,
    event: Extract<RouteEvent, { readonly kind: K }>,
  ) => RouteState;
};

const stay = (state: RouteState): RouteState => state;

function fallBack(failures: number, nowMs: number): RouteState {
  const waitMs = Math.min(PROBE_MAX_MS, PROBE_BASE_MS * 2 ** Math.min(failures, 16));
  return { phase: "fallback", failures, probeAtMs: nowMs + waitMs };
}

const TABLE: Readonly<Record<RoutePhase, Handlers>> = {
  direct: {
    "direct-worked": () => INITIAL_ROUTE,
    "direct-failed": (state, { nowMs }) =>
      state.failures + 1 >= FAILURES_BEFORE_FALLBACK
        ? fallBack(0, nowMs)
        : { ...state, failures: state.failures + 1 },
    "link-failed": stay,
    asked: stay,
  },
  fallback: {
    // An answer that was under way when the others failed.
    "direct-worked": () => INITIAL_ROUTE,
    "direct-failed": stay,
    "link-failed": (state) => ({ ...state, phase: "probing" }),
    asked: (state, { nowMs }) =>
      nowMs >= state.probeAtMs ? { ...state, phase: "probing" } : state,
  },
  probing: {
    "direct-worked": () => INITIAL_ROUTE,
    "direct-failed": (state, { nowMs }) => fallBack(state.failures + 1, nowMs),
    "link-failed": stay,
    asked: stay,
  },
};

/** What an event makes of the route. */
export function stepRoute(state: RouteState, event: RouteEvent): RouteState {
  const handlers = TABLE[state.phase];
  switch (event.kind) {
    case "direct-worked":
      return handlers["direct-worked"](state, event);
    case "direct-failed":
      return handlers["direct-failed"](state, event);
    case "link-failed":
      return handlers["link-failed"](state, event);
    case "asked":
      return handlers.asked(state, event);
  }
}
