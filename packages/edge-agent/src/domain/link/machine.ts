/**
 * The life of the link to the hub as a table: every state knows every event (the compiler checks it). SPEC.md beside this
 * file has the numbered invariants. What is to be done comes out as effects; app/link does them.
 */

export type LinkPhase =
  | "idle"
  | "connecting"
  /** A session is open and its birth is not acknowledged yet. */
  | "announcing"
  | "online"
  | "backing-off"
  | "stopped";

/** How a session, or the try to open one, came to its end. */
export type EndKind = "closed" | "refused" | "unreachable" | "unauthorized";

export interface LinkState {
  readonly phase: LinkPhase;
  /** Ends in a row without a session that lasted; the exponent of the back-off. */
  readonly attempt: number;
  /** Refusals in a row. */
  readonly refusals: number;
  /** The next end is followed by a new session at once: the credentials have changed. */
  readonly hurry: boolean;
}

export type LinkEvent =
  | { readonly kind: "start" }
  | { readonly kind: "opened" }
  | { readonly kind: "failed"; readonly end: EndKind }
  /** The hub has acknowledged the birth. */
  | { readonly kind: "announced" }
  /** The hub asks for a birth. */
  | { readonly kind: "rebirth" }
  | { readonly kind: "ended"; readonly end: EndKind; readonly lastedMs: number }
  /** The back-off is over. */
  | { readonly kind: "retry" }
  /** There are new credentials. */
  | { readonly kind: "reconnect" }
  | { readonly kind: "stop" };

export type LinkEffect =
  | { readonly kind: "open" }
  /** Send a birth. */
  | { readonly kind: "announce" }
  /** Ask for the desired state. */
  | { readonly kind: "pull" }
  | { readonly kind: "back-off"; readonly attempt: number }
  /** The certificate is not accepted: ask for a new one. */
  | { readonly kind: "renew" }
  | { readonly kind: "close" };

export interface LinkStep {
  readonly state: LinkState;
  readonly effects: readonly LinkEffect[];
}

/** A session that lasted this long ends the row of failures. */
export const STABLE_SESSION_MS = 60_000;
/**
 * So many refusals in a row are taken for a certificate that is not accepted: a TLS server that dislikes it may close the
 * connection without a word.
 */
export const REFUSALS_BEFORE_RENEWAL = 3;
/** Beyond this the exponent changes nothing; it stays a small number. */
export const ATTEMPT_MAX = 32;

export const INITIAL_LINK_STATE: LinkState = {
  phase: "idle",
  attempt: 0,
  refusals: 0,
  hurry: false,
};

type Handlers = {
  readonly [K in LinkEvent["kind"]]: (
    state: LinkState,
    event: Extract<LinkEvent, { readonly kind: K }>,
  ) => LinkStep;
};

const stay = (state: LinkState): LinkStep => ({ state, effects: [] });

const connect = (state: LinkState): LinkStep => ({
  state: { ...state, phase: "connecting", hurry: false },
  effects: [{ kind: "open" }],
});

const stop = (state: LinkState): LinkStep => ({
  state: { ...state, phase: "stopped" },
  effects: [],
});

const stopSession = (state: LinkState): LinkStep => ({
  state: { ...state, phase: "stopped" },
  effects: [{ kind: "close" }],
});

const announce = (state: LinkState): LinkStep => ({
  state: { ...state, phase: "announcing" },
  effects: [{ kind: "announce" }],
});

/** The session in being gives way to one with the new credentials. */
const hurry = (state: LinkState): LinkStep => ({
  state: { ...state, hurry: true },
  effects: [{ kind: "close" }],
});

function backOff(state: LinkState, end: EndKind, lastedMs: number): LinkStep {
  if (state.hurry) return connect({ ...state, attempt: 0, refusals: 0 });
  const refusals = end === "refused" ? state.refusals + 1 : 0;
  const renew = end === "unauthorized" || refusals >= REFUSALS_BEFORE_RENEWAL;
  const attempt = lastedMs >= STABLE_SESSION_MS ? 0 : state.attempt;
  return {
    state: {
      phase: "backing-off",
      attempt: Math.min(attempt + 1, ATTEMPT_MAX),
      refusals: renew ? 0 : refusals,
      hurry: false,
    },
    effects: [...(renew ? [{ kind: "renew" } as const] : []), { kind: "back-off", attempt }],
  };
}

const inSession: Handlers = {
  start: stay,
  opened: stay,
  failed: stay,
  announced: stay,
  rebirth: announce,
  ended: (state, event) => backOff(state, event.end, event.lastedMs),
  retry: stay,
  reconnect: hurry,
  stop: stopSession,
};

const TABLE: Readonly<Record<LinkPhase, Handlers>> = {
  idle: {
    start: connect,
    opened: stay,
    failed: stay,
    announced: stay,
    rebirth: stay,
    ended: stay,
    retry: stay,
    reconnect: stay,
    stop,
  },
  connecting: {
    start: stay,
    // Opened with credentials that were replaced meanwhile: closed again, and its end opens the next.
    opened: (state) => (state.hurry ? hurry({ ...state, phase: "announcing" }) : announce(state)),
    failed: (state, event) => backOff(state, event.end, 0),
    announced: stay,
    rebirth: stay,
    ended: stay,
    retry: stay,
    // The try under way has the old credentials; its end, good or bad, is followed by another.
    reconnect: (state) => stay({ ...state, hurry: true }),
    stop,
  },
  announcing: {
    ...inSession,
    announced: (state) => ({ state: { ...state, phase: "online" }, effects: [{ kind: "pull" }] }),
  },
  online: inSession,
  "backing-off": {
    start: stay,
    opened: stay,
    failed: stay,
    announced: stay,
    rebirth: stay,
    ended: stay,
    retry: connect,
    reconnect: (state) => connect({ ...state, attempt: 0, refusals: 0 }),
    stop,
  },
  stopped: {
    start: stay,
    // It was being opened when the stop came.
    opened: (state) => ({ state, effects: [{ kind: "close" }] }),
    failed: stay,
    announced: stay,
    rebirth: stay,
    ended: stay,
    retry: stay,
    reconnect: stay,
    stop: stay,
  },
};

/** What an event makes of the link. */
export function stepLink(state: LinkState, event: LinkEvent): LinkStep {
  const handlers = TABLE[state.phase];
  switch (event.kind) {
    case "start":
      return handlers.start(state, event);
    case "opened":
      return handlers.opened(state, event);
    case "failed":
      return handlers.failed(state, event);
    case "announced":
      return handlers.announced(state, event);
    case "rebirth":
      return handlers.rebirth(state, event);
    case "ended":
      return handlers.ended(state, event);
    case "retry":
      return handlers.retry(state, event);
    case "reconnect":
      return handlers.reconnect(state, event);
    case "stop":
      return handlers.stop(state, event);
  }
}
