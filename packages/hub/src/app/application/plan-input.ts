import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import { weightsOf } from "@flotilla/shared/scheduling/weights";
import type { PlanInput } from "../../domain/application/plan.ts";
import { policyOf } from "../../domain/application/policy.ts";
import { fleetFactsOf, membersOf } from "../../domain/fleet/members.ts";
import type { ResourceStore } from "../resources/ports.ts";
import { belongsTo } from "../scheduling/assignment-index.ts";
import type { FleetMirror } from "../scheduling/fleet-mirror.ts";
import type { Scheduler } from "../scheduling/scheduler.ts";

type Application = ObjectOf<"Application">;

interface Sources {
  readonly store: ResourceStore;
  readonly mirror: FleetMirror;
  readonly scheduler: Pick<Scheduler, "roomsOf">;
}

type ReadInput = Omit<PlanInput, "sha256" | "nowIso" | "newUid" | "changesMax">;

/** What the hub knows of everything that one Application is planned from. */
export function planInputOf(application: Application, sources: Sources): ReadInput {
  const { store, mirror, scheduler } = sources;
  const { namespace = "", name } = application.metadata;
  const { schedulingProfile } = application.spec;
  const profile =
    schedulingProfile === undefined
      ? undefined
      : store.get("SchedulingProfile", "", schedulingProfile);
  const fleet = fleetOf(application, sources);
  const policy = policyOf(application, store.list("PropagationPolicy", namespace));
  const assignments = [...mirror.assignments.ofApplication(`${namespace}/${name}`)].filter((a) =>
    belongsTo(a, application.metadata.uid),
  );
  return {
    application,
    assignments,
    releaseOf: (artifact, version) => releaseOf(store, artifact, version),
    runsWith: (component, artifact, version) =>
      assignments.some(
        ({ spec }) =>
          spec.component === component &&
          (spec.desired.artifacts ?? []).some((a) => a.name === artifact && a.version === version),
      ),
    assignmentNamed: (assignment) => store.get("Assignment", namespace, assignment),
    configMapOf: (configMap) => store.get("ConfigMap", namespace, configMap),
    factsOf: (node) => mirror.factsOf(node),
    nodeObjectOf: (node) => mirror.nodeObjectOf(node),
    roomsOf: (request, options) => scheduler.roomsOf(request, options),
    weights: weightsOf(profile?.spec),
    profileFound: schedulingProfile === undefined || profile !== undefined,
    priorityClassExists: (priorityClass) =>
      store.get("PriorityClass", "", priorityClass) !== undefined,
    ...(fleet === undefined ? {} : { fleet }),
    ...(policy === undefined ? {} : { policy: policy.spec }),
  };
}

/** Names alone do not tell: `a-1.0.0` in version 2.0.0 is named like `a` in version 1.0.0-2.0.0. */
function releaseOf(
  store: ResourceStore,
  artifact: string,
  version: string,
): ObjectOf<"Release"> | undefined {
  const release = store.get("Release", "", releaseName(artifact, version));
  return release?.spec.artifact === artifact && release.spec.version === version
    ? release
    : undefined;
}

/** The fleet that the Application names: of its own namespace, else the first of that name. */
function fleetOf({ spec, metadata }: Application, { store, mirror }: Sources): PlanInput["fleet"] {
  if (spec.fleet === undefined) return undefined;
  const { name, namespace } = spec.fleet;
  const fleet =
    store.get("Fleet", namespace ?? metadata.namespace ?? "", name) ??
    (namespace === undefined
      ? store.list("Fleet").find((f) => f.metadata.name === name)
      : undefined);
  const members =
    fleet && membersOf(fleet, mirror.sites, (ns, cluster) => store.get("Cluster", ns, cluster));
  const placement = fleet?.spec.placement;
  return {
    facts: fleetFactsOf(name, members),
    ...(placement === undefined ? {} : { placement }),
  };
}
