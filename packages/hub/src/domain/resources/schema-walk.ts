/**
 * One pass over a value along its TypeBox schema: what is wrong (as kube-apiserver words it), what is unknown, and the
 * value without the unknown. Unions are told apart by their discriminator or by JSON type, so that an error is about the
 * branch that was meant; the library's own errors list every branch.
 */
import type { TSchema } from "typebox";
import type { Cause } from "./api-error.ts";
import { isJsonObject, type JsonObject } from "./body-shape.ts";
import {
  CAUSES_MAX,
  invalidValue,
  requiredValue,
  tooLong,
  tooMany,
  unsupportedValue,
  wrongType,
} from "./causes.ts";

/** What the walk reads of a TypeBox schema, which is plain JSON Schema. */
interface WalkSchema {
  readonly type?: string | undefined;
  readonly const?: unknown;
  readonly anyOf?: readonly WalkSchema[] | undefined;
  readonly properties?: Readonly<Record<string, WalkSchema>> | undefined;
  readonly required?: readonly string[] | undefined;
  readonly patternProperties?: Readonly<Record<string, WalkSchema>> | undefined;
  readonly items?: WalkSchema | undefined;
  readonly minimum?: number | undefined;
  readonly maximum?: number | undefined;
  readonly minLength?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly pattern?: string | undefined;
  readonly minItems?: number | undefined;
  readonly maxItems?: number | undefined;
}

export interface Walked {
  /** The value without unknown fields and without nulls that mean nothing. */
  readonly value: unknown;
  readonly causes: readonly Cause[];
  /** Paths of the fields that the schema does not know. */
  readonly unknown: readonly string[];
}

/** Walks `value`; `path` is where it stands, "" for a whole body. */
export function walk(schema: TSchema, value: unknown, path: string): Walked {
  const found: Found = { causes: [], unknown: [] };
  const pruned = visit(schema as WalkSchema, value, path, found);
  return { value: pruned, causes: found.causes.slice(0, CAUSES_MAX), unknown: found.unknown };
}

interface Found {
  readonly causes: Cause[];
  readonly unknown: string[];
}

function visit(schema: WalkSchema, value: unknown, path: string, found: Found): unknown {
  if (schema.anyOf !== undefined) return visitUnion(schema.anyOf, value, path, found);
  if (schema.const !== undefined) {
    if (value !== schema.const) found.causes.push(unsupportedValue(path, value, [schema.const]));
    return value;
  }
  switch (schema.type ?? "any") {
    case "object":
      return visitObject(schema, value, path, found);
    case "array":
      return visitArray(schema, value, path, found);
    case "string":
      found.causes.push(...stringCauses(schema, value, path));
      return value;
    case "integer":
    case "number":
      found.causes.push(...numberCauses(schema, value, path));
      return value;
    case "boolean":
      if (typeof value !== "boolean") found.causes.push(wrongType(path, value, "boolean"));
      return value;
    case "null":
      if (value !== null) found.causes.push(wrongType(path, value, "null"));
      return value;
    default:
      return value;
  }
}

function visitObject(schema: WalkSchema, value: unknown, path: string, found: Found): unknown {
  if (!isJsonObject(value)) {
    found.causes.push(wrongType(path, value, "object"));
    return value;
  }
  const record = Object.values(schema.patternProperties ?? {})[0];
  if (record !== undefined) return visitRecord(record, value, path, found);
  const properties = schema.properties ?? {};
  const result: [string, unknown][] = [];
  for (const [key, member] of Object.entries(value)) {
    const memberPath = path === "" ? key : `${path}.${key}`;
    const memberSchema = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (memberSchema === undefined) found.unknown.push(memberPath);
    // `key:` with nothing behind it is how YAML says null; it means the same as leaving the key out.
    else if (member !== null || allowsNull(memberSchema))
      result.push([key, visit(memberSchema, member, memberPath, found)]);
  }
  const present = new Set(result.map(([key]) => key));
  for (const key of schema.required ?? [])
    if (!present.has(key)) found.causes.push(requiredValue(path === "" ? key : `${path}.${key}`));
  return Object.fromEntries(result);
}

function visitRecord(schema: WalkSchema, value: JsonObject, path: string, found: Found): unknown {
  const members = Object.entries(value)
    .filter(([, member]) => member !== null)
    .map(([key, member]) => [key, visit(schema, member, `${path}[${key}]`, found)] as const);
  return Object.fromEntries(members);
}

function visitArray(schema: WalkSchema, value: unknown, path: string, found: Found): unknown {
  if (!Array.isArray(value)) {
    found.causes.push(wrongType(path, value, "array"));
    return value;
  }
  if (schema.minItems !== undefined && value.length < schema.minItems)
    found.causes.push(
      invalidValue(
        path,
        value.length,
        `${path} in body should have at least ${schema.minItems} items`,
      ),
    );
  if (schema.maxItems !== undefined && value.length > schema.maxItems) {
    found.causes.push(tooMany(path, value.length, schema.maxItems));
    return value;
  }
  return value.map((item: unknown, index) =>
    visit(schema.items ?? {}, item, `${path}[${index}]`, found),
  );
}

function visitUnion(
  branches: readonly WalkSchema[],
  value: unknown,
  path: string,
  found: Found,
): unknown {
  const literals: unknown[] = branches.flatMap((b) => (b.const === undefined ? [] : [b.const]));
  if (literals.length === branches.length) {
    if (!literals.includes(value)) {
      const wanted = typeof literals[0];
      found.causes.push(
        typeof value === wanted
          ? unsupportedValue(path, value, literals)
          : wrongType(path, value, wanted),
      );
    }
    return value;
  }
  const discriminator = discriminatorOf(branches);
  if (discriminator !== undefined && isJsonObject(value)) {
    const named = branches.find(
      (b) => b.properties?.[discriminator]?.const === value[discriminator],
    );
    if (named !== undefined) return visit(named, value, path, found);
    const at = `${path}.${discriminator}`;
    const supported = branches.map((b) => b.properties?.[discriminator]?.const);
    found.causes.push(
      value[discriminator] === undefined || value[discriminator] === null
        ? requiredValue(at, `one of ${supported.map((s) => JSON.stringify(s)).join(", ")}`)
        : unsupportedValue(at, value[discriminator], supported),
    );
    return value;
  }
  const branch = branches.find((b) => hasType(b, value));
  if (branch !== undefined) return visit(branch, value, path, found);
  found.causes.push(
    wrongType(path, value, [...new Set(branches.map((b) => b.type ?? "any"))].join(" or ")),
  );
  return value;
}

/** The property that is a literal in every branch. */
function discriminatorOf(branches: readonly WalkSchema[]): string | undefined {
  return Object.keys(branches[0]?.properties ?? {}).find((key) =>
    branches.every((b) => b.properties?.[key]?.const !== undefined),
  );
}

function hasType(schema: WalkSchema, value: unknown): boolean {
  switch (schema.type ?? "any") {
    case "object":
      return isJsonObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
    case "number":
      return typeof value === "number";
    case "null":
      return value === null;
    default:
      return typeof value === schema.type;
  }
}

function allowsNull(schema: WalkSchema): boolean {
  return schema.type === undefined
    ? schema.anyOf === undefined || schema.anyOf.some(allowsNull)
    : schema.type === "null";
}

function stringCauses(schema: WalkSchema, value: unknown, path: string): Cause[] {
  if (typeof value !== "string") return [wrongType(path, value, "string")];
  if (schema.minLength !== undefined && value.length < schema.minLength)
    return [
      invalidValue(
        path,
        value,
        `${path} in body should be at least ${schema.minLength} chars long`,
      ),
    ];
  if (schema.maxLength !== undefined && value.length > schema.maxLength)
    return [tooLong(path, schema.maxLength)];
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
    return [invalidValue(path, value, `${path} in body should match '${schema.pattern}'`)];
  return [];
}

function numberCauses(schema: WalkSchema, value: unknown, path: string): Cause[] {
  const type = schema.type ?? "number";
  if (typeof value !== "number" || (type === "integer" && !Number.isInteger(value)))
    return [wrongType(path, value, type)];
  if (!Number.isFinite(value)) return [invalidValue(path, String(value), "must be finite")];
  if (schema.minimum !== undefined && value < schema.minimum)
    return [
      invalidValue(
        path,
        value,
        `${path} in body should be greater than or equal to ${schema.minimum}`,
      ),
    ];
  if (schema.maximum !== undefined && value > schema.maximum)
    return [
      invalidValue(
        path,
        value,
        `${path} in body should be less than or equal to ${schema.maximum}`,
      ),
    ];
  return [];
}
