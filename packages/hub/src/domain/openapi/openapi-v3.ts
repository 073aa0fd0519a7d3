import { ObjectMeta } from "@flotilla/shared/model/metadata";
import { type OpenApiSchema, openApiSchema } from "./schema.ts";
import type { ServedResource } from "./served-resources.ts";

/**
 * The OpenAPI v3 document of one group and version, as kube-apiserver shapes it for a kind: kubectl looks here for the
 * `fieldValidation` parameter of PATCH before it applies anything.
 */
const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const JSON_AND_YAML = ["application/json", "application/yaml"] as const;

/** `GET /openapi/v3/api/v1` or `/openapi/v3/apis/G/V`; undefined when nothing of ours is there. */
export function openApiDocument(
  resources: readonly ServedResource[],
  groupVersion: string,
): OpenApiSchema | undefined {
  const own = resources.filter((r) => r.groupVersion === groupVersion);
  if (own.length === 0) return undefined;
  return {
    openapi: "3.0.0",
    info: { title: "Flotilla", version: "v1" },
    paths: Object.fromEntries(own.flatMap((r) => pathsOf(r))),
    components: {
      schemas: { ...metaSchemas(), ...Object.fromEntries(own.flatMap((r) => kindSchemas(r))) },
      securitySchemes: { BearerToken: { type: "http", scheme: "bearer" } },
    },
    security: [{ BearerToken: [] }],
  };
}

/** Path under `/openapi/v3/` of each group and version. */
export function openApiPaths(resources: readonly ServedResource[]): readonly {
  readonly path: string;
  readonly groupVersion: string;
}[] {
  const versions = new Map(resources.map((r) => [r.groupVersion, r.group]));
  return [...versions].map(([groupVersion, group]) => ({
    path: group === "" ? `api/${groupVersion}` : `apis/${groupVersion}`,
    groupVersion,
  }));
}

function pathsOf(resource: ServedResource): readonly (readonly [string, OpenApiSchema])[] {
  const root = resource.group === "" ? "/api/v1" : `/apis/${resource.groupVersion}`;
  const scope = resource.namespaced ? "/namespaces/{namespace}" : "";
  const collection = `${root}${scope}/${resource.plural}`;
  const can = (verb: string): boolean => resource.verbs.includes(verb);
  return [
    [
      collection,
      {
        get: operation(resource, "list", { query: LIST_QUERY, answer: listRef(resource) }),
        ...(can("create")
          ? { post: operation(resource, "post", { query: WRITE_QUERY, body: JSON_AND_YAML }) }
          : {}),
        ...(can("deletecollection")
          ? { delete: operation(resource, "deletecollection", { query: LIST_QUERY }) }
          : {}),
        parameters: pathParameters(resource, false),
      },
    ],
    ...(resource.namespaced ? [everywhere(resource, root)] : []),
    [
      `${collection}/{name}`,
      { ...itemOperations(resource, can), parameters: pathParameters(resource, true) },
    ],
    ...resource.subresources.map(
      (s) =>
        [
          `${collection}/{name}/${s.name}`,
          {
            ...itemOperations(resource, (verb) => s.verbs.includes(verb)),
            parameters: pathParameters(resource, true),
          },
        ] as const,
    ),
  ];
}

function everywhere(resource: ServedResource, root: string): readonly [string, OpenApiSchema] {
  return [
    `${root}/${resource.plural}`,
    { get: operation(resource, "list", { query: LIST_QUERY, answer: listRef(resource) }) },
  ];
}

function itemOperations(resource: ServedResource, can: (verb: string) => boolean): OpenApiSchema {
  return {
    ...(can("get") ? { get: operation(resource, "get", { query: [] }) } : {}),
    ...(can("update")
      ? { put: operation(resource, "put", { query: WRITE_QUERY, body: JSON_AND_YAML }) }
      : {}),
    ...(can("patch")
      ? { patch: operation(resource, "patch", { query: WRITE_QUERY, body: patchTypes(resource) }) }
      : {}),
    ...(can("delete")
      ? { delete: operation(resource, "delete", { query: ["propagationPolicy"] }) }
      : {}),
  };
}

const WRITE_QUERY = ["fieldManager", "fieldValidation"] as const;
const LIST_QUERY = [
  "allowWatchBookmarks",
  "continue",
  "fieldSelector",
  "labelSelector",
  "limit",
  "resourceVersion",
  "resourceVersionMatch",
  "sendInitialEvents",
  "timeoutSeconds",
  "watch",
] as const;
const QUERY_TYPES: Readonly<Record<string, string>> = {
  allowWatchBookmarks: "boolean",
  limit: "integer",
  sendInitialEvents: "boolean",
  timeoutSeconds: "integer",
  watch: "boolean",
};

/** Kinds of the core group that `kubectl` patches with a strategic merge patch. */
const STRATEGIC_KINDS: readonly string[] = ["Namespace", "ConfigMap", "Secret", "Node"];

/** Media types of a patch that this resource takes. */
export function patchTypes(resource: Pick<ServedResource, "kind">): readonly string[] {
  return STRATEGIC_KINDS.includes(resource.kind)
    ? ["application/merge-patch+json", "application/strategic-merge-patch+json"]
    : ["application/merge-patch+json"];
}

function operation(
  resource: ServedResource,
  action: string,
  shape: {
    readonly query: readonly string[];
    readonly body?: readonly string[];
    readonly answer?: OpenApiSchema;
  },
): OpenApiSchema {
  const schema = shape.answer ?? ref(componentName(resource));
  const content = (types: readonly string[], of: OpenApiSchema): OpenApiSchema =>
    Object.fromEntries(types.map((type) => [type, { schema: of }]));
  const bodySchema = action === "patch" ? ref(`${META}.Patch`) : schema;
  return {
    responses: { "200": { description: "OK", content: content(JSON_AND_YAML, schema) } },
    parameters: shape.query.map((name) => ({
      name,
      in: "query",
      schema: { type: QUERY_TYPES[name] ?? "string", uniqueItems: true },
    })),
    ...(shape.body === undefined
      ? {}
      : { requestBody: { required: true, content: content(shape.body, bodySchema) } }),
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": gvk(resource),
  };
}

function pathParameters(resource: ServedResource, item: boolean): readonly OpenApiSchema[] {
  const names = [...(item ? ["name"] : []), ...(resource.namespaced ? ["namespace"] : [])];
  return names.map((name) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string", uniqueItems: true },
  }));
}

function kindSchemas(resource: ServedResource): readonly (readonly [string, OpenApiSchema])[] {
  const name = componentName(resource);
  const typeFields = { apiVersion: { type: "string" }, kind: { type: "string" } };
  const own = Object.fromEntries(
    Object.entries(resource.fields ?? {}).map(([field, schema]) => [field, openApiSchema(schema)]),
  );
  return [
    [
      name,
      {
        type: "object",
        properties: { ...typeFields, metadata: allOf(`${META}.ObjectMeta`), ...own },
        ...(resource.fields === undefined ? { "x-kubernetes-preserve-unknown-fields": true } : {}),
        "x-kubernetes-group-version-kind": [gvk(resource)],
      },
    ],
    [
      `${name}List`,
      {
        type: "object",
        required: ["items"],
        properties: {
          ...typeFields,
          metadata: allOf(`${META}.ListMeta`),
          items: { type: "array", items: allOf(name) },
        },
        "x-kubernetes-group-version-kind": [{ ...gvk(resource), kind: `${resource.kind}List` }],
      },
    ],
  ];
}

function metaSchemas(): OpenApiSchema {
  return {
    [`${META}.ObjectMeta`]: openApiSchema(ObjectMeta),
    [`${META}.ListMeta`]: {
      type: "object",
      properties: {
        continue: { type: "string" },
        remainingItemCount: { type: "integer", format: "int64" },
        resourceVersion: { type: "string" },
      },
    },
    [`${META}.Patch`]: { type: "object", description: "A patch of the named media type." },
  };
}

/** `dev.kurator.fleet.v1alpha1.Fleet`: the group's parts in reverse, as kube-apiserver names components. */
function componentName(resource: ServedResource): string {
  if (resource.group === "") return `io.k8s.api.core.${resource.version}.${resource.kind}`;
  const group = resource.group.split(".").reverse().join(".");
  return `${group}.${resource.version}.${resource.kind}`;
}

function gvk(resource: ServedResource): OpenApiSchema {
  return { group: resource.group, version: resource.version, kind: resource.kind };
}

function ref(name: string): OpenApiSchema {
  return { $ref: `#/components/schemas/${name}` };
}

/** kube-apiserver wraps references of fields so that a default may stand beside them. */
function allOf(name: string): OpenApiSchema {
  return { allOf: [ref(name)], default: {} };
}

function listRef(resource: ServedResource): OpenApiSchema {
  return ref(`${componentName(resource)}List`);
}
