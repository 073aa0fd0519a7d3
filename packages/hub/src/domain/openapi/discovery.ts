import { compare, type ServedResource } from "./served-resources.ts";

/**
 * The discovery documents of the Kubernetes API (`/api`, `/apis`, `/apis/G`, `/apis/G/V`, and the aggregated form), pure.
 * Review kinds (SelfSubjectAccessReview and so on) are no resources of ours; they are listed so that clients find them.
 */
interface Hash {
  /** First characters of a base64 digest; only equality matters to clients. */
  (text: string): string;
}

interface DiscoveredResource {
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly subresources: readonly { readonly name: string; readonly verbs: readonly string[] }[];
}

interface GroupVersion {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly DiscoveredResource[];
}

const review = (kind: string): DiscoveredResource => ({
  plural: `${kind.toLowerCase()}s`,
  singular: kind.toLowerCase(),
  namespaced: false,
  kind,
  verbs: ["create"],
  shortNames: [],
  categories: [],
  subresources: [],
});

/** Review groups that the server answers from the caller's identity alone. */
const REVIEW_GROUPS: readonly GroupVersion[] = [
  { group: "authentication.k8s.io", version: "v1", resources: [review("SelfSubjectReview")] },
  {
    group: "authorization.k8s.io",
    version: "v1",
    resources: [review("SelfSubjectAccessReview"), review("SelfSubjectRulesReview")],
  },
];

/** `GET /api`. */
export function apiVersions(): unknown {
  return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
}

/** `GET /apis`. */
export function apiGroupList(resources: readonly ServedResource[]): unknown {
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: namedGroups(resources).map((g) => groupOf(g)),
  };
}

/** `GET /apis/G`; undefined when there is no such group. */
export function apiGroup(resources: readonly ServedResource[], group: string): unknown {
  const found = namedGroups(resources).find((g) => g.group === group);
  return found === undefined
    ? undefined
    : { kind: "APIGroup", apiVersion: "v1", ...groupOf(found) };
}

/** `GET /api/v1` and `GET /apis/G/V`; undefined when there is no such group or version. */
export function apiResourceList(
  resources: readonly ServedResource[],
  group: string,
  version: string,
  hash: Hash,
): unknown {
  const found = allGroups(resources).find((g) => g.group === group && g.version === version);
  if (found === undefined) return undefined;
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: nameOf(found),
    resources: found.resources.flatMap((r) => [
      {
        name: r.plural,
        singularName: r.singular,
        namespaced: r.namespaced,
        kind: r.kind,
        verbs: r.verbs,
        ...(r.shortNames.length === 0 ? {} : { shortNames: r.shortNames }),
        ...(r.categories.length === 0 ? {} : { categories: r.categories }),
        ...(r.verbs.includes("list")
          ? { storageVersionHash: hash(`${nameOf(found)}/${r.kind}`) }
          : {}),
      },
      ...r.subresources.map((s) => ({
        name: `${r.plural}/${s.name}`,
        singularName: "",
        namespaced: r.namespaced,
        kind: r.kind,
        verbs: s.verbs,
      })),
    ]),
  };
}

/** Aggregated discovery: of the core group for `/api`, of all others for `/apis`. */
export function aggregatedDiscovery(
  resources: readonly ServedResource[],
  path: "/api" | "/apis",
  version: "v2" | "v2beta1",
): unknown {
  const groups = path === "/apis" ? namedGroups(resources) : coreGroup(resources);
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map((g) => ({
      metadata: g.group === "" ? {} : { name: g.group },
      versions: [
        {
          version: g.version,
          resources: g.resources.map((r) => discoveredResource(r, g)),
          freshness: "Current",
        },
      ],
    })),
  };
}

function discoveredResource(resource: DiscoveredResource, of: GroupVersion): unknown {
  const responseKind = { group: of.group, version: of.version, kind: resource.kind };
  return {
    resource: resource.plural,
    responseKind,
    scope: resource.namespaced ? "Namespaced" : "Cluster",
    singularResource: resource.singular,
    verbs: resource.verbs,
    ...(resource.shortNames.length === 0 ? {} : { shortNames: resource.shortNames }),
    ...(resource.categories.length === 0 ? {} : { categories: resource.categories }),
    ...(resource.subresources.length === 0
      ? {}
      : {
          subresources: resource.subresources.map((s) => ({
            subresource: s.name,
            responseKind,
            verbs: s.verbs,
          })),
        }),
  };
}

function groupOf(group: GroupVersion): Readonly<Record<string, unknown>> {
  const version = { groupVersion: nameOf(group), version: group.version };
  return { name: group.group, versions: [version], preferredVersion: version };
}

function nameOf(group: GroupVersion): string {
  return group.group === "" ? group.version : `${group.group}/${group.version}`;
}

function allGroups(resources: readonly ServedResource[]): readonly GroupVersion[] {
  const groups = Map.groupBy(resources, (r) => r.groupVersion);
  const own = [...groups.values()].flatMap((rows) =>
    rows[0] === undefined
      ? []
      : [{ group: rows[0].group, version: rows[0].version, resources: rows }],
  );
  return [...own, ...REVIEW_GROUPS].sort((a, b) => compare(a.group, b.group));
}

function namedGroups(resources: readonly ServedResource[]): readonly GroupVersion[] {
  return allGroups(resources).filter((g) => g.group !== "");
}

function coreGroup(resources: readonly ServedResource[]): readonly GroupVersion[] {
  return allGroups(resources).filter((g) => g.group === "");
}
