import { describe, expect, test } from "vitest";
import { CORE, job, NOW_MS, queue, row, shape, TestFleet } from "../../testing/round-fleet.ts";
import { RESERVED_MEMBERS_MAX } from "./backfill/reservation.ts";
import { PREEMPTION_SEARCHES_MAX } from "./preempt/preemptor.ts";
import { runRound } from "./round.ts";
import type { PlaceMember, RoundResult } from "./types.ts";

const placedOf = (result: RoundResult): readonly string[] =>
  result.placements.map((p) => p.memberId);
const evictedOf = (result: RoundResult): readonly string[] => result.evictions.map((e) => e.id);
const reasonOf = (result: RoundResult, jobId: string): string | undefined =>
  result.waiting.find((w) => w.jobId === jobId)?.reason;
const messageOf = (result: RoundResult, jobId: string): string | undefined =>
  result.waiting.find((w) => w.jobId === jobId)?.message;

describe("a gang", () => {
  test("starts whole or not at all, and grows by what fits", () => {
    const fleet = new TestFleet([row(), row()]);
    fleet.add(job("small", { count: 20, minMember: 4 }), job("z", { count: 12, minMember: 12 }));
    const first = fleet.round();
    expect(first.placements).toHaveLength(16);
    expect(fleet.runningOf("small")).toHaveLength(16);
    expect(reasonOf(first, "small")).toBe("NoRoom");
    expect(reasonOf(first, "z")).toBe("NoRoom");
    expect(fleet.runningOf("z")).toEqual([]);
  });

  test("that fell below its minimum gets its missing members before anything new of its queue", () => {
    const fleet = new TestFleet([row()]);
    fleet.add(job("gang", { count: 4, minMember: 4 }));
    fleet.round();
    const lost = fleet.running[0];
    if (lost === undefined) throw new Error("nothing runs");
    fleet.engine.release(lost.placed.shape, lost.placed.node, lost.placed.devices);
    const input = fleet.input();
    const rest = input.running.filter((r) => r.id !== lost.id);
    const mend = { ...job("gang", { minMember: 4 }), runningCount: 3 };
    const fresh = job("a-new", { count: 5, minMember: 5, priority: 9 });
    fleet.add(fresh);
    const result = fleet.round({ running: rest, jobs: [fresh, mend] });
    expect(placedOf(result)[0]).toBe("gang/0");
  });

  test("larger than the fleet, or with too few members, says so", () => {
    const fleet = new TestFleet([row()]);
    fleet.add(
      job("large", { count: 9, minMember: 9 }),
      job("wide", { shape: shape({ milliCpu: 9_000 }) }),
      job("few", { count: 2, minMember: 3 }),
    );
    const result = fleet.round();
    expect(messageOf(result, "large")).toBe(
      "its gang of 9 asks for more cpu than the whole fleet has (9 of 8)",
    );
    expect(reasonOf(result, "wide")).toBe("LargerThanFleet");
    expect(reasonOf(result, "few")).toBe("TooFewMembers");
  });
});

describe("a queue", () => {
  test("that does not exist, is closed or has children keeps its jobs waiting, with a reason", () => {
    const queues = [
      queue("closed", { open: false }),
      queue("root"),
      queue("leaf", { parent: "root" }),
    ];
    const fleet = new TestFleet([row()], queues);
    fleet.add(
      job("a", { queue: "nowhere" }),
      job("b", { queue: "closed" }),
      job("c", { queue: "root" }),
      job("d", { queue: "leaf" }),
      job("e"),
    );
    const result = fleet.round();
    expect(["a", "b", "c"].map((id) => reasonOf(result, id))).toEqual([
      "QueueNotFound",
      "QueueClosed",
      "QueueHasChildren",
    ]);
    expect(placedOf(result)).toEqual(["e/0", "d/0"]);
  });

  test("never passes its capability, nor that of one above", () => {
    const queues = [
      queue("top", { capability: { milliCpu: 3_000 } }),
      queue("a", { parent: "top", capability: { milliCpu: 2_000 } }),
      queue("b", { parent: "top" }),
    ];
    const fleet = new TestFleet([row()], queues);
    fleet.add(job("x", { queue: "a", count: 5 }), job("y", { queue: "b", count: 5 }));
    const result = fleet.round();
    expect(result.placements).toHaveLength(3);
    expect(fleet.runningOf("x").length).toBeLessThanOrEqual(2);
    expect(messageOf(result, "y")).toContain('queue "top" has 3 cpu of a capability of 3');
  });

  test("keeps what is guaranteed free for the others", () => {
    const queues = [queue("safe", { guarantee: { milliCpu: 3_000 } }), queue("a")];
    const fleet = new TestFleet([row()], queues);
    fleet.add(job("x", { queue: "a", count: 8, evictable: false }));
    const result = fleet.round();
    expect(fleet.runningOf("x")).toHaveLength(5);
    expect(reasonOf(result, "x")).toBe("GuaranteedToOthers");
    fleet.add(job("y", { queue: "safe", count: 5 }));
    fleet.round();
    expect(fleet.runningOf("y")).toHaveLength(3);
  });

  test("borrows what others leave, and yields it when they want what they deserve", () => {
    const queues = [
      queue("a", { deserved: { milliCpu: 4_000 } }),
      queue("b", { deserved: { milliCpu: 4_000 } }),
    ];
    const fleet = new TestFleet([row()], queues);
    fleet.add(job("x", { queue: "a", count: 8 }));
    fleet.round();
    expect(fleet.runningOf("x")).toHaveLength(8);
    fleet.add(job("y", { queue: "b", count: 8 }));
    const result = fleet.round();
    expect(result.evictions).toHaveLength(4);
    expect(result.evictions[0]?.reason).toBe("Reclaimed");
    expect(fleet.runningOf("y")).toHaveLength(4);
    expect(fleet.round().evictions).toEqual([]);
  });

  test("that is not reclaimable keeps what it borrowed", () => {
    const fleet = new TestFleet([row()], [queue("a", { reclaimable: false }), queue("b")]);
    fleet.add(job("x", { queue: "a", count: 8 }));
    fleet.round();
    fleet.add(job("y", { queue: "b", count: 8, priority: 9 }));
    expect(fleet.round().evictions).toEqual([]);
  });

  test("lets a job pass one that waits, unless it is fifo", () => {
    for (const dequeueStrategy of ["traverse", "fifo"] as const) {
      const fleet = new TestFleet([row()], [queue("q", { dequeueStrategy })]);
      fleet.add(job("runs", { queue: "q", count: 6 }));
      fleet.round();
      fleet.amend("runs", { endsAtMs: "never" });
      fleet.add(job("x", { queue: "q", count: 4, minMember: 4 }), job("y", { queue: "q" }));
      const result = fleet.round();
      expect(placedOf(result)).toEqual(dequeueStrategy === "fifo" ? [] : ["y/0"]);
      expect(reasonOf(result, "y")).toBe(dequeueStrategy === "fifo" ? "BehindAnother" : undefined);
    }
  });

  test("numbers that are no amounts decide nothing", () => {
    for (const bad of [Number.NaN, -1, 1e308, Number.POSITIVE_INFINITY]) {
      const limits = { milliCpu: bad };
      const queues = [
        queue("a", {
          weight: bad,
          priority: bad,
          guarantee: limits,
          deserved: limits,
          capability: limits,
        }),
        queue("b"),
      ];
      const fleet = new TestFleet([row()], queues);
      fleet.add(
        job("x", { queue: "a", count: 8, priority: bad }),
        job("y", { queue: "b", count: 8 }),
      );
      fleet.round();
      expect([fleet.runningOf("x").length, fleet.runningOf("y").length]).toEqual([4, 4]);
    }
  });
});

describe("preemption", () => {
  const full = (over = {}): TestFleet => {
    const fleet = new TestFleet([row({ milliCpu: 4_000 }), row({ milliCpu: 4_000 })]);
    fleet.add(job("low", { count: 8, ...over }));
    fleet.round();
    return fleet;
  };

  test("evicts the fewest, then the cheapest, and only lower priorities", () => {
    const fleet = full();
    fleet.amend("low", { evictionCost: 5 });
    const cheap = fleet.running[6];
    if (cheap === undefined) throw new Error("nothing runs");
    const running = fleet.running.map((r) => (r === cheap ? { ...r, evictionCost: 1 } : r));
    fleet.add(job("high", { priority: 1 }));
    expect(evictedOf(fleet.round({ running }))).toEqual([cheap.id]);
    fleet.add(job("same", { priority: 0 }));
    expect(fleet.round().evictions).toEqual([]);
  });

  test("evicts nothing when the whole gang cannot be placed, nor for a job that never preempts", () => {
    const fleet = full();
    fleet.add(job("never", { priority: 9, preemption: "Never" }));
    const running = fleet.running.map((r, i) => ({ ...r, evictable: i < 3 }));
    fleet.add(job("gang", { priority: 9, count: 4, minMember: 4 }));
    const free = [...fleet.nodes.milliCpuFree];
    const result = fleet.round({ running });
    expect([result.evictions, result.placements]).toEqual([[], []]);
    expect([...fleet.nodes.milliCpuFree]).toEqual(free);
  });

  test("respects budgets", () => {
    const fleet = full();
    fleet.amend("low", { budget: "low" });
    fleet.budgets = new Map([["low", 2]]);
    fleet.add(job("high", { priority: 1, count: 4 }));
    expect(fleet.round().evictions).toHaveLength(2);
  });

  test("takes the surplus of a gang first, and a gang that it would break as a whole", () => {
    const fleet = full({ minMember: 7 });
    fleet.add(job("one", { priority: 1 }));
    expect(fleet.round().evictions).toHaveLength(1);
    fleet.add(job("two", { priority: 1 }));
    expect(fleet.round().evictions).toHaveLength(7);
  });

  test("makes room under its queue's own capability", () => {
    const fleet = new TestFleet([row()], [queue("q", { capability: { milliCpu: 2_000 } })]);
    fleet.add(job("low", { queue: "q", count: 2 }));
    fleet.round();
    fleet.add(job("high", { queue: "q", priority: 1 }));
    expect(fleet.round().evictions.map((e) => e.reason)).toEqual(["Preempted"]);
    expect(fleet.runningOf("high")).toHaveLength(1);
  });
});

describe("a job that waits for room", () => {
  const started = (): TestFleet => {
    const fleet = new TestFleet([row({ milliCpu: 4_000 })]);
    fleet.add(job("runs", { count: 2, estimateMs: 10_000 }));
    fleet.round();
    fleet.add(job("head", { shape: shape({ milliCpu: 4_000 }) }));
    return fleet;
  };

  test("has room kept for it, which only jobs may use that end in time", () => {
    const fleet = started();
    fleet.add(job("long"), job("short", { estimateMs: 9_000 }));
    const result = fleet.round();
    expect(placedOf(result)).toEqual(["short/0"]);
    expect(reasonOf(result, "long")).toBe("KeptForAnother");
    expect(result.reservation).toMatchObject({
      jobId: "head",
      nodes: [0],
      sinceMs: NOW_MS,
      startsAtMs: NOW_MS + 10_000,
      amounts: { milliCpu: 2_000 },
    });
    fleet.nowMs += 10_000;
    fleet.end("runs");
    fleet.end("short");
    expect(placedOf(fleet.round())).toEqual(["head/0"]);
  });

  test("does not lose its place from round to round", () => {
    const fleet = started();
    fleet.round();
    fleet.nowMs += 1_000;
    expect(fleet.round().reservation?.sinceMs).toBe(NOW_MS);
  });

  test("keeps no room where nothing ever ends", () => {
    const fleet = started();
    fleet.amend("runs", { endsAtMs: "never" });
    fleet.add(job("long"));
    const result = fleet.round();
    expect(result.reservation).toBeUndefined();
    expect(placedOf(result)).toEqual(["long/0"]);
  });

  test("lets jobs use its room that would yield to it", () => {
    const fleet = started();
    fleet.add(job("head", { shape: shape({ milliCpu: 4_000 }), priority: 2 }));
    fleet.amend("runs", { evictable: false });
    fleet.add(job("yields", { priority: 1 }), job("stays", { priority: 1, evictable: false }));
    const result = fleet.round();
    expect(placedOf(result)).toEqual(["yields/0"]);
    fleet.end("runs");
    const next = fleet.round();
    expect(evictedOf(next)).toEqual(["yields/0"]);
    expect(fleet.runningOf("head")).toHaveLength(1);
  });

  test("longer than it may goes ahead", () => {
    const fleet = new TestFleet([row({ milliCpu: 1_000 })]);
    const late = { pendingSinceMs: NOW_MS - 5_000, waitMaxMs: 4_000 };
    fleet.add(job("a", { priority: 5 }), job("z", late));
    const result = fleet.round();
    expect(placedOf(result)).toEqual(["z/0"]);
    expect(CORE.milliCpu).toBe(1_000);
  });
});

describe("a round ends", () => {
  test("after so many placements, and the rest has its turn in the next", () => {
    const fleet = new TestFleet([row()]);
    fleet.add(job("a", { count: 8 }));
    const result = fleet.round({ limits: { placementsMax: 5 } });
    expect(result.placements).toHaveLength(5);
    expect(result.waiting).toEqual([
      expect.objectContaining({ jobId: "a", reason: "RoundFull", count: 3 }),
    ]);
    expect(fleet.round().placements).toHaveLength(3);
  });

  test(`its searches for victims after ${PREEMPTION_SEARCHES_MAX} jobs, or fewer when asked`, () => {
    const fleet = new TestFleet([row()]);
    fleet.add(job("low", { count: 8 }));
    fleet.round();
    fleet.add(...["a", "b", "c"].map((id) => job(id, { priority: 1 })));
    const result = fleet.round({ limits: { preemptionSearchesMax: 2 } });
    expect(result.evictions).toHaveLength(2);
    expect(reasonOf(result, "c")).toBe("NoRoom");
  });

  test(`keeping room for a gang of more than ${RESERVED_MEMBERS_MAX} members: there is none`, () => {
    for (const more of [0, 1]) {
      const count = RESERVED_MEMBERS_MAX + more;
      const fleet = new TestFleet([row({ milliCpu: count * 1_000 })]);
      fleet.add(job("runs"));
      fleet.round();
      fleet.add(job("head", { count, minMember: count }));
      expect(fleet.round().reservation === undefined).toBe(more === 1);
    }
  });
});

describe("a place", () => {
  test("can be chosen by the caller, who sees no half of a gang", () => {
    const fleet = new TestFleet([row(), row()]);
    const second = Uint8Array.of(0, 1);
    fleet.nodes.setClass(1, 1);
    fleet.engine.changed(1);
    fleet.add(job("a", { count: 9, minMember: 9 }), job("b", { count: 2 }));
    const place: PlaceMember = (member, trial) => trial.place({ ...member.shape, classes: second });
    const result = runRound(fleet.input(), { engine: fleet.engine, nodes: fleet.nodes, place });
    expect(result.placements.map((p) => [p.memberId, p.placed.node])).toEqual([
      ["b/0", 1],
      ["b/1", 1],
    ]);
    expect([...fleet.nodes.milliCpuFree]).toEqual([8_000, 6_000]);
  });
});
