import type { ObjectOf } from "@flotilla/shared/model/kinds";

type Assignment = ObjectOf<"Assignment">;

/** `namespace/name`, which tells one object of a namespaced kind from another. */
export function idOf({ metadata }: Pick<Assignment, "metadata">): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

/** `namespace/name` of the Application that an Assignment belongs to. */
export function applicationIdOf({ metadata, spec }: Assignment): string {
  return `${metadata.namespace ?? ""}/${spec.application}`;
}

/**
 * Whether it is of the Application of this uid: its own, or one left behind by an Application of its name that was deleted without it,
 * which it adopts. Names alone do not tell: what a deleted Application still owns stays until it is collected, and an Application of
 * the same name has no say in it.
 */
export function belongsTo({ metadata, spec }: Assignment, applicationUid: string): boolean {
  const isOwned = (metadata.ownerReferences ?? []).some((o) => o.kind === "Application");
  return !isOwned || spec.applicationUid === applicationUid;
}

/** `namespace/name` of the Application of a job: a job is a component, `namespace/application/component`. */
export function applicationIdOfJob(jobId: string): string {
  return jobId.slice(0, jobId.lastIndexOf("/"));
}

/** All Assignments by id, by Application and by node, so that a change of one looks at few. */
export class AssignmentIndex {
  readonly #all = new Map<string, Assignment>();
  readonly #byApplication = new Map<string, Map<string, Assignment>>();
  readonly #byNode = new Map<string, Map<string, Assignment>>();
  #waitingCount = 0;

  /** How many have no node. */
  get waitingCount(): number {
    return this.#waitingCount;
  }

  get(id: string): Assignment | undefined {
    return this.#all.get(id);
  }

  values(): Iterable<Assignment> {
    return this.#all.values();
  }

  ofApplication(applicationId: string): Iterable<Assignment> {
    return this.#byApplication.get(applicationId)?.values() ?? [];
  }

  ofNode(node: string): Iterable<Assignment> {
    return this.#byNode.get(node)?.values() ?? [];
  }

  put(assignment: Assignment): void {
    const id = idOf(assignment);
    this.delete(id);
    this.#all.set(id, assignment);
    add(this.#byApplication, applicationIdOf(assignment), id, assignment);
    if (assignment.spec.node === undefined) this.#waitingCount++;
    else add(this.#byNode, assignment.spec.node, id, assignment);
  }

  delete(id: string): void {
    const before = this.#all.get(id);
    if (before === undefined) return;
    this.#all.delete(id);
    drop(this.#byApplication, applicationIdOf(before), id);
    if (before.spec.node === undefined) this.#waitingCount--;
    else drop(this.#byNode, before.spec.node, id);
  }

  clear(): void {
    this.#all.clear();
    this.#byApplication.clear();
    this.#byNode.clear();
    this.#waitingCount = 0;
  }
}

function add<T>(index: Map<string, Map<string, T>>, key: string, id: string, value: T): void {
  const of = index.get(key) ?? new Map<string, T>();
  of.set(id, value);
  index.set(key, of);
}

function drop<T>(index: Map<string, Map<string, T>>, key: string, id: string): void {
  const of = index.get(key);
  of?.delete(id);
  if (of?.size === 0) index.delete(key);
}
