import { AssertionError } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { hasCode, messageOf } from "@flotilla/shared/kernel/errors";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import { type Random, uuid } from "@flotilla/shared/kernel/random";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import type { NodeFacts } from "@flotilla/shared/scheduling/facts";
import { weightsOf } from "@flotilla/shared/scheduling/weights";
import { type Plan, type PlanInput, planApplication } from "../../domain/application/plan.ts";
import { fleetFactsOf, membersOf } from "../../domain/fleet/members.ts";
import { drainedNode } from "../../domain/scheduling/drain.ts";
import { snapshotOf } from "../../domain/scheduling/snapshot.ts";
import { changeOf } from "../control/change.ts";
import { PassLoop } from "../control/pass-loop.ts";
import { concerns } from "../control/relevance.ts";
import type { Sha256 } from "../desired/ports.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { Change, ResourceStore, StoreErrorCode } from "../resources/ports.ts";

/** Most changed assignments of one plan, so that planning (1 ms a decision on 1,000 nodes) holds up nothing else for long. */
export const PLAN_CHANGES_MAX = 200;
/** How often one Application is decided anew within a pass because something it was decided from had moved. */
const CONFLICTS_MAX = 10;

/** What placement is made from. */
const KINDS_SEEN: readonly KindName[] = [
  "Application",
  "Assignment",
  "EdgeNode",
  "Site",
  "Fleet",
  "Cluster",
  "SchedulingProfile",
  "ConfigMap",
];

/**
 * Turns Applications into Assignments. One pass at a time looks at everything, decides with the pure planner and commits
 * each Application's changes at once, together with its status. It alone gives room away, one commit after the other, so
 * no node is ever promised more than it has.
 */
export class ApplicationController implements Service {
  readonly name = "application";
  readonly #changesMax: number;
  readonly #deps: ApplicationDeps;
  readonly #loop: PassLoop;

  constructor(
    options: {
      readonly resyncMs?: number;
      readonly coalesceMs?: number;
      readonly changesMax?: number;
    },
    deps: ApplicationDeps,
  ) {
    this.#changesMax = options.changesMax ?? PLAN_CHANGES_MAX;
    this.#deps = deps;
    this.#loop = new PassLoop(
      { ...options, name: this.name },
      {
        store: deps.store,
        clock: deps.clock,
        metrics: deps.metrics,
        isRelevant: (entry) => concerns(entry, KINDS_SEEN),
        pass: (signal) => this.pass(signal),
      },
    );
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#loop.run(signal);
  }

  /** One look at everything. Rejects when the store fails; the next pass takes up where it ended. */
  async pass(signal?: AbortSignal): Promise<void> {
    const { store } = this.#deps;
    let view = this.#read();
    for (const { metadata } of store.list("Application")) {
      if (signal?.aborted === true) return;
      for (let attempt = 0; attempt < CONFLICTS_MAX; attempt++) {
        const application = store.get("Application", metadata.namespace ?? "", metadata.name);
        if (application === undefined) break;
        const nodes = await this.#reconcile(application, view);
        if (nodes !== undefined) {
          view = { ...view, nodes };
          break;
        }
        this.#deps.metrics.count("flotilla_hub_pass_conflicts_total", { controller: this.name });
        view = this.#read();
      }
    }
    await this.#markDrained();
    const waiting = store.list("Assignment").filter((a) => a.spec.node === undefined).length;
    this.#deps.metrics.set("flotilla_hub_instances_unplaced", waiting);
  }

  /** Plans and commits one Application. The nodes as they are afterwards; undefined when something had moved. */
  async #reconcile(
    application: ObjectOf<"Application">,
    view: View,
  ): Promise<ReadonlyMap<string, NodeFacts> | undefined> {
    // One that is going away is left to the collector.
    if (application.metadata.deletionTimestamp !== undefined) return view.nodes;
    try {
      const plan = this.#plan(application, view);
      const changes = changesOf(application, plan);
      if (changes.length === 0) return plan.nodes;
      const result = await this.#deps.store.commit({ changes });
      if (!result.ok) return undefined;
      this.#tell(application, plan);
      return plan.nodes;
    } catch (error) {
      if (!isOfOneApplication(error)) throw error;
      this.#tellFailed(application, error);
      return view.nodes;
    }
  }

  /** Throws PlanError. */
  #plan(application: ObjectOf<"Application">, view: View): Plan {
    try {
      return planApplication(this.#inputOf(application, view));
    } catch (cause) {
      // A bug that was held impossible ends the process; anything else is kept to the Application that it shows in.
      throw cause instanceof AssertionError ? cause : new PlanError(messageOf(cause), { cause });
    }
  }

  #inputOf(application: ObjectOf<"Application">, view: View): PlanInput {
    const { store, sha256, random, clock } = this.#deps;
    const { namespace = "" } = application.metadata;
    const { schedulingProfile } = application.spec;
    const profile =
      schedulingProfile === undefined
        ? undefined
        : store.get("SchedulingProfile", "", schedulingProfile);
    const fleet = this.#fleetOf(application, view);
    return {
      application,
      assignments: [
        ...(view.assignments.get(application.metadata.uid) ?? []),
        ...(view.orphans.get(`${namespace}/${application.metadata.name}`) ?? []),
      ],
      assignmentNamed: (name) => store.get("Assignment", namespace, name),
      configMapOf: (name) => store.get("ConfigMap", namespace, name),
      nodes: view.nodes,
      nodeObjects: view.nodeObjects,
      weights: weightsOf(profile?.spec),
      profileFound: schedulingProfile === undefined || profile !== undefined,
      ...(fleet === undefined ? {} : { fleet }),
      sha256,
      nowIso: isoTime(clock.wallMs()),
      newUid: () => uuid(random, "assignment.uid"),
      changesMax: this.#changesMax,
    };
  }

  /** The fleet that the Application names: of its own namespace, else the first of that name. */
  #fleetOf({ spec, metadata }: ObjectOf<"Application">, view: View): PlanInput["fleet"] {
    const { store } = this.#deps;
    if (spec.fleet === undefined) return undefined;
    const { name, namespace } = spec.fleet;
    const fleet =
      store.get("Fleet", namespace ?? metadata.namespace ?? "", name) ??
      (namespace === undefined
        ? store.list("Fleet").find((f) => f.metadata.name === name)
        : undefined);
    const members =
      fleet && membersOf(fleet, view.sites, (ns, cluster) => store.get("Cluster", ns, cluster));
    const placement = fleet?.spec.placement;
    return {
      facts: fleetFactsOf(name, members),
      ...(placement === undefined ? {} : { placement }),
    };
  }

  #read(): View {
    const { store } = this.#deps;
    const nodes = store.list("EdgeNode");
    const sites = store.list("Site");
    const assignments = store.list("Assignment");
    return {
      nodes: snapshotOf({ nodes, sites, assignments }),
      nodeObjects: new Map(nodes.map((n) => [n.metadata.name, n])),
      sites: new Map(sites.map((s) => [s.metadata.name, s])),
      assignments: Map.groupBy(assignments.filter(isOwned), (a) => a.spec.applicationUid),
      orphans: Map.groupBy(
        assignments.filter((a) => !isOwned(a)),
        (a) => `${a.metadata.namespace ?? ""}/${a.spec.application}`,
      ),
    };
  }

  #tell(application: ObjectOf<"Application">, plan: Plan): void {
    const { events, log, metrics } = this.#deps;
    for (const { about, type, reason, message } of plan.happenings) {
      const subject = about === "application" ? application : about;
      events.record({ about: subject, type, reason, message });
      log.info({ name: subject.metadata.name, reason, message }, "placement");
      const outcome = OUTCOMES[reason];
      if (outcome !== undefined) metrics.count("flotilla_hub_placements_total", { outcome });
    }
  }

  /** It is tried again by each pass: what makes it fail may be in any object that it is planned from. */
  #tellFailed(application: ObjectOf<"Application">, error: Error): void {
    const { events, log } = this.#deps;
    const { namespace, name } = application.metadata;
    log.error({ namespace, name, err: error }, "an application could not be reconciled");
    events.record({
      about: application,
      type: "Warning",
      reason: "ReconcileFailed",
      message: `nothing of it was changed: ${error.message}`,
    });
  }

  /** Says of every node that is to be drained whether it is empty. A conflict is left to the pass that it causes. */
  async #markDrained(): Promise<void> {
    const { store, clock, events } = this.#deps;
    const byNode = Map.groupBy(store.list("Assignment"), (a) => a.spec.node);
    for (const node of store.list("EdgeNode")) {
      const held = byNode.get(node.metadata.name) ?? [];
      const after = drainedNode(node, held, isoTime(clock.wallMs()));
      if (after === undefined) continue;
      const result = await store.commit({ changes: [changeOf(node, after)] });
      const drained = after.status?.conditions?.find((c) => c.type === "Drained");
      if (result.ok && drained?.status === "True")
        events.record({
          about: node,
          type: "Normal",
          reason: "Drained",
          message: "nothing is left",
        });
    }
  }
}

/** What of the planner's happenings is counted. */
const OUTCOMES: Readonly<Record<string, string>> = {
  Scheduled: "placed",
  Moved: "moved",
  FailedScheduling: "unplaced",
};

/** Planning one Application failed. */
class PlanError extends Error {
  override readonly name = "PlanError";
}

/** Whether only this Application is to blame: the others are then reconciled all the same. */
function isOfOneApplication(error: unknown): error is Error {
  return error instanceof PlanError || hasCode<StoreErrorCode>(error, "object-too-large");
}

/** All changes of a plan, its status among them; none when everything is as planned. */
function changesOf(application: ObjectOf<"Application">, plan: Plan): readonly Change[] {
  const after = { ...application, status: { ...application.status, ...plan.status } };
  if (plan.changes.length === 0 && jsonEqual(application, after)) return [];
  return [changeOf(application, after), ...plan.changes.map((c) => changeOf(c.before, c.after))];
}

interface View {
  readonly nodes: ReadonlyMap<string, NodeFacts>;
  readonly nodeObjects: ReadonlyMap<string, ObjectOf<"EdgeNode">>;
  readonly sites: ReadonlyMap<string, ObjectOf<"Site">>;
  /** By the Application's uid. */
  readonly assignments: ReadonlyMap<string, readonly ObjectOf<"Assignment">[]>;
  /** Left behind by an Application that was deleted without them; by `namespace/application`, which adopts them. */
  readonly orphans: ReadonlyMap<string, readonly ObjectOf<"Assignment">[]>;
}

function isOwned(assignment: ObjectOf<"Assignment">): boolean {
  return (assignment.metadata.ownerReferences ?? []).some((o) => o.kind === "Application");
}

interface ApplicationDeps {
  readonly store: ResourceStore;
  readonly events: Pick<EventRecorder, "record">;
  readonly sha256: Sha256;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}
