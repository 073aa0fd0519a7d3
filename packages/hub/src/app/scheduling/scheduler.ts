import type { ObjectOf } from "@flotilla/shared/model/kinds";
import {
  type RoomOptions,
  roomBySite,
  type SiteRoom,
} from "@flotilla/shared/scheduling/division/room";
import type { NodeFacts, PlacementRequest } from "@flotilla/shared/scheduling/facts";
import { firstRejection } from "@flotilla/shared/scheduling/filter";
import { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import { deviceShares } from "@flotilla/shared/scheduling/gpu/shares";
import type { QueueProblem } from "@flotilla/shared/scheduling/round/queue/resolve";
import { runRound } from "@flotilla/shared/scheduling/round/round";
import type {
  KeptReservation,
  QueueShare,
  Reservation,
  RoundInput,
  RoundResult,
  Waiting,
} from "@flotilla/shared/scheduling/round/types";
import { isResolved } from "../../domain/application/component.ts";
import type { Outcome } from "../../domain/application/outcome.ts";
import type { Plan } from "../../domain/application/plan.ts";
import { fleetQueues } from "../../domain/scheduling/fleet-queues.ts";
import { PriorityClasses } from "../../domain/scheduling/traits.ts";
import type { ResourceStore } from "../resources/ports.ts";
import {
  applicationIdOf as applicationIdOfAssignment,
  applicationIdOfJob,
} from "./assignment-index.ts";
import { FleetMirror } from "./fleet-mirror.ts";
import { HeldJobs, type HeldRound } from "./held-jobs.ts";
import { Movables } from "./movables.ts";
import { Neighbours } from "./neighbours.ts";
import { PendingBook } from "./pending-book.ts";
import { RoomMaker } from "./room-maker.ts";
import { RoundPlacer } from "./round-placer.ts";
import { RunningBook } from "./running-book.ts";
import { WaitingReasons } from "./waiting-reasons.ts";
import { type WantedInstance, wantedInstances } from "./wanted-instance.ts";

/** What one batch came to. Ids are `namespace/name` of Assignments. */
export interface Batch {
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** Why each of these has to leave its node, and for whose sake (`namespace/name` of an Application). */
  readonly evictions: ReadonlyMap<string, Evicted>;
  /** Applications that something was decided about, as `namespace/name`; some were decided now that were planned before. */
  readonly applicationIds: ReadonlySet<string>;
  /** Whether the batch was full, so that another one may place more at once. */
  readonly isFull: boolean;
  /** Undefined when no round was run. */
  readonly queues?: QueueOutcome;
}

export interface Evicted {
  readonly message: string;
  readonly forApplicationId: string;
}

/** How the queues stand after a round. */
export interface QueueOutcome {
  readonly shares: readonly QueueShare[];
  readonly waiting: readonly Waiting[];
  readonly problems: readonly QueueProblem[];
  readonly reservation?: Reservation & { readonly nodeNames: readonly string[] };
}

/**
 * Gives room away. It alone does, one decision after the other, so that no node is ever promised more than it has; what is
 * decided holds its room at once, and `giveBack` frees it when the commit fails. Instances that have to leave a node go first,
 * for they were let in already; what has no place is decided in rounds over all Applications, by queue and priority.
 */
export class Scheduler {
  readonly mirror: FleetMirror;
  readonly #store: ResourceStore;
  readonly #table = new FleetTable();
  readonly #pending = new PendingBook();
  readonly #running: RunningBook;
  readonly #movables: Movables;
  /** Makes room by moves. */
  readonly roomMaker: RoomMaker;
  #reservation:
    | { readonly jobId: string; readonly sinceMs: number; readonly nodes: readonly string[] }
    | undefined;

  constructor(deps: { readonly store: ResourceStore }) {
    this.#store = deps.store;
    this.mirror = new FleetMirror({ store: deps.store, table: this.#table });
    const parts = { store: deps.store, mirror: this.mirror, table: this.#table };
    this.#running = new RunningBook(parts);
    this.#movables = new Movables({ ...parts, running: this.#running });
    this.roomMaker = new RoomMaker({
      ...parts,
      pending: this.#pending,
      running: this.#running,
      movables: this.#movables,
    });
  }

  /** The table that is decided on. */
  get table(): FleetTable {
    return this.#table;
  }

  /** Whether something waits for a place. */
  get hasPending(): boolean {
    return !this.#pending.isEmpty;
  }

  /** Room on each site for more of a request, beside all that is assigned and decided. */
  roomsOf(request: PlacementRequest, options: RoomOptions): ReadonlyMap<string, SiteRoom> {
    return roomBySite(this.#nodes(), request, options);
  }

  /** The Application is gone, or cannot be planned: nothing of it waits. */
  forget(applicationId: string): void {
    this.#pending.forget(applicationId);
    this.#running.forget(applicationId);
    this.#movables.forget(applicationId);
  }

  /** The Application has changed and is not planned yet: until it is, nothing of it is placed and nothing evicted. */
  setAside(applicationId: string): void {
    this.#pending.forget(applicationId);
    this.#running.leaveAlone(applicationId);
  }

  /** Decides what these plans want, and all that waited before. */
  decide(
    plans: readonly Plan[],
    options: { readonly nowMs: number; readonly instancesMax: number },
  ): Batch {
    const classes = new PriorityClasses(this.#store.list("PriorityClass"));
    const neighbours = new Neighbours({ store: this.#store, mirror: this.mirror });
    const outcomes = new Map<string, Outcome>();
    for (const plan of plans) {
      this.#running.learn(plan, classes);
      this.#movables.learn(plan);
      this.#pending.learn(applicationIdOf(plan), plan);
      for (const instance of wantedInstances(plan))
        if (instance.want.kind !== "place")
          outcomes.set(instance.id, this.#relocate(instance, neighbours));
    }
    if (this.#pending.isEmpty)
      return { outcomes, evictions: new Map(), applicationIds: new Set(), isFull: false };
    return this.#round(neighbours, { ...options, outcomes, fresh: new Set(plans) });
  }

  /** Decides what one plan wants among all that waits, and takes everything back. */
  tryOut(plan: Plan, nowMs: number): Batch {
    const id = applicationIdOf(plan);
    const restorers = [this.#pending.saved(), this.#running.saved(id), this.#movables.saved(id)];
    const reservation = this.#reservation;
    try {
      const batch = this.decide([plan], { nowMs, instancesMax: Number.POSITIVE_INFINITY });
      this.giveBack(batch.outcomes.keys());
      this.giveBack(batch.evictions.keys());
      return batch;
    } finally {
      for (const restore of restorers) restore();
      this.#reservation = reservation;
    }
  }

  /** How the queues stand when nothing is to be decided. */
  survey(nowMs: number): QueueOutcome {
    const neighbours = new Neighbours({ store: this.#store, mirror: this.mirror });
    const outcomes = new Map<string, Outcome>();
    const { queues } = this.#round(neighbours, {
      nowMs,
      instancesMax: 0,
      outcomes,
      fresh: new Set(),
    });
    return queues;
  }

  /** Frees what was decided and not committed. */
  giveBack(ids: Iterable<string>): void {
    for (const id of ids) this.mirror.restore(id);
  }

  /** How one instance of a planned Application would be decided now, its own room counted as free. Changes nothing. */
  reconsider(plan: Plan, { metadata, spec }: ObjectOf<"Assignment">): Outcome {
    const component = plan.outcomes.find((o) => o.component.name === spec.component)?.component;
    if (component === undefined || !isResolved(component)) return { candidates: [] };
    const id = `${metadata.namespace ?? ""}/${metadata.name}`;
    const neighbours = new Neighbours({ store: this.#store, mirror: this.mirror });
    neighbours.leave(plan, spec.component, spec.node);
    const adjustment = neighbours.adjustmentOf(plan, spec.component);
    this.#table.unassign(id);
    try {
      return this.#table.explain(component.request, plan.input.weights, adjustment);
    } finally {
      this.mirror.restore(id);
    }
  }

  /** One that has a node and cannot, or need not, stay there. */
  #relocate(instance: WantedInstance, neighbours: Neighbours): Outcome {
    const { id, plan, want, component, request, weights } = instance;
    const table = this.#table;
    neighbours.leave(plan, component, want.before?.spec.node);
    table.unassign(id);
    const stays = want.kind === "refit" ? this.#stay(instance) : undefined;
    const misfit =
      stays === undefined && want.kind === "refit" ? this.#misfit(instance) : undefined;
    const decision: Outcome = stays ?? {
      ...table.decide(request, weights, neighbours.adjustmentOf(plan, component)),
      ...(misfit === undefined ? {} : { misfit }),
    };
    const { node, devices } = decision;
    const outcome =
      node === undefined && want.kind === "move" ? this.#remain(instance, decision) : decision;
    if (node !== undefined && stays === undefined)
      table.assign(id, node, { ...request, ...(devices === undefined ? {} : { devices }) });
    neighbours.enter(plan, component, outcome.node);
    return outcome;
  }

  /** No other node was found: it stays, as what it is asked to be now or as what it was. */
  #remain(instance: WantedInstance, decision: Outcome): Outcome {
    const { id, want } = instance;
    const node = want.before?.spec.node;
    if (want.stayAs === undefined || node === undefined) return this.#stay(instance) ?? decision;
    this.mirror.restore(id);
    return { ...decision, node };
  }

  /** What is asked for now on the node that it has; undefined when that has no room for it. */
  #stay({ id, want, request }: WantedInstance): Outcome | undefined {
    const here = this.#table.facts(want.before?.spec.node ?? "");
    if (here === undefined || firstRejection(request, here, ROOM_FILTERS) !== undefined)
      return undefined;
    const shares = deviceShares(here, request, {
      held: want.before?.spec.devices ?? [],
      values: this.#table.values,
    });
    if (!shares.ok) return undefined;
    const given = shares.devices === undefined ? {} : { devices: shares.devices };
    this.#table.assign(id, here.name, { ...request, ...given });
    return { node: here.name, candidates: [], ...given };
  }

  #misfit({ want, request }: WantedInstance): string | undefined {
    const here = this.#table.facts(want.before?.spec.node ?? "");
    const rejection = here && firstRejection(request, here, ROOM_FILTERS);
    return rejection === undefined ? undefined : `${rejection.filter} (${rejection.reason})`;
  }

  #round(neighbours: Neighbours, batch: OpenBatch): Batch & { readonly queues: QueueOutcome } {
    const { nowMs, instancesMax, outcomes } = batch;
    const table = this.#table;
    const instances = new Map([...this.#pending.instances()].map((i) => [i.id, i]));
    const jobs = this.#pending.jobs({ table, neighbours, running: this.#running, nowMs });
    const { queues, problems } = fleetQueues(
      this.#store.list("Queue"),
      this.#store.list("Fleet"),
      this.#nodes(),
    );
    const reservation = this.#keptReservation();
    const input: RoundInput = {
      queues,
      jobs,
      running: this.#running.all(nowMs),
      budgets: this.#running.budgets(),
      ...(reservation === undefined ? {} : { reservation }),
      nowMs,
      limits: { placementsMax: instancesMax },
    };
    const held = new HeldJobs({
      holds: this.mirror.holds,
      table,
      neighbours,
      running: this.#running,
      instances,
    }).serve(input);
    const placer = new RoundPlacer({ table, neighbours, instances });
    const result = runRound(
      { ...input, jobs: held.jobs, running: held.running },
      {
        engine: table.engine,
        nodes: table.nodes,
        place: (member, trial) => placer.place(member, trial),
      },
    );
    const placed = new Map([
      ...held.decisions,
      ...placer.finish(new Set(result.placements.map((p) => p.memberId))),
    ]);
    const applicationIds = new Set<string>();
    this.#pending.drop(new Set(placed.keys()));
    for (const [id, decision] of placed) {
      outcomes.set(id, decision);
      const instance = instances.get(id);
      if (instance !== undefined) applicationIds.add(applicationIdOf(instance.plan));
    }
    const evictions = this.#carryOutEvictions(result);
    for (const id of evictions.keys()) {
      const assignment = this.mirror.assignments.get(id);
      if (assignment !== undefined) applicationIds.add(applicationIdOfAssignment(assignment));
    }
    this.#explainWaiting(result, { instances, neighbours, batch, held });
    const { shares, waiting } = result;
    const kept = this.#keep(result);
    return {
      outcomes,
      evictions,
      applicationIds,
      isFull: waiting.some((w) => w.reason === "RoundFull"),
      queues: { shares, waiting, problems, ...(kept === undefined ? {} : { reservation: kept }) },
    };
  }

  /** The round has taken the room back already, and given it to others: the table lets go what was there. */
  #carryOutEvictions({ evictions }: RoundResult): ReadonlyMap<string, Evicted> {
    const evicted = new Map<string, Evicted>();
    for (const { id, forJobId, message } of evictions) {
      this.#table.unassign(id, { released: true });
      evicted.set(id, { message, forApplicationId: applicationIdOfJob(forJobId) });
    }
    return evicted;
  }

  /** Why each instance of the plans at hand waits. Those of other Applications were told before. */
  #explainWaiting(
    { waiting }: RoundResult,
    of: {
      readonly instances: ReadonlyMap<string, WantedInstance>;
      readonly neighbours: Neighbours;
      readonly batch: OpenBatch;
      readonly held: HeldRound;
    },
  ): void {
    const { outcomes, fresh } = of.batch;
    const byJob = new Map(waiting.map((w) => [w.jobId, w]));
    const reasons = new WaitingReasons({
      table: this.#table,
      neighbours: of.neighbours,
      running: this.#running,
    });
    for (const instance of of.instances.values()) {
      const { id, plan, component } = instance;
      if (outcomes.has(id) || !fresh.has(plan)) continue;
      const jobId = `${applicationIdOf(plan)}/${component}`;
      const why = of.held.waiting.get(id) ?? byJob.get(jobId);
      // What has no turn yet is made when its turn comes: nothing is known of it that would not be known of any other.
      if (why === undefined || why.reason === "RoundFull") continue;
      const outcome = reasons.of(instance, jobId, why);
      if (outcome !== undefined) outcomes.set(id, outcome);
    }
  }

  #keptReservation(): KeptReservation | undefined {
    if (this.#reservation === undefined) return undefined;
    const { nodes, ...rest } = this.#reservation;
    const indexes = nodes.map((name) => this.#table.nodeIndex(name)).filter((index) => index >= 0);
    return { ...rest, nodes: indexes };
  }

  /** Remembers for whom room is kept; by names, for indexes do not last. */
  #keep({ reservation }: RoundResult): QueueOutcome["reservation"] {
    if (reservation === undefined) {
      this.#reservation = undefined;
      return undefined;
    }
    const { jobId, sinceMs } = reservation;
    const nodeNames = reservation.nodes.map((index) => this.#table.nodeName(index));
    this.#reservation = { jobId, sinceMs, nodes: nodeNames };
    return { ...reservation, nodeNames };
  }

  *#nodes(): Iterable<NodeFacts> {
    for (const name of this.mirror.nodeNames()) {
      const facts = this.#table.facts(name);
      if (facts !== undefined) yield facts;
    }
  }
}

interface OpenBatch {
  readonly nowMs: number;
  readonly instancesMax: number;
  readonly outcomes: Map<string, Outcome>;
  /** Plans whose Applications are about to be committed. */
  readonly fresh: ReadonlySet<Plan>;
}

/** What stands in the way of another spec on the same node. */
const ROOM_FILTERS = ["GpuDevices", "Resources", "Ports"] as const;

function applicationIdOf({ input }: Plan): string {
  const { namespace = "", name } = input.application.metadata;
  return `${namespace}/${name}`;
}
