import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import {
  type Execution,
  type ExecutionEvent,
  PLAN_PHASE_MS_MAX,
  underWay,
} from "@flotilla/shared/scheduling/defragment/execution";
import { isFinished, reportOf } from "../application/instance-state.ts";
import { executionOfPlan, idOfMove, restingMs } from "./move-plan.ts";

type MovePlan = ObjectOf<"MovePlan">;
type Assignment = ObjectOf<"Assignment">;

/** What a plan under way is judged by. */
export interface Sight {
  /** By `namespace/name`. */
  readonly assignmentOf: (id: string) => Assignment | undefined;
  /** Whether the node is there and takes instances. */
  readonly isUsable: (node: string) => boolean;
  readonly nowMs: number;
}

/** What has happened to a plan, from what is seen now; the same sight tells the same again. What decides most comes first. */
export function eventsOf(plan: MovePlan, sight: Sight): readonly ExecutionEvent[] {
  const execution = executionOfPlan(plan);
  if (execution.phase === "planned") return [{ kind: "start" }];
  const late = restingMs(plan, sight.nowMs) > PLAN_PHASE_MS_MAX;
  return [
    ...requestEvents(plan, sight),
    ...nodeEvents(execution, sight),
    ...moveEvents(plan, execution, sight),
    ...(late ? [{ kind: "timeout" } as const] : []),
  ];
}

function requestEvents({ metadata, spec }: MovePlan, sight: Sight): readonly ExecutionEvent[] {
  const assigned = spec.rooms.map((room) => ({
    room,
    assignment: sight.assignmentOf(`${metadata.namespace ?? ""}/${room.assignment}`),
  }));
  const isGone = assigned.some(
    ({ room, assignment }) =>
      assignment === undefined || !jsonEqual(assignment.spec.requests, room.requests),
  );
  if (isGone) return [{ kind: "request-gone" }];
  if (assigned.some(({ assignment }) => assignment?.spec.node === undefined)) return [];
  const isThere = assigned.every(({ room, assignment }) => assignment?.spec.node === room.node);
  return [{ kind: isThere ? "request-placed" : "request-placed-elsewhere" }];
}

function nodeEvents({ rooms, moves }: Execution, sight: Sight): readonly ExecutionEvent[] {
  const nodes = new Set(
    [...rooms, ...moves.flatMap(({ from, to }) => [from, to])].map((r) => r.node),
  );
  return [...nodes]
    .filter((node) => !sight.isUsable(node))
    .map((node) => ({ kind: "node-lost", node }));
}

function moveEvents(
  { spec, status }: MovePlan,
  execution: Execution,
  sight: Sight,
): readonly ExecutionEvent[] {
  const current = underWay(execution)?.id;
  return spec.moves.flatMap((move, i): ExecutionEvent[] => {
    const id = idOfMove(move);
    const { state, runStartedAt } = status?.moves[i] ?? {};
    const assignment = sight.assignmentOf(id);
    const goal = state === "sent" ? move.to : move.from;
    if (state !== "waiting" && id !== current) return [];
    if (assignment === undefined || isFinished(assignment)) return [{ kind: "instance-gone", id }];
    const isThere = assignment.spec.node === goal.node;
    // It leaves without the plan, so its room gets free all the same.
    if (state === "waiting") return isThere ? [] : [{ kind: "instance-gone", id }];
    if (!isThere) return [{ kind: "move-failed", id }];
    const report = reportOf(assignment);
    if (report?.phase === "Failed") return [{ kind: "move-failed", id }];
    const staysOnNode = move.from.node === move.to.node;
    const isNewRun = !staysOnNode || report?.startedAt !== runStartedAt;
    return report?.ready === true && isNewRun ? [{ kind: "moved", id }] : [];
  });
}
