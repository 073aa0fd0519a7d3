import { itemsAt, memberAt, type ServedObject, textAt } from "../api-object.ts";

/** A column of `kubectl get`. `date` cells hold an ISO time; priority 1 is shown with `-o wide` only. */
export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format: string;
  readonly description: string;
  readonly priority: number;
  cell(object: ServedObject): unknown;
}

type Cell = Column["cell"];

/** A column that is always shown. */
export function column(name: string, description: string, cell: Cell): Column {
  return { name, type: "string", format: "", description, priority: 0, cell };
}

/** A column of whole numbers that is always shown. */
export function countColumn(name: string, description: string, cell: Cell): Column {
  return { ...column(name, description, cell), type: "integer" };
}

/** The same column, with `-o wide` only. */
export function wide(shown: Column): Column {
  return { ...shown, priority: 1 };
}

/** A column that shows one field as it is. */
export function fieldColumn(name: string, description: string, ...path: readonly string[]): Column {
  return column(name, description, (object) => memberAt(object, ...path));
}

/** Name, as kube-apiserver describes it. */
export const NAME: Column = {
  name: "Name",
  type: "string",
  format: "name",
  description:
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
  priority: 0,
  cell: (object) => textAt(object, "metadata", "name"),
};

/** Time since creation. */
export const AGE: Column = {
  name: "Age",
  type: "date",
  format: "",
  description: "Time since the object was made.",
  priority: 0,
  cell: (object) => textAt(object, "metadata", "creationTimestamp"),
};

/** Status of the condition of this type; undefined when there is none yet. */
export function conditionOf(object: ServedObject, type: string): string | undefined {
  return textAt(
    itemsAt(object, "status", "conditions").find((c) => c["type"] === type),
    "status",
  );
}

/** Reason of the first condition, for kinds whose controllers differ in what they tell. */
export function firstReason(object: ServedObject): string | undefined {
  return textAt(itemsAt(object, "status", "conditions")[0], "reason");
}

/** `3/5`; undefined while the second number is not known. */
export function fraction(part: unknown, whole: unknown): string | undefined {
  return typeof whole === "number" ? `${typeof part === "number" ? part : 0}/${whole}` : undefined;
}

/** Labels or attributes as `a=b,c=d`; undefined when there are none. */
export function pairs(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const text = Object.entries(value)
    .map(([key, member]) => `${key}=${String(member)}`)
    .join(",");
  return text === "" ? undefined : text;
}
