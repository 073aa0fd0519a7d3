import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { Delivery, PrestagedRelease } from "@flotilla/shared/model/artifact";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ProbePlan } from "@flotilla/shared/model/measures";
import type { Container, EnvVar } from "@flotilla/shared/model/workload";

/** Most instances of one node (schema of DesiredState). */
export const DESIRED_INSTANCES_MAX = 1_000;

/** Finds a Secret; reads only. */
export type SecretLookup = (namespace: string, name: string) => ObjectOf<"Secret"> | undefined;

/** An instance that cannot be sent as it is. */
export interface HeldBack {
  readonly assignment: ObjectOf<"Assignment">;
  readonly reason: "SecretKeyMissing" | "EnvUnresolved" | "DuplicateInstance";
  readonly message: string;
}

export interface Compiled {
  /** Sorted by id in code unit order. */
  readonly instances: readonly DesiredInstance[];
  readonly heldBack: readonly HeldBack[];
}

/**
 * What the hub wants on one node: the instances of its assignments, with the values of Secrets filled in here, so that a
 * secret stands in no Assignment. An instance whose Secret is missing is held back: what runs already goes on as it was
 * last signed (`previous`, asked for only then), what does not run is not started.
 */
export function compileDesired(
  nodeId: string,
  assignments: readonly ObjectOf<"Assignment">[],
  secretOf: SecretLookup,
  previous: () => readonly DesiredInstance[],
): Compiled {
  const instances = new Map<string, DesiredInstance>();
  const heldBack: HeldBack[] = [];
  let before: readonly DesiredInstance[] | undefined;
  for (const assignment of assignments) {
    if (assignment.spec.node !== nodeId || assignment.metadata.deletionTimestamp !== undefined)
      continue;
    const { desired } = assignment.spec;
    const resolved = instances.has(desired.id)
      ? problem("DuplicateInstance", `another assignment of this node already has ${desired.id}`)
      : resolveInstance(desired, secretOf);
    if (resolved.ok) {
      instances.set(desired.id, resolved.value);
      continue;
    }
    heldBack.push({ assignment, reason: resolved.reason, message: resolved.message });
    before ??= previous();
    const running = before.find((i) => i.id === desired.id && i.specDigest === desired.specDigest);
    if (running !== undefined && !instances.has(desired.id)) instances.set(desired.id, running);
  }
  const sorted = [...instances.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return { instances: sorted, heldBack };
}

/** What a node is to have beside its instances. */
export interface DesiredExtras {
  readonly probe?: ProbePlan;
  readonly artifacts?: NodeArtifactParts;
}

/** What a node is told of artifacts beside those of its instances. */
export interface NodeArtifactParts {
  /** Absent: nobody knows where bytes come from. */
  readonly delivery?: Delivery;
  readonly prestage: readonly PrestagedRelease[];
}

/** What a node is to have, as canonical JSON: written once, for its digest and for what is signed. */
export interface DesiredTexts {
  readonly instances: string;
  readonly probe?: string;
  readonly delivery?: string;
  readonly prestage?: string;
}

/** Writes what a node is to have. How bytes come is said only to a node that is to have artifacts. */
export function desiredTexts(
  instances: readonly DesiredInstance[],
  { probe, artifacts }: DesiredExtras = {},
): DesiredTexts {
  const { delivery, prestage = [] } = artifacts ?? {};
  const namesArtifacts = prestage.length > 0 || instances.some((i) => i.artifacts !== undefined);
  return {
    instances: canonicalJson(instances),
    ...(probe === undefined ? {} : { probe: canonicalJson(probe) }),
    ...(delivery === undefined || !namesArtifacts ? {} : { delivery: canonicalJson(delivery) }),
    ...(prestage.length === 0 ? {} : { prestage: canonicalJson(prestage) }),
  };
}

/** One text per content: equal texts need no new revision. */
export function desiredContent(texts: DesiredTexts): string {
  const { instances, probe, delivery, prestage } = texts;
  if (probe === undefined && delivery === undefined && prestage === undefined) return instances;
  return objectText({ delivery, instances, prestage, probe });
}

/** An object of texts that are JSON already; its keys in the order given. */
function objectText(members: Readonly<Record<string, string | undefined>>): string {
  const said = Object.entries(members).filter(([, text]) => text !== undefined);
  return `{${said.map(([key, text]) => `"${key}":${text}`).join(",")}}`;
}

/** The text that is signed and sent: the canonical JSON of a DesiredState. */
export function desiredPayload(
  state: { readonly nodeId: string; readonly revision: number; readonly issuedAt: string },
  { instances, probe, delivery, prestage }: DesiredTexts,
): string {
  return objectText({
    delivery,
    instances,
    issuedAt: canonicalJson(state.issuedAt),
    nodeId: canonicalJson(state.nodeId),
    prestage,
    probe,
    revision: canonicalJson(state.revision),
  });
}

/** Names of the Secrets that the instances of an assignment read, in the instance's namespace. */
export function secretsOf(assignment: ObjectOf<"Assignment">): ReadonlySet<string> {
  const names = assignment.spec.desired.containers.flatMap((c) =>
    (c.env ?? []).flatMap((v) => v.valueFrom?.secretKeyRef?.name ?? []),
  );
  return new Set(names);
}

type Resolved<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: HeldBack["reason"]; readonly message: string };

function resolveInstance(
  desired: DesiredInstance,
  secretOf: SecretLookup,
): Resolved<DesiredInstance> {
  if (!desired.containers.some(hasReference)) return { ok: true, value: desired };
  const containers: Container[] = [];
  for (const container of desired.containers) {
    const { env, ...rest } = container;
    const resolved = resolveEnv(env ?? [], (name) => secretOf(desired.namespace, name));
    if (!resolved.ok) return resolved;
    containers.push(env === undefined ? rest : { ...rest, env: [...resolved.value] });
  }
  return { ok: true, value: { ...desired, containers } };
}

function hasReference({ env }: Container): boolean {
  return env?.some((variable) => variable.valueFrom !== undefined) === true;
}

function resolveEnv(
  env: readonly EnvVar[],
  secretOf: (name: string) => ObjectOf<"Secret"> | undefined,
): Resolved<readonly EnvVar[]> {
  const values: EnvVar[] = [];
  for (const variable of env) {
    const { name, valueFrom } = variable;
    if (valueFrom === undefined) {
      values.push(variable);
      continue;
    }
    const ref = valueFrom.secretKeyRef;
    if (ref === undefined)
      return problem("EnvUnresolved", `env ${name}: no value and no secretKeyRef to take it from`);
    const value = decodeBase64(secretOf(ref.name)?.data?.[ref.key]);
    if (value !== undefined) values.push({ name, value });
    else if (ref.optional !== true)
      return problem(
        "SecretKeyMissing",
        `env ${name}: Secret ${ref.name} has no readable key ${ref.key}; add it, or mark the reference optional`,
      );
  }
  return { ok: true, value: values };
}

function problem(reason: HeldBack["reason"], message: string) {
  return { ok: false, reason, message } as const;
}

/** Text of a Secret's value; undefined when it is not base64 of UTF-8. */
function decodeBase64(base64: string | undefined): string | undefined {
  if (base64 === undefined) return undefined;
  try {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
