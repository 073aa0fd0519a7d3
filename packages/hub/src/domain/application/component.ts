import { DNS_SUBDOMAIN_LENGTH_MAX, instanceId, isDnsLabel } from "@flotilla/shared/kernel/ids";
import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredArtifact } from "@flotilla/shared/model/artifact";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Component } from "@flotilla/shared/model/resources/application";
import type { Autoscaling, Placement } from "@flotilla/shared/model/resources/placement";
import type { PropagationPolicySpec } from "@flotilla/shared/model/resources/policy";
import type { Container, PodTemplate, RestartPolicy } from "@flotilla/shared/model/workload";
import {
  type EffectivePlacement,
  effectivePlacement,
} from "@flotilla/shared/scheduling/division/effective-placement";
import type { FleetFacts, PlacementRequest, ReleaseNeeds } from "@flotilla/shared/scheduling/facts";
import { requestsOf } from "../scheduling/requests.ts";
import { needsOf, type PinContext, resolvePins, restartPart } from "./pins.ts";

/** How long a process may take to stop when the spec does not say, seconds (Kubernetes' default). */
export const TERMINATION_GRACE_SECONDS_DEFAULT = 30;
/** How often a failed Job instance is tried again when the spec does not say (Kubernetes' default). */
export const BACKOFF_LIMIT_DEFAULT = 6;
/** Longest value of a label. */
const LABEL_VALUE_LENGTH_MAX = 63;

/** A component of an Application, worked out: what to run, what it asks for, how many. */
export interface ResolvedComponent {
  readonly name: string;
  readonly type: Component["type"];
  /** Deployment: replicas, by the autoscaler where there is one. Job: completions. */
  readonly count: number;
  /** What it is placed and shared out by. */
  readonly effective: EffectivePlacement;
  /** Job only. */
  readonly parallelism: number;
  readonly dependsOn: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly request: PlacementRequest;
  readonly specDigest: string;
  /** Releases that each instance runs with. */
  readonly artifacts: readonly DesiredArtifact[];
  desired(index: number): DesiredInstance;
}

/** Why a component cannot be carried out. What it runs already is left as it is. */
export interface ComponentProblem {
  readonly name: string;
  readonly type: Component["type"];
  readonly count: number;
  readonly problem: string;
  /** Of its pins: whether it will be well by itself. Absent: something else is wrong. */
  readonly waits?: boolean;
}

/** What resolving needs beside the component. */
export interface ComponentContext extends PinContext {
  readonly application: ObjectOf<"Application">;
  readonly fleet?: { readonly facts: FleetFacts; readonly placement?: Placement };
  /** The PropagationPolicy that means this Application. */
  readonly policy?: PropagationPolicySpec;
  readonly configMapOf: (name: string) => ObjectOf<"ConfigMap"> | undefined;
  /** Lower-case hexadecimal SHA-256 of a text. */
  readonly sha256: (text: string) => string;
}

/** Works a component out, ConfigMap values filled in; says what stands in the way otherwise. */
export function resolveComponent(
  component: Component,
  context: ComponentContext,
): ResolvedComponent | ComponentProblem {
  const { name, type } = component;
  const effective = effectivePlacement(context.policy, context.fleet?.placement, component);
  const count = replicasOf(component, effective.autoscaling, context.application.status);
  const template = component.template.spec.template;
  const containers = resolveContainers(template.spec.containers, context.configMapOf);
  const problem =
    nameProblem(component, context.application) ??
    dependencyProblem(component, context.application.spec.components) ??
    (typeof containers === "string" ? containers : undefined);
  if (problem !== undefined || typeof containers === "string")
    return { name, type, count, problem: problem ?? "" };
  const pins = resolvePins(component, context);
  if ("problem" in pins) return { name, type, count, ...pins };
  const { artifacts, needs } = pins;
  const restartPolicy = restartPolicyOf(template, type);
  const specDigest = context.sha256(
    canonicalJson({
      containers,
      restartPolicy,
      // Also when all of them are reloaded live: the first one is found by an environment variable.
      ...(artifacts.length === 0 ? {} : { artifacts: restartPart(artifacts) }),
    }),
  );
  const scrape = scrapeOf(effective);
  const base = {
    ...baseOf(component, { restartPolicy, specDigest, containers }),
    ...(scrape === undefined ? {} : { scrape }),
    ...(artifacts.length === 0 ? {} : { artifacts: [...artifacts] }),
  };
  const { namespace = "", name: application } = context.application.metadata;
  return {
    name,
    type,
    count,
    effective,
    parallelism: component.type === "Job" ? (component.template.spec.parallelism ?? 1) : count,
    dependsOn: component.dependsOn ?? [],
    labels: labelsOf(component, application),
    request: requestOf(component, containers, { effective, fleet: context.fleet, needs }),
    specDigest,
    artifacts,
    desired: (index) => ({
      ...base,
      id: instanceId({ namespace, application, component: name, index }),
      namespace,
      application,
      index,
    }),
  };
}

/**
 * The component as this instance of it was last asked to be: by this it is moved while what the component asks for now cannot be
 * carried out. Where it may go is what is said now.
 */
export function componentAsBefore(
  component: Component,
  { spec: { desired: before } }: Pick<ObjectOf<"Assignment">, "spec">,
  context: ComponentContext,
): ResolvedComponent {
  const { devices: _devices, ...desired } = before;
  const { artifacts = [], containers, specDigest } = desired;
  const effective = effectivePlacement(context.policy, context.fleet?.placement, component);
  const needs = artifacts.flatMap((a) => {
    const release = context.releaseOf(a.name, a.version);
    return (release && needsOf(release)) ?? [];
  });
  const count = replicasOf(component, effective.autoscaling, context.application.status);
  return {
    name: component.name,
    type: component.type,
    count,
    effective,
    parallelism: count,
    dependsOn: [],
    labels: labelsOf(component, context.application.metadata.name),
    request: requestOf(component, containers, { effective, fleet: context.fleet, needs }),
    specDigest,
    artifacts,
    desired: () => desired,
  };
}

/** What the autoscaler last found, within its bounds; 0 in the spec turns it off. */
export function replicasOf(
  component: Component,
  autoscaling: Autoscaling | undefined,
  status: ObjectOf<"Application">["status"],
): number {
  if (component.type === "Job") return component.template.spec.completions ?? 1;
  const replicas = component.template.spec.replicas ?? 1;
  if (autoscaling === undefined || replicas === 0) return replicas;
  const found = status?.autoscaling?.find((a) => a.component === component.name);
  const { minReplicas, maxReplicas } = autoscaling;
  return Math.min(maxReplicas, Math.max(minReplicas, found?.desiredReplicas ?? replicas));
}

/** True for a component that can be carried out. */
export function isResolved(c: ResolvedComponent | ComponentProblem): c is ResolvedComponent {
  return "request" in c;
}

/** Name of the Assignment of one instance. */
export function assignmentName(application: string, component: string, index: number): string {
  return `${application}-${component}-${index}`;
}

/** What of a DesiredInstance is the same for every index. */
function baseOf(
  component: Component,
  pod: {
    readonly restartPolicy: RestartPolicy;
    readonly specDigest: string;
    readonly containers: readonly Container[];
  },
): Omit<DesiredInstance, "id" | "namespace" | "application" | "index"> {
  const { spec } = component.template.spec.template;
  const job = component.type === "Job" ? component.template.spec : undefined;
  return {
    component: component.name,
    kind: component.type,
    specDigest: pod.specDigest,
    runtime: "process",
    restartPolicy: pod.restartPolicy,
    backoffLimit: job === undefined ? 0 : (job.backoffLimit ?? BACKOFF_LIMIT_DEFAULT),
    ...(job?.activeDeadlineSeconds === undefined
      ? {}
      : { activeDeadlineSeconds: job.activeDeadlineSeconds }),
    terminationGracePeriodSeconds:
      spec.terminationGracePeriodSeconds ?? TERMINATION_GRACE_SECONDS_DEFAULT,
    containers: [...pod.containers],
  };
}

/** What the autoscaler wants to know of each instance beside its CPU. */
function scrapeOf({ autoscaling }: EffectivePlacement): DesiredInstance["scrape"] {
  const names = (autoscaling?.metrics ?? []).flatMap((m) => m.pods?.metric.name ?? []);
  const endpoint = autoscaling?.endpoint;
  if (endpoint === undefined || names.length === 0) return undefined;
  return { port: endpoint.port, path: endpoint.path ?? "/metrics", names: [...new Set(names)] };
}

/** A Job that would always be restarted never ends: Always counts as OnFailure there. */
function restartPolicyOf(template: PodTemplate, type: Component["type"]): RestartPolicy {
  const said = template.spec.restartPolicy ?? template.restartPolicy;
  if (type === "Deployment") return said ?? "Always";
  return said === undefined || said === "Always" ? "OnFailure" : said;
}

function requestOf(
  component: Component,
  containers: readonly Container[],
  {
    effective: { placements },
    fleet,
    needs,
  }: {
    readonly effective: EffectivePlacement;
    readonly fleet: ComponentContext["fleet"] | undefined;
    readonly needs: readonly ReleaseNeeds[];
  },
): PlacementRequest {
  const { spec } = component.template.spec.template;
  return {
    kind: component.type,
    ...requestsOf(containers, placements),
    placements,
    nodeSelector: spec.nodeSelector === undefined ? {} : { matchLabels: spec.nodeSelector },
    ...(spec.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
    tolerations: spec.tolerations ?? [],
    ...(component.scheduling?.spot === true ? { spot: true } : {}),
    ...(fleet === undefined ? {} : { fleet: fleet.facts }),
    ...(needs.length === 0 ? {} : { releases: needs }),
  };
}

/** The template's own labels under ours. A name that is too long for a label value is left out. */
function labelsOf(component: Component, application: string): Readonly<Record<string, string>> {
  const ours = Object.entries({
    "apps.kurator.dev/application": application,
    "apps.kurator.dev/component": component.name,
  }).filter(([, value]) => value.length <= LABEL_VALUE_LENGTH_MAX);
  return { ...component.template.spec.template.metadata?.labels, ...Object.fromEntries(ours) };
}

function nameProblem(
  { name }: Component,
  { metadata, spec }: ObjectOf<"Application">,
): string | undefined {
  if (!isDnsLabel(name))
    return `component name ${JSON.stringify(name)} is no DNS label; use lower-case letters, digits and inner hyphens`;
  if (!isDnsLabel(metadata.name))
    return `application name ${metadata.name} is no DNS label of at most 63 characters; rename it`;
  if (spec.components.filter((c) => c.name === name).length > 1)
    return `component name ${name} is used twice; rename one`;
  return assignmentName(metadata.name, name, 99_999).length > DNS_SUBDOMAIN_LENGTH_MAX
    ? "application and component name are too long together"
    : undefined;
}

function dependencyProblem(
  component: Component,
  components: readonly Component[],
): string | undefined {
  const byName = new Map(components.map((c) => [c.name, c]));
  const unknown = (component.dependsOn ?? []).find((d) => !byName.has(d));
  if (unknown !== undefined) return `dependsOn names ${unknown}, which is no component`;
  const seen = new Set<string>();
  const open = [...(component.dependsOn ?? [])];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next === component.name) return `dependsOn leads back to ${component.name}`;
    if (seen.has(next)) continue;
    seen.add(next);
    open.push(...(byName.get(next)?.dependsOn ?? []));
  }
  return undefined;
}

/** Containers with the values of ConfigMaps filled in, or what is missing. Secrets are filled in per node, at signing. */
function resolveContainers(
  containers: readonly Container[],
  configMapOf: ComponentContext["configMapOf"],
): readonly Container[] | string {
  const resolved: Container[] = [];
  for (const container of containers) {
    const env: NonNullable<Container["env"]> = [];
    for (const variable of container.env ?? []) {
      const ref = variable.valueFrom?.configMapKeyRef;
      const value = ref === undefined ? undefined : configMapOf(ref.name)?.data?.[ref.key];
      if (ref === undefined) env.push(variable);
      else if (value !== undefined) env.push({ name: variable.name, value });
      else if (ref.optional !== true)
        return `env ${variable.name} of container ${container.name}: ConfigMap ${ref.name} has no key ${ref.key}; add it, or mark the reference optional`;
    }
    resolved.push(container.env === undefined ? container : { ...container, env });
  }
  return resolved;
}
