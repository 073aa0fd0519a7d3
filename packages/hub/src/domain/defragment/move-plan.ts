import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { MovePlanMove, MovePlanStatus } from "@flotilla/shared/model/resources/move-plan";
import {
  type Execution,
  type MoveStep,
  type NamedRoom,
  underWay,
} from "@flotilla/shared/scheduling/defragment/execution";
import type { Use } from "@flotilla/shared/scheduling/facts";

type MovePlan = ObjectOf<"MovePlan">;

/** Room that a plan keeps others off. */
export interface HeldRoom {
  readonly node: string;
  readonly use: Use;
  /** `namespace/name` of the Assignment that the plan makes it for; absent: for an instance that moves. */
  readonly forId?: string;
}

/** `namespace/name` of a MovePlan. */
export function idOfMovePlan({ metadata }: MovePlan): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

/** `namespace/name` of the Assignment that moves. */
export function idOfMove({ namespace, assignment }: MovePlanMove): string {
  return `${namespace}/${assignment}`;
}

/** Nothing of it will be done any more. */
export function isMovePlanOver({ status }: MovePlan): boolean {
  return status?.phase === "done" || status?.phase === "undone";
}

/** The plan as the state machine knows it. Moves are known by the `namespace/name` of their Assignments. */
export function executionOfPlan({ spec, status }: MovePlan): Execution {
  const { phase = "planned", brokenBy } = status ?? {};
  return {
    request: spec.job,
    rooms: spec.rooms.map(roomOf),
    phase,
    moves: spec.moves.map(
      (move, i): MoveStep => ({
        id: idOfMove(move),
        from: roomOf(move.from),
        to: roomOf(move.to),
        state: status?.moves[i]?.state ?? "waiting",
      }),
    ),
    returnsArrived: false,
    ...(brokenBy === undefined ? {} : { brokenBy }),
  };
}

/** The plan after a step. `runStartedAt`: of the instance that a move begins for, when its run began. */
export function planAfter(
  plan: MovePlan,
  execution: Execution,
  {
    nowMs,
    runStartedAt,
  }: { readonly nowMs: number; readonly runStartedAt: (id: string) => string | undefined },
): MovePlan {
  const before = executionOfPlan(plan);
  const goesOn =
    plan.status !== undefined &&
    before.phase === execution.phase &&
    underWay(before)?.id === underWay(execution)?.id;
  const moves = execution.moves.map(({ id, state }, i) => {
    const old = plan.status?.moves[i];
    if (old?.state === state) return old;
    const startedAt =
      state === "sent" || state === "returning" ? runStartedAt(id) : old?.runStartedAt;
    return { state, ...(startedAt === undefined ? {} : { runStartedAt: startedAt }) };
  });
  const status: MovePlanStatus = {
    phase: execution.phase,
    moves,
    ...(execution.brokenBy === undefined ? {} : { brokenBy: execution.brokenBy }),
    since: goesOn ? (plan.status?.since ?? isoTime(nowMs)) : isoTime(nowMs),
  };
  return { ...plan, status };
}

/** How long the plan has been as it is, milliseconds. */
export function restingMs({ status }: MovePlan, nowMs: number): number {
  return nowMs - (parseIsoTimeMs(status?.since ?? "") ?? nowMs);
}

/**
 * What nobody else may take: the rooms, where an instance has still to go, and where it would go back to. While an instance leaves a
 * room that is made, both are counted; what is counted twice is only kept freer for that long.
 */
export function heldRoomsOf(plan: MovePlan): readonly HeldRoom[] {
  const { phase, moves } = executionOfPlan(plan);
  if (phase !== "planned" && phase !== "moving" && phase !== "freed") return [];
  const namespace = plan.metadata.namespace ?? "";
  const rooms = plan.spec.rooms.map(
    (room): HeldRoom => ({
      node: room.node,
      use: useOf(room, room.devices),
      forId: `${namespace}/${room.assignment}`,
    }),
  );
  const others = plan.spec.moves.flatMap((move, i): HeldRoom[] => {
    const state = moves[i]?.state;
    const kept = state === "waiting" ? move.to : state === "sent" ? move.from : undefined;
    return kept === undefined ? [] : [{ node: kept.node, use: useOf(move, kept.devices) }];
  });
  return [...rooms, ...others];
}

/** For an operator who asks why something waits. */
export function makingRoomText(plan: MovePlan): string {
  const { moves } = executionOfPlan(plan);
  const over = moves.filter(({ state }) => state === "arrived" || state === "gone").length;
  return `room is being made for it on ${nodesText(plan)}: ${over} of ${moves.length} moves made (move plan ${plan.metadata.name})`;
}

/** Nodes that room is made on. */
export function nodesText({ spec }: MovePlan): string {
  return [...new Set(spec.rooms.map(({ node }) => node))].join(", ");
}

function roomOf(room: MovePlanMove["from"]): NamedRoom {
  return { node: room.node, devices: (room.devices ?? []).map(({ uuid }) => uuid) };
}

function useOf(
  { requests, ports = [] }: Pick<MovePlanMove, "requests" | "ports">,
  devices: MovePlanMove["from"]["devices"],
): Use {
  return { amounts: requests, ports, ...(devices === undefined ? {} : { devices }) };
}
