import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ProbePlan } from "@flotilla/shared/model/measures";
import { type ProbeTimes, probePlanOf, probeTimes } from "../../domain/measures/probe-plan.ts";
import type { AnyObject, LogEntry, ResourceStore } from "../resources/ports.ts";

/**
 * Who probes what, kept up to date from the store's log: of each site the ready node that is first by name. Tells its
 * listener the nodes whose plan has changed.
 */
export class ProbePlans {
  readonly #store: ResourceStore;
  /** Site → its ready nodes. */
  readonly #ready = new Map<string, Set<string>>();
  readonly #proberOf = new Map<string, string>();
  #targets: readonly ObjectOf<"Site">[] = [];
  #times: ProbeTimes | undefined;
  #listener: (nodes: readonly string[]) => void = () => {};

  constructor(deps: { readonly store: ResourceStore }) {
    this.#store = deps.store;
    for (const node of deps.store.list("EdgeNode")) this.#putNode(node);
    for (const site of this.#ready.keys()) this.#elect(site);
    this.#readTargets();
    deps.store.subscribe((entries) => {
      for (const entry of entries) this.#follow(entry);
    });
  }

  /** What the node is to probe; undefined when it is no prober, or there is nothing to probe. */
  planOf(nodeId: string): ProbePlan | undefined {
    if (this.#targets.length === 0) return undefined;
    const site = this.#store.get("EdgeNode", "", nodeId)?.spec.site ?? "";
    return this.#proberOf.get(site) === nodeId
      ? probePlanOf(site, this.#targets, this.#times)
      : undefined;
  }

  /** One listener: who compiles desired states. */
  onChange(listener: (nodes: readonly string[]) => void): void {
    this.#listener = listener;
  }

  #follow({ key, object, previous, type }: LogEntry): void {
    if (key.kind === "EdgeNode") {
      const after = type === "DELETED" ? undefined : object;
      if (!isSameNode(previous, after)) this.#tell(this.#followNode(previous, after));
    } else if (key.kind === "Site" || key.kind === "NetworkOptimizationPolicy") {
      if (type === "MODIFIED" && jsonEqual(specOf(object), specOf(previous))) return;
      this.#readTargets();
      this.#tell([...this.#proberOf.values()]);
    }
  }

  /** Nodes that have become prober of their site, or are it no more. */
  #followNode(before: AnyObject | undefined, after: AnyObject | undefined): readonly string[] {
    const sites = new Set<string>();
    if (isNode(before)) {
      this.#ready.get(before.spec.site)?.delete(before.metadata.name);
      sites.add(before.spec.site);
    }
    if (isNode(after)) {
      this.#putNode(after);
      sites.add(after.spec.site);
    }
    return [...sites].flatMap((site) => this.#elect(site));
  }

  #tell(nodes: readonly string[]): void {
    this.#listener(nodes);
  }

  #readTargets(): void {
    this.#targets = this.#store.list("Site").filter(({ spec }) => spec.probe !== undefined);
    this.#times = probeTimes(this.#store.list("NetworkOptimizationPolicy"));
  }

  #putNode({ metadata, spec, status }: ObjectOf<"EdgeNode">): void {
    if (status?.life !== "ready" || spec.revoked === true) return;
    const ready = this.#ready.get(spec.site) ?? new Set<string>();
    this.#ready.set(spec.site, ready.add(metadata.name));
  }

  /** The node that was prober and the one that is it now; none when it stays. */
  #elect(site: string): readonly string[] {
    const before = this.#proberOf.get(site);
    const after = first(this.#ready.get(site) ?? []);
    if (after === before) return [];
    if (after === undefined) this.#proberOf.delete(site);
    else this.#proberOf.set(site, after);
    return [before, after].filter((name) => name !== undefined);
  }
}

function first(names: Iterable<string>): string | undefined {
  let least: string | undefined;
  for (const name of names) if (least === undefined || name < least) least = name;
  return least;
}

function isNode(object: AnyObject | undefined): object is ObjectOf<"EdgeNode"> {
  return object?.kind === "EdgeNode";
}

/** True when nothing of it was changed that makes a prober. */
function isSameNode(a: AnyObject | undefined, b: AnyObject | undefined): boolean {
  if (!isNode(a) || !isNode(b)) return false;
  return (
    a.status?.life === b.status?.life &&
    a.spec.site === b.spec.site &&
    a.spec.revoked === b.spec.revoked
  );
}

function specOf(object: AnyObject | undefined): unknown {
  return object !== undefined && "spec" in object ? object.spec : undefined;
}
