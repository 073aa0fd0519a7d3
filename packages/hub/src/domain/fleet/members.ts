import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { FleetSpec } from "@flotilla/shared/model/resources/fleet";
import { matchesSelector } from "@flotilla/shared/model/selectors";
import type { FleetFacts } from "@flotilla/shared/scheduling/facts";
import { siteLabelsOf } from "../scheduling/snapshot.ts";

/** One member as the fleet names it. `object` is absent when nothing of that name exists. */
export type Member =
  | {
      readonly kind: "Cluster";
      readonly name: string;
      readonly entry: FleetClusterEntry;
      readonly object: ObjectOf<"Cluster"> | undefined;
    }
  | {
      readonly kind: "Site";
      readonly name: string;
      readonly entry?: FleetClusterEntry;
      readonly object: ObjectOf<"Site"> | undefined;
    };

type FleetClusterEntry = NonNullable<FleetSpec["clusters"]>[number];

/**
 * Members in the order of the spec: clusters, then named sites, then selected ones by name. An entry of `clusters` without
 * a Cluster object and without a kubeconfig of its own, but with a Site of its name, means that site: a site counts as a
 * cluster. A name is a member once.
 */
export function membersOf(
  fleet: Pick<ObjectOf<"Fleet">, "spec" | "metadata">,
  sites: ReadonlyMap<string, ObjectOf<"Site">>,
  clusterOf: (namespace: string, name: string) => ObjectOf<"Cluster"> | undefined,
): readonly Member[] {
  const members = new Map<string, Member>();
  const add = (member: Member): void => {
    const key = `${member.kind}/${member.name}`;
    if (!members.has(key)) members.set(key, member);
  };
  for (const entry of fleet.spec.clusters ?? []) {
    const { name } = entry;
    const object = clusterOf(fleet.metadata.namespace ?? "", name);
    const site = sites.get(name);
    const isSite = object === undefined && entry.kubeconfigRef === undefined && site !== undefined;
    add(
      isSite
        ? { kind: "Site", name, entry, object: site }
        : { kind: "Cluster", name, entry, object },
    );
  }
  for (const { name } of fleet.spec.sites ?? [])
    add({ kind: "Site", name, object: sites.get(name) });
  const { siteSelector } = fleet.spec;
  if (siteSelector !== undefined)
    for (const [name, object] of sites)
      if (matchesSelector(siteSelector, siteLabelsOf(object))) add({ kind: "Site", name, object });
  return [...members.values()];
}

/** The fleet as placement sees it. */
export function fleetFactsOf(name: string, members: readonly Member[] | undefined): FleetFacts {
  const sites = (members ?? []).filter((m) => m.kind === "Site");
  return {
    name,
    exists: members !== undefined,
    sites: new Set(sites.map((m) => m.name)),
    siteLabels: new Map(
      sites.flatMap(({ name: site, entry }) =>
        entry === undefined ? [] : [[site, entryLabels(entry)] as const],
      ),
    ),
  };
}

function entryLabels({ provider, region, attributes }: FleetClusterEntry): Record<string, string> {
  return {
    ...(provider === undefined ? {} : { provider }),
    ...(region === undefined ? {} : { region }),
    ...attributes,
  };
}
