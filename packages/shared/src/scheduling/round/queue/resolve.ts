import type { ObjectOf } from "../../../model/kinds.ts";
import { type Amounts, RESOURCES } from "../amounts.ts";
import { amountText } from "../intake.ts";
import { DEFAULT_QUEUE, type RoundQueue } from "../types.ts";
import { QUEUE_RESOURCES, queueAmounts, ROOT_QUEUE } from "./queue-amounts.ts";
import { compareText } from "./tree.ts";

/** Most queues that count; those behind, by name, are left out and say so. */
export const QUEUES_MAX = 1_000;

/** What is wrong between queues, and what is done about it. */
export type QueueProblemReason =
  /** Counts as a queue directly under the fleet. */
  | "ParentNotFound"
  | "ParentCycle"
  /** Takes no new jobs, as the one above. */
  | "ParentClosed"
  /** The amounts of its children together: the parent's guarantee grows, what they deserve is cut. */
  | "GuaranteesOverParent"
  | "DeservedOverParent"
  /** More than the fleet has: nothing is left for others, and it is not met. */
  | "GuaranteeOverFleet"
  | "TooManyQueues";

export interface QueueProblem {
  readonly queue: string;
  readonly reason: QueueProblemReason;
  /** Names the field and the mend. */
  readonly message: string;
}

export interface ResolvedQueues {
  /** Ready for a round. The default queue is among them. */
  readonly queues: readonly RoundQueue[];
  /** At most a few for each queue, by the name of the queue. */
  readonly problems: readonly QueueProblem[];
}

/** Queues as a round takes them, from the stored objects, and what is wrong between them. `totals`: what the fleet has. */
export function resolveQueues(
  objects: readonly ObjectOf<"Queue">[],
  totals: Amounts,
): ResolvedQueues {
  const sorted = objects
    .filter((o) => o.metadata.deletionTimestamp === undefined && o.metadata.name !== ROOT_QUEUE)
    .toSorted((a, b) => compareText(a.metadata.name, b.metadata.name));
  const read = sorted.slice(0, QUEUES_MAX).map(queueOf);
  const queues = read.some((q) => q.name === DEFAULT_QUEUE) ? read : [...read, plainDefault()];
  const byName = new Map(queues.map((q) => [q.name, q]));
  const problems = [
    ...sorted.slice(QUEUES_MAX).map(({ metadata }) => tooMany(metadata.name)),
    ...queues.flatMap((queue) => [
      ...parentProblems(queue, byName),
      ...childProblems(queue, queues),
      ...fleetProblems(queue, totals),
    ]),
  ];
  return {
    queues: queues.map((queue) => ({
      ...queue,
      open: queue.open && !isUnderClosed(queue, byName),
    })),
    problems: problems.toSorted((a, b) => compareText(a.queue, b.queue)),
  };
}

function queueOf({ metadata, spec }: ObjectOf<"Queue">): RoundQueue {
  const limits = {
    guarantee: queueAmounts(spec.guarantee?.resource),
    deserved: queueAmounts(spec.deserved),
    capability: queueAmounts(spec.capability),
  };
  const { parent } = spec;
  return {
    name: metadata.name,
    ...(parent === undefined || parent === "" || parent === ROOT_QUEUE ? {} : { parent }),
    weight: spec.weight ?? 1,
    priority: spec.priority ?? 0,
    open: spec.state !== "Closed",
    reclaimable: spec.reclaimable ?? true,
    dequeueStrategy: spec.dequeueStrategy ?? "traverse",
    ...(limits.guarantee === undefined ? {} : { guarantee: limits.guarantee }),
    ...(limits.deserved === undefined ? {} : { deserved: limits.deserved }),
    ...(limits.capability === undefined ? {} : { capability: limits.capability }),
  };
}

function plainDefault(): RoundQueue {
  return {
    name: DEFAULT_QUEUE,
    weight: 1,
    priority: 0,
    open: true,
    reclaimable: true,
    dequeueStrategy: "traverse",
  };
}

function tooMany(queue: string): QueueProblem {
  return {
    queue,
    reason: "TooManyQueues",
    message: `only the first ${QUEUES_MAX} queues by name count: delete some`,
  };
}

/** Queues above, the nearest first; ends before one that is met twice. */
function above(queue: RoundQueue, byName: ReadonlyMap<string, RoundQueue>): readonly RoundQueue[] {
  const path: RoundQueue[] = [];
  for (let next = byName.get(queue.parent ?? ""); next !== undefined; ) {
    if (path.includes(next)) break;
    path.push(next);
    next = byName.get(next.parent ?? "");
  }
  return path;
}

function isUnderClosed(queue: RoundQueue, byName: ReadonlyMap<string, RoundQueue>): boolean {
  return above(queue, byName).some((q) => !q.open);
}

function parentProblems(
  queue: RoundQueue,
  byName: ReadonlyMap<string, RoundQueue>,
): readonly QueueProblem[] {
  const { name, parent } = queue;
  if (parent === undefined) return [];
  const shown = JSON.stringify(parent);
  if (!byName.has(parent))
    return [
      {
        queue: name,
        reason: "ParentNotFound",
        message: `spec.parent: there is no queue ${shown}; until there is, this one counts as directly under the fleet`,
      },
    ];
  const path = above(queue, byName);
  if (path.includes(queue))
    return [
      {
        queue: name,
        reason: "ParentCycle",
        message: `spec.parent: ${[name, ...path.map((q) => q.name)].join(" → ")} is a circle; until one of them names another parent, each counts as directly under the fleet`,
      },
    ];
  return isUnderClosed(queue, byName)
    ? [
        {
          queue: name,
          reason: "ParentClosed",
          message: `a queue above, by spec.parent ${shown}, is closed, so this one takes no new jobs`,
        },
      ]
    : [];
}

/** What children are given together against what their parent was given. */
function childProblems(queue: RoundQueue, queues: readonly RoundQueue[]): readonly QueueProblem[] {
  const children = queues.filter((q) => q.parent === queue.name);
  if (children.length === 0) return [];
  const over = (own: Partial<Amounts> | undefined, of: "guarantee" | "deserved"): number =>
    RESOURCES.findIndex((r) => {
      const sum = children.reduce((total, child) => total + (child[of]?.[r] ?? 0), 0);
      const limit = own?.[r] ?? queue.capability?.[r] ?? Number.POSITIVE_INFINITY;
      return sum > limit;
    });
  const guarantee = over(queue.guarantee, "guarantee");
  const deserved = over(queue.deserved, "deserved");
  return [
    ...(guarantee < 0
      ? []
      : [
          {
            queue: queue.name,
            reason: "GuaranteesOverParent" as const,
            message: `its children are guaranteed more ${QUEUE_RESOURCES[guarantee]} together than it is: raise spec.guarantee.resource, or lower theirs`,
          },
        ]),
    ...(deserved < 0
      ? []
      : [
          {
            queue: queue.name,
            reason: "DeservedOverParent" as const,
            message: `its children deserve more ${QUEUE_RESOURCES[deserved]} together than it does, so that each is cut alike: raise spec.deserved, or lower theirs`,
          },
        ]),
  ];
}

function fleetProblems(queue: RoundQueue, totals: Amounts): readonly QueueProblem[] {
  const r = RESOURCES.findIndex((name) => (queue.guarantee?.[name] ?? 0) > totals[name]);
  const name = RESOURCES[r];
  if (name === undefined) return [];
  return [
    {
      queue: queue.name,
      reason: "GuaranteeOverFleet",
      message: `spec.guarantee.resource: ${amountText(r, queue.guarantee?.[name])} ${QUEUE_RESOURCES[r]} is more than the fleet has (${amountText(r, totals[name])}): lower it, or add nodes; until then others get none of it`,
    },
  ];
}
