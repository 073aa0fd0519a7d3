/**
 * TypeBox schemas (JSON Schema) in the subset that Kubernetes clients read of OpenAPI v3: literal unions become `enum`,
 * a union with null becomes `nullable`, records become `additionalProperties`.
 */
export type OpenApiSchema = { readonly [key: string]: unknown };

/** What is copied as it stands. */
const PLAIN_KEYS = [
  "description",
  "pattern",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
] as const;

/** The OpenAPI form of one schema. Every `$ref` inside is left out: our schemas are trees. */
export function openApiSchema(schema: unknown): OpenApiSchema {
  const source = isRecord(schema) ? schema : {};
  const plain = Object.fromEntries(
    PLAIN_KEYS.filter((k) => source[k] !== undefined).map((k) => [k, source[k]]),
  );
  if (Array.isArray(source["anyOf"])) return { ...unionSchema(source["anyOf"]), ...plain };
  if (source["const"] !== undefined)
    return { type: typeof source["const"], enum: [source["const"]], ...plain };
  if (source["type"] === "object") return { ...objectSchema(source), ...plain };
  if (source["type"] === "array")
    return { type: "array", items: openApiSchema(source["items"]), ...plain };
  if (typeof source["type"] === "string") return { type: source["type"], ...plain };
  return { "x-kubernetes-preserve-unknown-fields": true, ...plain };
}

function objectSchema(source: OpenApiSchema): OpenApiSchema {
  const patterns = source["patternProperties"];
  if (isRecord(patterns))
    return { type: "object", additionalProperties: openApiSchema(Object.values(patterns)[0]) };
  const properties = isRecord(source["properties"]) ? source["properties"] : {};
  const required = source["required"];
  return {
    type: "object",
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, value]) => [name, openApiSchema(value)]),
    ),
    ...(Array.isArray(required) && required.length > 0 ? { required } : {}),
  };
}

function unionSchema(members: readonly unknown[]): OpenApiSchema {
  const present = members.filter((m) => !(isRecord(m) && m["type"] === "null"));
  const nullable = present.length < members.length ? { nullable: true } : {};
  const literals = present.flatMap((m) => (isRecord(m) && "const" in m ? [m["const"]] : []));
  if (literals.length === present.length && literals.length > 0)
    return { type: typeof literals[0], enum: literals, ...nullable };
  if (present.length === 1) return { ...openApiSchema(present[0]), ...nullable };
  return { anyOf: present.map((m) => openApiSchema(m)), ...nullable };
}

function isRecord(value: unknown): value is OpenApiSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
