/**
 * The life of a plan of moves while it is carried out: every phase knows every event (the compiler checks it). SPEC.md beside this
 * file has the table and the numbered invariants. An execution is plain data, to be stored before its effects are done.
 */

export type ExecutionPhase = "planned" | "moving" | "freed" | "done" | "undoing" | "undone";

/** A room by name: a node, and the ids of its devices. */
export interface NamedRoom {
  readonly node: string;
  readonly devices: readonly string[];
}

/**
 * How far one move is. `sent`: to its new room, not seen there yet. `returning`: on its way back. `left`: the plan ended
 * without it, wherever it was. `gone`: the instance is no more, so its room is free.
 */
export type MoveState = "waiting" | "sent" | "arrived" | "returning" | "returned" | "left" | "gone";

/** One instance's move. */
export interface MoveStep {
  readonly id: string;
  readonly from: NamedRoom;
  readonly to: NamedRoom;
  readonly state: MoveState;
}

/** Why a plan was given up. */
export type BreakReason =
  | "move-failed"
  | "node-lost"
  | "timeout"
  | "request-gone"
  | "request-placed-elsewhere";

export interface Execution {
  /** The blocked request; a gang's name where it has several rooms. */
  readonly request: string;
  readonly rooms: readonly NamedRoom[];
  readonly phase: ExecutionPhase;
  /** In the order of the plan. */
  readonly moves: readonly MoveStep[];
  /** Whether a broken plan also brings back those that arrived. Default: they stay, a second interruption gains nothing. */
  readonly returnsArrived: boolean;
  readonly brokenBy?: BreakReason;
}

export type ExecutionEvent =
  | { readonly kind: "start" }
  /** The instance runs in the room that it was sent to last. */
  | { readonly kind: "moved"; readonly id: string }
  /** It does not, and will not. */
  | { readonly kind: "move-failed"; readonly id: string }
  /** It was deleted, or has ended. */
  | { readonly kind: "instance-gone"; readonly id: string }
  | { readonly kind: "node-lost"; readonly node: string }
  /** The request has its rooms. */
  | { readonly kind: "request-placed" }
  | { readonly kind: "request-placed-elsewhere" }
  | { readonly kind: "request-gone" }
  /** The phase took too long (PLAN_PHASE_MS_MAX). */
  | { readonly kind: "timeout" };

/** Changes of the desired state, in this order. All can be done again without harm. */
export type ExecutionEffect =
  /** Nobody but the request is placed in what gets free of these rooms, and nobody but the instance in a room that it moves between. */
  | { readonly kind: "hold"; readonly request: string; readonly rooms: readonly NamedRoom[] }
  | { readonly kind: "move"; readonly id: string; readonly room: NamedRoom }
  | { readonly kind: "place"; readonly request: string; readonly rooms: readonly NamedRoom[] }
  | { readonly kind: "give-back"; readonly request: string };

export interface ExecutionStep {
  readonly execution: Execution;
  readonly effects: readonly ExecutionEffect[];
}

/** Longest time in one phase, per move under way, before `timeout` is said to the execution. */
export const PLAN_PHASE_MS_MAX = 300_000;

type Handlers = {
  readonly [K in ExecutionEvent["kind"]]: (
    execution: Execution,
    event: Extract<ExecutionEvent, { readonly kind: K }>,
  ) => ExecutionStep;
};

const stay = (execution: Execution): ExecutionStep => ({ execution, effects: [] });

const TABLE: Readonly<Record<ExecutionPhase, Handlers>> = {
  planned: {
    start: (execution) => {
      const step = next({ ...execution, phase: "moving" });
      return { ...step, effects: [holdOf(execution), ...step.effects] };
    },
    moved: stay,
    "move-failed": stay,
    "instance-gone": (execution, { id }) => stay(marked(execution, id, "gone")),
    "node-lost": (execution, { node }) =>
      needsNode(execution, node) ? dropped(execution, "node-lost") : stay(execution),
    "request-placed": (execution) => dropped(execution, "request-placed-elsewhere"),
    "request-placed-elsewhere": (execution) => dropped(execution, "request-placed-elsewhere"),
    "request-gone": (execution) => dropped(execution, "request-gone"),
    timeout: (execution) => dropped(execution, "timeout"),
  },
  moving: {
    start: stay,
    moved: (execution, { id }) =>
      isIn(execution, id, "sent") ? next(marked(execution, id, "arrived")) : stay(execution),
    "move-failed": (execution, { id }) =>
      isIn(execution, id, "sent") ? undo(execution, "move-failed") : stay(execution),
    "instance-gone": (execution, { id }) => {
      const was = isIn(execution, id, "sent");
      const after = marked(execution, id, "gone");
      return was ? next(after) : stay(after);
    },
    "node-lost": (execution, { node }) =>
      needsNode(execution, node) ? undo(execution, "node-lost", node) : stay(execution),
    "request-placed": end,
    "request-placed-elsewhere": (execution) => giveUp(execution, "request-placed-elsewhere"),
    "request-gone": (execution) => giveUp(execution, "request-gone"),
    timeout: (execution) => undo(execution, "timeout"),
  },
  freed: {
    start: stay,
    moved: stay,
    // It had arrived: what befalls it now is no business of the plan.
    "move-failed": stay,
    "instance-gone": (execution, { id }) => stay(marked(execution, id, "gone")),
    "node-lost": (execution, { node }) =>
      needsNode(execution, node) ? undo(execution, "node-lost", node) : stay(execution),
    "request-placed": end,
    "request-placed-elsewhere": (execution) => giveUp(execution, "request-placed-elsewhere"),
    "request-gone": (execution) => giveUp(execution, "request-gone"),
    timeout: (execution) => undo(execution, "timeout"),
  },
  undoing: {
    start: stay,
    moved: (execution, { id }) =>
      isIn(execution, id, "returning") ? back(marked(execution, id, "returned")) : stay(execution),
    "move-failed": (execution, { id }) =>
      isIn(execution, id, "returning") ? back(marked(execution, id, "left")) : stay(execution),
    "instance-gone": (execution, { id }) => {
      const was = isIn(execution, id, "returning");
      const after = marked(execution, id, "gone");
      return was ? back(after) : stay(after);
    },
    "node-lost": (execution, { node }) => {
      const after = withoutWayBack(execution, node);
      return underWay(after) === undefined ? back(after) : stay(after);
    },
    "request-placed": stay,
    "request-placed-elsewhere": stay,
    "request-gone": stay,
    timeout: (execution) => giveUp(execution, execution.brokenBy ?? "timeout"),
  },
  done: ended(),
  undone: ended(),
};

/** What follows from an event, and what is to be done. */
export function stepExecution(execution: Execution, event: ExecutionEvent): ExecutionStep {
  return dispatch(TABLE[execution.phase], execution, event);
}

function dispatch(handlers: Handlers, execution: Execution, event: ExecutionEvent): ExecutionStep {
  switch (event.kind) {
    case "start":
      return handlers.start(execution, event);
    case "moved":
      return handlers.moved(execution, event);
    case "move-failed":
      return handlers["move-failed"](execution, event);
    case "instance-gone":
      return handlers["instance-gone"](execution, event);
    case "node-lost":
      return handlers["node-lost"](execution, event);
    case "request-placed":
      return handlers["request-placed"](execution, event);
    case "request-placed-elsewhere":
      return handlers["request-placed-elsewhere"](execution, event);
    case "request-gone":
      return handlers["request-gone"](execution, event);
    case "timeout":
      return handlers.timeout(execution, event);
  }
}

/** The instance that is being moved or brought back; one at most. */
export function underWay({ moves }: Execution): MoveStep | undefined {
  return moves.find(({ state }) => state === "sent" || state === "returning");
}

function ended(): Handlers {
  return {
    start: stay,
    moved: stay,
    "move-failed": stay,
    "instance-gone": stay,
    "node-lost": stay,
    "request-placed": stay,
    "request-placed-elsewhere": stay,
    "request-gone": stay,
    timeout: stay,
  };
}

/** Sends the next instance, or places the request when all have gone. */
function next(execution: Execution): ExecutionStep {
  const waiting = execution.moves.find(({ state }) => state === "waiting");
  if (waiting !== undefined)
    return {
      execution: marked(execution, waiting.id, "sent"),
      effects: [moveTo(waiting, waiting.to)],
    };
  const { request, rooms } = execution;
  return {
    execution: { ...execution, phase: "freed" },
    effects: [{ kind: "place", request, rooms }],
  };
}

/** Brings the next instance back, the newest first, or ends. */
function back(execution: Execution): ExecutionStep {
  const { returnsArrived } = execution;
  const step = execution.moves.findLast(
    ({ state }) => state === "sent" || (returnsArrived && state === "arrived"),
  );
  if (step === undefined) return giveUp(execution, execution.brokenBy ?? "timeout");
  return {
    execution: marked(execution, step.id, "returning"),
    effects: [moveTo(step, step.from)],
  };
}

function undo(execution: Execution, brokenBy: BreakReason, lostNode?: string): ExecutionStep {
  const broken: Execution = { ...execution, phase: "undoing", brokenBy };
  return back(lostNode === undefined ? broken : withoutWayBack(broken, lostNode));
}

/** Ends a plan of which something was done. Who is under way stays assigned where it was sent. */
function giveUp(execution: Execution, brokenBy: BreakReason): ExecutionStep {
  return settle({ ...execution, phase: "undone", brokenBy });
}

function end(execution: Execution): ExecutionStep {
  return settle({ ...execution, phase: "done" });
}

function settle(execution: Execution): ExecutionStep {
  const moves = execution.moves.map((step) =>
    step.state === "arrived" || step.state === "returned" || step.state === "gone"
      ? step
      : { ...step, state: "left" as const },
  );
  return {
    execution: { ...execution, moves },
    effects: [{ kind: "give-back", request: execution.request }],
  };
}

/** Ends a plan of which nothing was done. */
function dropped(execution: Execution, brokenBy: BreakReason): ExecutionStep {
  return stay({ ...execution, phase: "undone", brokenBy });
}

/** Nobody goes back to a node that is lost. */
function withoutWayBack(execution: Execution, node: string): Execution {
  const moves = execution.moves.map((step) =>
    step.from.node === node && step.state !== "gone" && step.state !== "returned"
      ? { ...step, state: "left" as const }
      : step,
  );
  return { ...execution, moves };
}

/** Whether the rest of the plan cannot be done without this node. */
function needsNode({ rooms, moves }: Execution, node: string): boolean {
  return (
    rooms.some((room) => room.node === node) ||
    moves.some(({ state, to }) => (state === "waiting" || state === "sent") && to.node === node)
  );
}

function marked(execution: Execution, id: string, state: MoveState): Execution {
  const moves = execution.moves.map((step) => (step.id === id ? { ...step, state } : step));
  return { ...execution, moves };
}

function isIn({ moves }: Execution, id: string, state: MoveState): boolean {
  return moves.some((step) => step.id === id && step.state === state);
}

function moveTo({ id }: MoveStep, room: NamedRoom): ExecutionEffect {
  return { kind: "move", id, room };
}

function holdOf({ request, rooms }: Execution): ExecutionEffect {
  return { kind: "hold", request, rooms };
}
