import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { withCondition } from "@flotilla/shared/model/metadata";
import { isFinished } from "../application/instance-state.ts";

/** The node with its Drained condition brought up to date; undefined when it is, or was never drained. */
export function drainedNode(
  node: ObjectOf<"EdgeNode">,
  assignments: readonly ObjectOf<"Assignment">[],
  nowIso: string,
): ObjectOf<"EdgeNode"> | undefined {
  const before = node.status?.conditions;
  const drains = node.spec.drain === true;
  if (!drains && before?.some((c) => c.type === "Drained") !== true) return undefined;
  const left = assignments.filter((a) => !isFinished(a)).length;
  const conditions = withCondition(
    before,
    {
      type: "Drained",
      status: drains && left === 0 ? "True" : "False",
      reason: drains ? (left === 0 ? "Empty" : "Draining") : "NotDrained",
      message: drains ? `${left} instances are left` : "no drain is asked for",
    },
    nowIso,
  );
  return jsonEqual(before ?? [], conditions)
    ? undefined
    : { ...node, status: { ...node.status, conditions } };
}
