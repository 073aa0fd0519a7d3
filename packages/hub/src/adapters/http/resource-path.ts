import type { ServedResource } from "../../domain/openapi/served-resources.ts";

/** A path of the resource API, taken apart. `name` absent: the collection; `namespace` "": all, or cluster-scoped. */
export interface ResourcePath {
  readonly resource: ServedResource;
  readonly namespace: string;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** Longest path part accepted: a DNS subdomain. */
const PART_LENGTH_MAX = 253;

/** Finds the resource that a path names, by `group/version` and plural. */
export class ResourcePaths {
  readonly #byPath: ReadonlyMap<string, ServedResource>;

  constructor(resources: readonly ServedResource[]) {
    this.#byPath = new Map(resources.map((r) => [`${r.groupVersion}/${r.plural}`, r]));
  }

  /** `/api/v1/…` and `/apis/G/V/…`, without the query; undefined when nothing is served there. */
  parse(path: string): ResourcePath | undefined {
    const parts = decodeParts(path);
    if (parts === undefined) return undefined;
    const [root, first, second] = parts;
    if (root === "api" && first !== undefined) return this.#within(first, parts.slice(2));
    if (root === "apis" && second !== undefined)
      return this.#within(`${first}/${second}`, parts.slice(3));
    return undefined;
  }

  #within(groupVersion: string, parts: readonly string[]): ResourcePath | undefined {
    const [head, namespace, plural, name, subresource] = parts;
    const own = this.#byPath.get(`${groupVersion}/${plural ?? ""}`);
    // A third part names a namespaced resource, unless it is a subresource of the Namespace itself.
    if (head === "namespaces" && namespace !== undefined && own !== undefined)
      return parts.length <= 5 && own.namespaced
        ? known({ resource: own, namespace, name, subresource })
        : undefined;
    const resource = this.#byPath.get(`${groupVersion}/${head ?? ""}`);
    if (resource === undefined || parts.length > 3) return undefined;
    // An object of a namespaced kind is not reached without its namespace.
    if (resource.namespaced && parts.length > 1) return undefined;
    return known({ resource, namespace: "", name: namespace, subresource: plural });
  }
}

function known(path: ResourcePath): ResourcePath | undefined {
  const { resource, subresource } = path;
  if (subresource === undefined) return path;
  return resource.subresources.some((s) => s.name === subresource) ? path : undefined;
}

function decodeParts(path: string): readonly string[] | undefined {
  const parts = path.replace(/^\//, "").replace(/\/$/, "").split("/");
  try {
    const decoded = parts.map((p) => decodeURIComponent(p));
    return decoded.every((p) => p !== "" && p.length <= PART_LENGTH_MAX && !p.includes("/"))
      ? decoded
      : undefined;
  } catch {
    return undefined;
  }
}
