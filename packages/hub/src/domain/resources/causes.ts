import type { Cause } from "./api-error.ts";

/** Most causes in one answer; the rest is left out, so that a bad body of 2 MB has no answer of 20. */
export const CAUSES_MAX = 50;
const SHOWN_LENGTH_MAX = 100;

/** A value as an error shows it: JSON, cut. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length <= SHOWN_LENGTH_MAX ? text : `${text.slice(0, SHOWN_LENGTH_MAX)}…`;
}

/** The value is of the right type and wrong; `why` names the mend. */
export function invalidValue(field: string, value: unknown, why: string): Cause {
  return {
    reason: "FieldValueInvalid",
    message: `Invalid value: ${shown(value)}: ${why}`,
    field,
  };
}

export function wrongType(field: string, value: unknown, wanted: string): Cause {
  const type = typeName(value);
  return {
    reason: "FieldValueTypeInvalid",
    message: `Invalid value: "${type}": ${field} in body must be of type ${wanted}: "${type}"`,
    field,
  };
}

export function requiredValue(field: string, why?: string): Cause {
  return {
    reason: "FieldValueRequired",
    message: why === undefined ? "Required value" : `Required value: ${why}`,
    field,
  };
}

export function duplicateValue(field: string, value: unknown): Cause {
  return { reason: "FieldValueDuplicate", message: `Duplicate value: ${shown(value)}`, field };
}

export function unsupportedValue(
  field: string,
  value: unknown,
  supported: readonly unknown[],
): Cause {
  return {
    reason: "FieldValueNotSupported",
    message: `Unsupported value: ${shown(value)}: supported values: ${supported.map(shown).join(", ")}`,
    field,
  };
}

export function forbiddenValue(field: string, why: string): Cause {
  return { reason: "FieldValueForbidden", message: `Forbidden: ${why}`, field };
}

export function tooLong(field: string, lengthMax: number): Cause {
  return {
    reason: "FieldValueTooLong",
    message: `Too long: may not be more than ${lengthMax} bytes`,
    field,
  };
}

export function tooMany(field: string, count: number, countMax: number): Cause {
  return {
    reason: "FieldValueTooMany",
    message: `Too many: ${count}: must have at most ${countMax} items`,
    field,
  };
}

/** Each item whose `key` an item before it has already. `path` says where the key of item `index` stands. */
export function duplicates<T>(
  items: readonly T[],
  key: (item: T, index: number) => string,
  path: (index: number) => string,
): Cause[] {
  const seen = new Set<string>();
  return items.flatMap((item, index) => {
    const value = key(item, index);
    if (!seen.has(value)) {
      seen.add(value);
      return [];
    }
    return [duplicateValue(path(index), value)];
  });
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}
