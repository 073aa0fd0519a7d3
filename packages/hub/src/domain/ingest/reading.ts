import type { Capacity, CapacityReading, Usage } from "@flotilla/shared/model/capacity";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";
import { type UsageSteps, usageMoved } from "@flotilla/shared/model/usage-moved";

/**
 * What of a node's reading is stored. The agent sends only what moved beyond its own step (with twice these steps); the
 * hub has steps as well, so that an agent that sends more writes no more.
 */
const USAGE_STEP: UsageSteps = {
  cpuRatio: 0.05,
  memoryRatio: 0.025,
  diskRatio: 0.01,
  temperatureCelsius: 2.5,
  pressureRatio: 0.05,
  gpuUtilizationRatio: 0.05,
  gpuMemoryBytes: 256 * 2 ** 20,
  gpuPowerWatts: 25,
  networkFactor: 2,
  networkFloorBytesPerSecond: 1_000_000,
};

/** A capacity that grows or shrinks by more than this factor between two readings counts when a second reading says the same. */
export const CAPACITY_JUMP_FACTOR = 16;
/** Smaller amounts are compared as if they were this: from no GPU to eight is no lie. */
const CAPACITY_FLOOR: Capacity = {
  milliCpu: 1_000,
  memoryBytes: 2 ** 30,
  diskBytes: 2 ** 30,
  gpuCount: 1,
};

/** A pressure condition becomes True at `high` and False again below `low`; in between it stays. */
const PRESSURE = {
  MemoryPressure: { high: 0.95, low: 0.9 },
  DiskPressure: { high: 0.9, low: 0.85 },
} as const;

interface ReadingStatus {
  readonly capacity?: Capacity;
  readonly usage?: Usage;
  readonly conditions?: readonly Condition[];
}

/** Fields of the node's status after a reading. Nothing changes in a reading that says what was said before. */
export function withReading(
  status: ReadingStatus,
  reading: CapacityReading,
  nowIso: string,
): { capacity: Capacity; usage: Usage; conditions: Condition[] } {
  const judged = judgeCapacity(status, reading.capacity, nowIso);
  const { capacity } = judged;
  const usage =
    status.usage !== undefined &&
    !usageMoved(status.usage, reading.usage, { capacity, steps: USAGE_STEP })
      ? status.usage
      : reading.usage;
  const { memoryUsedBytes, diskUsedBytes } = reading.usage;
  let { conditions } = judged;
  conditions = withPressure(conditions, {
    type: "MemoryPressure",
    ratio: ratioOf(memoryUsedBytes, capacity.memoryBytes),
    nowIso,
  });
  conditions = withPressure(conditions, {
    type: "DiskPressure",
    ratio: ratioOf(diskUsedBytes, capacity.diskBytes),
    nowIso,
  });
  return { capacity, usage, conditions };
}

/** The last good capacity holds until two readings agree; the first of them is kept in the condition's message. */
function judgeCapacity(
  status: ReadingStatus,
  next: Capacity,
  nowIso: string,
): { capacity: Capacity; conditions: Condition[] } {
  const conditions = [...(status.conditions ?? [])];
  const old = conditions.find((c) => c.type === "CapacityInvalid");
  const message = `the node reads ${textOf(next)}, more than ${CAPACITY_JUMP_FACTOR} times off the reading before; it counts when the next reading says the same`;
  const confirmed = old?.status === "True" && old.message === message;
  if (status.capacity !== undefined && isJump(status.capacity, next) && !confirmed)
    return {
      capacity: status.capacity,
      conditions: withCondition(
        conditions,
        { type: "CapacityInvalid", status: "True", reason: "CapacityJumped", message },
        nowIso,
      ),
    };
  if (old === undefined || old.status === "False") return { capacity: next, conditions };
  const good = {
    type: "CapacityInvalid",
    status: "False",
    reason: confirmed ? "CapacityConfirmed" : "CapacityPlausible",
    message: confirmed ? "two readings said the same" : "the next reading was as before",
  } as const;
  return { capacity: next, conditions: withCondition(conditions, good, nowIso) };
}

function isJump(last: Capacity, next: Capacity): boolean {
  return (["milliCpu", "memoryBytes", "diskBytes", "gpuCount"] as const).some((field) => {
    const low = Math.max(Math.min(last[field], next[field]), CAPACITY_FLOOR[field]);
    return Math.max(last[field], next[field]) > low * CAPACITY_JUMP_FACTOR;
  });
}

function textOf(capacity: Capacity): string {
  return `${capacity.milliCpu} milliCpu, ${capacity.memoryBytes} memory bytes, ${capacity.diskBytes} disk bytes, ${capacity.gpuCount} GPUs`;
}

function ratioOf(used: number, whole: number): number {
  return whole === 0 ? 0 : used / whole;
}

function withPressure(
  conditions: Condition[],
  now: { readonly type: keyof typeof PRESSURE; readonly ratio: number; readonly nowIso: string },
): Condition[] {
  const { high, low } = PRESSURE[now.type];
  const old = conditions.find((c) => c.type === now.type);
  const isHigh = now.ratio >= high || (old?.status === "True" && now.ratio >= low);
  const status = isHigh ? "True" : "False";
  if (old?.status === status) return conditions;
  const word = now.type === "MemoryPressure" ? "memory" : "disk";
  return withCondition(
    conditions,
    {
      type: now.type,
      status,
      reason: isHigh ? "UsageHigh" : "UsageNormal",
      message: isHigh
        ? `more than ${high * 100} % of the ${word} is used`
        : `enough ${word} is free`,
    },
    now.nowIso,
  );
}
