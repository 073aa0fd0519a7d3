import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Decision } from "@flotilla/shared/scheduling/facts";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import { runRound } from "@flotilla/shared/scheduling/round/round";
import type {
  RoundInput,
  RoundJob,
  RoundMember,
  RoundRunning,
  Waiting,
} from "@flotilla/shared/scheduling/round/types";
import { heldRoomsOf, idOfMovePlan, makingRoomText } from "../../domain/defragment/move-plan.ts";
import type { Neighbours } from "./neighbours.ts";
import type { RoomHolds } from "./room-holds.ts";
import { RoundPlacer } from "./round-placer.ts";
import type { RunningBook } from "./running-book.ts";
import type { WantedInstance } from "./wanted-instance.ts";

/** A plan under way, and the node of the room that each Assignment waits for. */
interface Held {
  readonly plan: ObjectOf<"MovePlan">;
  readonly nodeOf: ReadonlyMap<string, string>;
}

/** What a round needs to know of jobs that room is made for. */
export interface HeldRound {
  /** Those that have a place now. */
  readonly decisions: ReadonlyMap<string, Decision>;
  /** What else is pending. */
  readonly jobs: readonly RoundJob[];
  /** Room that is held or was just given, as what runs. */
  readonly running: readonly RoundRunning[];
  /** Of each Assignment that still waits for its room, why. */
  readonly waiting: ReadonlyMap<string, Pick<Waiting, "reason" | "message">>;
}

/**
 * Jobs that room is made for. They come before all others, each on its own: into the room when that is free, so that nobody
 * else is asked first, and elsewhere when there is room meanwhile. Their queues still have to admit them. To the others what is held
 * counts as theirs.
 */
export class HeldJobs {
  readonly #deps: HeldJobsDeps;
  readonly #held: ReadonlyMap<string, Held>;

  constructor(deps: HeldJobsDeps) {
    this.#deps = deps;
    this.#held = new Map(
      [...deps.holds.plans].flatMap((plan) => {
        const rooms = heldRoomsOf(plan).flatMap(({ forId, node }) =>
          forId === undefined ? [] : [[forId, node] as const],
        );
        return rooms.length === 0
          ? []
          : [[plan.spec.job, { plan, nodeOf: new Map(rooms) }] as const];
      }),
    );
  }

  /** `input` is the round as it would be without them. */
  serve(input: RoundInput): HeldRound {
    if (this.#held.size === 0)
      return {
        decisions: new Map(),
        jobs: input.jobs,
        running: input.running,
        waiting: new Map(),
      };
    const decisions = new Map<string, Decision>();
    const given: RoundRunning[] = [];
    for (const job of input.jobs) {
      const held = this.#held.get(job.id);
      if (held === undefined) continue;
      const members = job.members.filter(({ id }) => held.nodeOf.has(id));
      for (const [id, decision] of this.#place(input, { ...job, members }, held)) {
        decisions.set(id, decision);
        given.push(...this.#running(id, job.id));
      }
    }
    const kept = [...this.#held.values()].flatMap(({ plan }) =>
      this.#deps.holds.heldBy(plan).flatMap(({ id }) => this.#running(id, plan.spec.job)),
    );
    return {
      decisions,
      jobs: input.jobs.map((job) => this.#without(job)),
      running: [...input.running, ...given, ...kept],
      waiting: this.#waiting(decisions),
    };
  }

  #place(input: RoundInput, job: RoundJob, { plan, nodeOf }: Held): ReadonlyMap<string, Decision> {
    const { holds, table, neighbours, instances } = this.#deps;
    const planId = idOfMovePlan(plan);
    const isFree = plan.status?.phase === "freed";
    if (isFree) holds.lift(planId);
    const placer = new RoundPlacer({
      table,
      neighbours,
      instances,
      ...(isFree ? { onlyOn: nodeOf } : {}),
    });
    const { placements } = runRound(
      {
        queues: input.queues,
        // Nothing is evicted for what gets its room by moves.
        jobs: [{ ...job, preemption: "Never" }],
        running: input.running,
        budgets: new Map(),
        nowMs: input.nowMs,
      },
      {
        engine: table.engine,
        nodes: table.nodes,
        place: (member: RoundMember, trial) => placer.place(member, trial),
      },
    );
    const decisions = placer.finish(new Set(placements.map(({ memberId }) => memberId)));
    holds.settle(planId, new Set(decisions.keys()));
    return decisions;
  }

  /** The job less what room is made for; a gang goes with its room or not at all. */
  #without(job: RoundJob): RoundJob {
    const held = this.#held.get(job.id);
    if (held === undefined) return job;
    const members = job.minMember > 1 ? [] : job.members.filter(({ id }) => !held.nodeOf.has(id));
    return { ...job, members };
  }

  #running(id: string, jobId: string): readonly RoundRunning[] {
    const placed = this.#deps.table.placed(id);
    if (placed === undefined) return [];
    const slash = jobId.lastIndexOf("/");
    const { queue, priority } = this.#deps.running.traitsOf(
      jobId.slice(0, slash),
      jobId.slice(slash + 1),
    );
    return [
      {
        id,
        jobId,
        ...(queue === undefined ? {} : { queue }),
        priority,
        placed,
        evictable: false,
        evictionCost: 1,
        endsAtMs: "never",
      },
    ];
  }

  #waiting(decisions: ReadonlyMap<string, Decision>): HeldRound["waiting"] {
    const waiting = [...this.#held.values()].flatMap(({ plan, nodeOf }) => {
      const why = { reason: "MakingRoom" as const, message: makingRoomText(plan) };
      return [...nodeOf.keys()].filter((id) => !decisions.has(id)).map((id) => [id, why] as const);
    });
    return new Map(waiting);
  }
}

interface HeldJobsDeps {
  readonly holds: RoomHolds;
  readonly table: FleetTable;
  readonly neighbours: Neighbours;
  readonly running: Pick<RunningBook, "traitsOf">;
  readonly instances: ReadonlyMap<string, WantedInstance>;
}
