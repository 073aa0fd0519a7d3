import type { ObjectOf } from "@flotilla/shared/model/kinds";
import {
  MOVE_PLAN_ROOMS_MAX,
  type MovePlanMove,
  type MovePlanSpec,
} from "@flotilla/shared/model/resources/move-plan";
import type { DefragmentOutcome, NoPlanReason } from "@flotilla/shared/scheduling/defragment/plan";
import { planMoves } from "@flotilla/shared/scheduling/defragment/plan";
import { gpusWorth, type Resident } from "@flotilla/shared/scheduling/defragment/resident";
import { type Placed, Trial } from "@flotilla/shared/scheduling/engine/trial";
import type { Decision } from "@flotilla/shared/scheduling/facts";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { RoundJob } from "@flotilla/shared/scheduling/round/types";
import { isResolved } from "../../domain/application/component.ts";
import type { Plan } from "../../domain/application/plan.ts";
import { usedBy } from "../../domain/scheduling/snapshot.ts";
import type { ResourceStore } from "../resources/ports.ts";
import { applicationIdOf, idOf } from "./assignment-index.ts";
import type { FleetMirror } from "./fleet-mirror.ts";
import type { Movables } from "./movables.ts";
import { boundTo, Neighbours } from "./neighbours.ts";
import type { PendingBook } from "./pending-book.ts";
import type { RunningBook } from "./running-book.ts";
import type { WantedInstance } from "./wanted-instance.ts";

/** Most jobs that moves are looked for at a time. */
export const MOVE_PLAN_JOBS_MAX = 4;

type Assignment = ObjectOf<"Assignment">;
type FoundPlan = Extract<DefragmentOutcome, { readonly kind: "plan" }>;

/** Moves that would make room for a job, to be stored as a MovePlan of this namespace; or why there are none. */
export type MoveProposal =
  | { readonly kind: "plan"; readonly namespace: string; readonly spec: MovePlanSpec }
  | {
      readonly kind: "none";
      readonly jobId: string;
      readonly reason: NoPlanReason | "broken-rule";
    };

/** What the planning of moves asks of others. */
export interface MakeRoomOptions {
  readonly nowMs: number;
  /** The plan of an Application as it is now. */
  readonly planOf: (applicationId: string) => Plan | undefined;
}

/** Finds moves that make room on the table, and carries single ones out. Searches leave the table as it was. */
export class RoomMaker {
  readonly #deps: RoomMakerDeps;

  constructor(deps: RoomMakerDeps) {
    this.#deps = deps;
  }

  /** Tries these jobs in their order, at most MOVE_PLAN_JOBS_MAX, until moves are found for one. */
  propose(jobIds: readonly string[], options: MakeRoomOptions): readonly MoveProposal[] {
    const { table, pending, running, movables } = this.#deps;
    const neighbours = new Neighbours(this.#deps);
    const search: Search = {
      ...options,
      neighbours,
      residents: new Map(),
      budgets: movables.budgets(),
    };
    const instances = new Map([...pending.instances()].map((i) => [i.id, i]));
    const jobs = new Map(
      pending
        .jobs({ table, neighbours, running, nowMs: options.nowMs })
        .map((job) => [job.id, job]),
    );
    const proposals: MoveProposal[] = [];
    for (const jobId of jobIds) {
      const job = jobs.get(jobId);
      const members = job === undefined ? undefined : this.#blockedOf(job, instances);
      if (members === undefined) continue;
      const proposal = this.#proposalFor(jobId, members, search);
      proposals.push(proposal);
      if (proposal.kind === "plan" || proposals.length >= MOVE_PLAN_JOBS_MAX) break;
    }
    return proposals;
  }

  /**
   * Puts the instance on this node, on the table; undefined, and nothing changed, when it cannot be there, or is to be changed first. The
   * room that it leaves is free.
   */
  relocate(plan: Plan, assignment: Assignment, node: string): Decision | undefined {
    const { table, mirror } = this.#deps;
    const { name } = assignment.metadata;
    const component = plan.outcomes.find(
      (o) => o.component.name === assignment.spec.component,
    )?.component;
    const isWantedThere =
      plan.draft.assignments.some((a) => a.metadata.name === name) &&
      // One that has to leave its node anyway may as well go to this one.
      !plan.wants.some(
        (want) => want.name === name && (want.kind === "refit" || want.kind === "place"),
      );
    if (component === undefined || !isResolved(component) || !isWantedThere) return undefined;
    const id = idOf(assignment);
    const neighbours = new Neighbours(this.#deps);
    neighbours.leave(plan, component.name, assignment.spec.node);
    const adjustment = neighbours.adjustmentOf(plan, component.name);
    table.unassign(id);
    const decision = table.decide(
      component.request,
      plan.input.weights,
      boundTo(node, adjustment),
      { runnersUp: 0, explains: false },
    );
    if (decision.node === undefined) {
      mirror.restore(id);
      return undefined;
    }
    const { devices } = decision;
    table.assign(id, node, { ...component.request, ...(devices === undefined ? {} : { devices }) });
    return decision;
  }

  /** Members that want room together: what a gang lacks, or one of those that each stand alone. They have to be stored. */
  #blockedOf(
    { members, minMember, runningCount }: RoundJob,
    instances: ReadonlyMap<string, WantedInstance>,
  ): readonly WantedInstance[] | undefined {
    const count = Math.max(1, minMember - runningCount);
    if (count > MOVE_PLAN_ROOMS_MAX) return undefined;
    const blocked = members
      .slice(0, count)
      .flatMap(({ id }) => instances.get(id) ?? [])
      .filter(({ id }) => this.#deps.mirror.assignments.get(id)?.spec.node === undefined)
      .filter(({ id }) => this.#deps.mirror.assignments.get(id) !== undefined);
    return blocked.length === count ? blocked : undefined;
  }

  #proposalFor(jobId: string, members: readonly WantedInstance[], search: Search): MoveProposal {
    const { table, movables } = this.#deps;
    const { neighbours, budgets, residents } = search;
    const shapes = members.map(({ plan, component, request, weights }) =>
      table.shapeOf(request, weights, neighbours.adjustmentOf(plan, component)),
    );
    const { milliCpuPerGpu } = table.values;
    const gain = shapes.reduce((sum, shape) => sum + gpusWorth(shape, milliCpuPerGpu), 0);
    const residentsOf = (node: number): readonly Resident[] => {
      const known = residents.get(node) ?? movables.residentsOf(node);
      residents.set(node, known);
      return known;
    };
    const trial = new Trial(table.engine);
    const { nodes, engine } = table;
    try {
      const outcome = planMoves(
        { shapes, gain },
        { nodes, engine, residentsOf, budgets },
        { trial },
      );
      if (outcome.kind === "none") return { kind: "none", jobId, reason: outcome.reason };
      const from = new Set(outcome.moves.map((move) => move.from));
      const found = { outcome, members, residents: [...from].flatMap(residentsOf) };
      if (!this.#keepsRules(found, trial, search))
        return { kind: "none", jobId, reason: "broken-rule" };
      return this.#described(jobId, found, gain);
    } finally {
      trial.undoTo(0);
    }
  }

  /** What the planner does not see: affinities, and how close devices lie. The trial holds the plan's outcome. */
  #keepsRules({ outcome, members, residents }: Found, trial: Trial, { planOf }: Search): boolean {
    const { table, mirror } = this.#deps;
    const neighbours = new Neighbours(this.#deps);
    const fits = (
      placed: Placed,
      plan: Plan,
      of: Pick<WantedInstance, "component" | "request">,
    ) => {
      const adjustment = neighbours.adjustmentOf(plan, of.component);
      const only = boundTo(table.nodeName(placed.node), adjustment);
      trial.release(placed);
      const { node } = table.decide(of.request, plan.input.weights, only, { explains: false });
      trial.reserve(placed);
      return node !== undefined;
    };
    const movesFit = outcome.moves.every((move) => {
      const assignment = mirror.assignments.get(move.id);
      const resident = residents.find(({ id }) => id === move.id);
      const plan = assignment && planOf(applicationIdOf(assignment));
      const found = plan?.outcomes.find((o) => o.component.name === assignment?.spec.component);
      const component = found?.component;
      if (assignment === undefined || resident === undefined || plan === undefined) return false;
      if (component === undefined || !isResolved(component)) return false;
      neighbours.leave(plan, component.name, assignment.spec.node);
      const placed = placedAt(resident, move.to, move.toDevices);
      const isFine = fits(placed, plan, { component: component.name, request: component.request });
      neighbours.enter(plan, component.name, table.nodeName(move.to));
      return isFine;
    });
    return (
      movesFit &&
      outcome.rooms.every((room, i) => {
        const member = members[i];
        if (member === undefined || !fits(room, member.plan, member)) return false;
        neighbours.enter(member.plan, member.component, table.nodeName(room.node));
        return true;
      })
    );
  }

  #described(jobId: string, { outcome, members, residents }: Found, gain: number): MoveProposal {
    const { table, mirror } = this.#deps;
    const devicesAt = (placed: Placed): Pick<MovePlanMove["to"], "devices"> => {
      const { devices } = table.useOf(placed);
      return devices === undefined ? {} : { devices: [...devices] };
    };
    const rooms = outcome.rooms.flatMap((room, i) => {
      const assignment = mirror.assignments.get(members[i]?.id ?? "");
      if (assignment === undefined) return [];
      const node = table.nodeName(room.node);
      return [
        { assignment: assignment.metadata.name, node, ...taken(assignment), ...devicesAt(room) },
      ];
    });
    const moves = outcome.moves.flatMap((move): readonly MovePlanMove[] => {
      const resident = residents.find(({ id }) => id === move.id);
      const assignment = mirror.assignments.get(move.id);
      if (resident === undefined || assignment === undefined) return [];
      const place = (node: number, devices: readonly number[]): MovePlanMove["to"] => ({
        node: table.nodeName(node),
        ...devicesAt(placedAt(resident, node, devices)),
      });
      return [
        {
          namespace: assignment.metadata.namespace ?? "",
          assignment: assignment.metadata.name,
          ...taken(assignment),
          from: place(move.from, move.fromDevices),
          to: place(move.to, move.toDevices),
          price: move.price,
        },
      ];
    });
    const [namespace = ""] = jobId.split("/");
    return { kind: "plan", namespace, spec: { job: jobId, rooms, moves, gain } };
  }
}

/** What the jobs of one search share: nothing of it changes meanwhile. */
interface Search extends MakeRoomOptions {
  readonly neighbours: Neighbours;
  /** By node of the table. */
  readonly residents: Map<number, readonly Resident[]>;
  readonly budgets: ReadonlyMap<string, number>;
}

interface Found {
  readonly outcome: FoundPlan;
  readonly members: readonly WantedInstance[];
  readonly residents: readonly Resident[];
}

function placedAt({ placed }: Resident, node: number, devices: readonly number[]): Placed {
  return { shape: placed.shape, node, devices: Int16Array.from(devices) };
}

function taken(assignment: Assignment): Pick<MovePlanMove, "requests" | "ports"> {
  const { ports } = usedBy(assignment);
  return {
    requests: assignment.spec.requests,
    ...(ports.length === 0 ? {} : { ports: [...ports] }),
  };
}

interface RoomMakerDeps {
  readonly store: ResourceStore;
  readonly table: FleetTable;
  readonly mirror: FleetMirror;
  readonly pending: PendingBook;
  readonly running: RunningBook;
  readonly movables: Movables;
}
