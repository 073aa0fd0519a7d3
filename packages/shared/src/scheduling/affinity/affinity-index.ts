import type { AffinityTerm, WorkloadAffinity } from "../../model/resources/placement.ts";
import { matchesSelector } from "../../model/selectors.ts";
import type { Adjustment, ByDomain, RequiredDomains } from "../adjustment.ts";

/** Affinities between workloads, as Kubernetes' inter-pod affinity: what runs where decides for those that come. */

/** A kind of instance: all instances of one component with the same labels are alike to every term. */
export interface WorkloadIdentity {
  readonly namespace: string;
  readonly application: string;
  readonly component: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A kind of instance with what it wants to be near to, or away from. All of the lists count together. */
export interface Workload extends WorkloadIdentity {
  readonly affinities: readonly WorkloadAffinity[];
  readonly antiAffinities: readonly WorkloadAffinity[];
}

/** Where sites are; a site whose region is not known is a region of its own. */
export type RegionOf = (site: string) => string | undefined;

/** Where one kind of instance runs. */
interface Group {
  readonly workload: Workload;
  readonly byNode: Map<string, { readonly site: string; count: number }>;
}

/** What runs where, ready for the question where a newcomer may go. One entry per kind of instance, not per instance. */
export class AffinityIndex {
  readonly #regionOf: RegionOf;
  /** Sites that exist, for terms of a region. */
  readonly #sites: readonly string[];
  readonly #groups = new Map<string, Group>();

  constructor(options: { readonly sites: readonly string[]; readonly regionOf: RegionOf }) {
    this.#sites = options.sites;
    this.#regionOf = options.regionOf;
  }

  /** Counts one instance on this node. `key` names its kind: the same for the same workload. */
  add(
    key: string,
    workload: Workload,
    spot: { readonly node: string; readonly site: string },
  ): void {
    const group = this.#groups.get(key) ?? { workload, byNode: new Map() };
    this.#groups.set(key, group);
    const there = group.byNode.get(spot.node);
    if (there === undefined) group.byNode.set(spot.node, { site: spot.site, count: 1 });
    else there.count++;
  }

  /** Takes one away again. */
  remove(key: string, node: string): void {
    const group = this.#groups.get(key);
    const there = group?.byNode.get(node);
    if (group === undefined || there === undefined) return;
    there.count--;
    if (there.count === 0) group.byNode.delete(node);
    if (group.byNode.size === 0) this.#groups.delete(key);
  }

  /**
   * Where a newcomer may, must and would rather go. Required anti-affinity counts in both directions: an instance that
   * runs keeps off whom it must be away from. A required affinity that nothing satisfies yet, but that the newcomer itself
   * matches, is met everywhere, or its first instance could never start.
   */
  adjustmentFor(newcomer: Workload): Pick<Adjustment, "required" | "barred" | "preferred"> {
    const required = newcomer.affinities.flatMap((a) =>
      (a.required ?? []).flatMap((term) => this.#required(newcomer, term)),
    );
    const barred = this.#barred(newcomer);
    const preferred = this.#preferred(newcomer);
    return {
      ...(required.length === 0 ? {} : { required }),
      ...(barred === undefined ? {} : { barred }),
      ...(preferred === undefined ? {} : { preferred }),
    };
  }

  #required(newcomer: Workload, term: AffinityTerm): readonly RequiredDomains[] {
    const domains = this.#domainsOf(newcomer, term);
    const isEmpty = domains.nodes.size === 0 && domains.sites.size === 0;
    if (isEmpty && matches(newcomer, term, newcomer)) return [];
    return [{ ...domains, reason: `asks for ${termText(term)} on the same ${term.topologyKey}` }];
  }

  #barred(newcomer: Workload): ByDomain<string> | undefined {
    const barred = { sites: new Map<string, string>(), nodes: new Map<string, string>() };
    const bar = (domains: Domains, reason: string): void => {
      for (const node of domains.nodes) if (!barred.nodes.has(node)) barred.nodes.set(node, reason);
      for (const site of domains.sites) if (!barred.sites.has(site)) barred.sites.set(site, reason);
    };
    for (const { required = [] } of newcomer.antiAffinities)
      for (const term of required)
        bar(
          this.#domainsOf(newcomer, term),
          `wants to be away from ${termText(term)}, which runs on this ${term.topologyKey}`,
        );
    for (const group of this.#groups.values()) {
      const terms = group.workload.antiAffinities.flatMap((a) => a.required ?? []);
      for (const term of terms.filter((t) => matches(group.workload, t, newcomer)))
        bar(
          this.#spread(group, term.topologyKey),
          `${nameOf(group.workload)} runs on this ${term.topologyKey} and wants to be away from it`,
        );
    }
    return barred.sites.size + barred.nodes.size === 0 ? undefined : barred;
  }

  #preferred(newcomer: Workload): ByDomain<number> | undefined {
    const terms = [
      ...newcomer.affinities.flatMap((a) => (a.preferred ?? []).map((term) => ({ term, sign: 1 }))),
      ...newcomer.antiAffinities.flatMap((a) =>
        (a.preferred ?? []).map((term) => ({ term, sign: -1 })),
      ),
    ];
    const total = terms.reduce((sum, { term }) => sum + term.weight, 0);
    if (!(total > 0)) return undefined;
    const preferred = { sites: new Map<string, number>(), nodes: new Map<string, number>() };
    const add = (to: Map<string, number>, names: ReadonlySet<string>, value: number): void => {
      for (const name of names) to.set(name, (to.get(name) ?? 0) + value);
    };
    for (const { term, sign } of terms) {
      const { nodes, sites } = this.#domainsOf(newcomer, term);
      add(preferred.nodes, nodes, (sign * term.weight) / total);
      add(preferred.sites, sites, (sign * term.weight) / total);
    }
    return preferred.sites.size + preferred.nodes.size === 0 ? undefined : preferred;
  }

  /** Where anything runs that the term of this owner means. */
  #domainsOf(owner: WorkloadIdentity, term: AffinityTerm): Domains {
    const all: Domains = { nodes: new Set(), sites: new Set() };
    for (const group of this.#groups.values()) {
      if (!matches(owner, term, group.workload)) continue;
      const { nodes, sites } = this.#spread(group, term.topologyKey);
      for (const node of nodes) all.nodes.add(node);
      for (const site of sites) all.sites.add(site);
    }
    return all;
  }

  /** The places of a group as the key counts them; a region is all its sites. */
  #spread({ byNode }: Group, key: AffinityTerm["topologyKey"]): Domains {
    if (key === "node") return { nodes: new Set(byNode.keys()), sites: new Set() };
    const sites = new Set([...byNode.values()].map((v) => v.site));
    if (key === "site") return { nodes: new Set(), sites };
    const regions = new Set([...sites].map(this.#regionOf));
    const more = this.#sites.filter((site) => {
      const region = this.#regionOf(site);
      return region !== undefined && regions.has(region);
    });
    return { nodes: new Set(), sites: new Set([...sites, ...more]) };
  }
}

interface Domains {
  readonly nodes: Set<string>;
  readonly sites: Set<string>;
}

/** Whether the term of `owner` means `other`. Only instances of the same namespace are meant. */
function matches(owner: WorkloadIdentity, term: AffinityTerm, other: WorkloadIdentity): boolean {
  const { application, component, labelSelector } = term;
  const named = application ?? (component === undefined ? undefined : owner.application);
  return (
    owner.namespace === other.namespace &&
    (named === undefined || named === other.application) &&
    (component === undefined || component === other.component) &&
    matchesSelector(labelSelector, other.labels)
  );
}

function termText({ application, component, labelSelector }: AffinityTerm): string {
  const labels = Object.entries(labelSelector?.matchLabels ?? {}).map(([k, v]) => `${k}=${v}`);
  const expressions = (labelSelector?.matchExpressions ?? []).map((e) =>
    `${e.key} ${e.operator} ${(e.values ?? []).join(",")}`.trimEnd(),
  );
  return [
    ...(application === undefined ? [] : [`application ${application}`]),
    ...(component === undefined ? [] : [`component ${component}`]),
    ...labels,
    ...expressions,
  ].join(", ");
}

function nameOf({ application, component }: WorkloadIdentity): string {
  return `component ${component} of application ${application}`;
}
