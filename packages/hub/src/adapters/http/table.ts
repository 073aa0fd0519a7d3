import type { ApiObject } from "../../app/resources/ports.ts";
import type { Column } from "../../domain/resources/columns/columns.ts";
import { humanDuration } from "./human-duration.ts";

/** What goes into a row's `object`. */
export type IncludeObject = "None" | "Metadata" | "Object";

export interface TableOptions {
  readonly version: "v1" | "v1beta1";
  readonly includeObject: IncludeObject;
  /** metav1.ListMeta of the answer. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** False leaves the column definitions out: every event of a watch but the first. */
  readonly withColumns: boolean;
  readonly nowMs: number;
}

/** A metav1.Table of these objects. */
export function tableOf(
  objects: readonly ApiObject[],
  columns: readonly Column[],
  options: TableOptions,
): Readonly<Record<string, unknown>> {
  return {
    kind: "Table",
    apiVersion: `meta.k8s.io/${options.version}`,
    metadata: options.metadata,
    columnDefinitions: options.withColumns
      ? columns.map(({ name, type, format, description, priority }) => ({
          name,
          type,
          format,
          description,
          priority,
        }))
      : null,
    rows: objects.map((object) => ({
      cells: columns.map((column) => cellOf(object, column, options.nowMs)),
      ...rowObject(object, options),
    })),
  };
}

/** The metadata of an object alone (metav1.PartialObjectMetadata). */
export function partialMetadata(
  object: ApiObject,
  version: "v1" | "v1beta1",
): Readonly<Record<string, unknown>> {
  return {
    kind: "PartialObjectMetadata",
    apiVersion: `meta.k8s.io/${version}`,
    metadata: object.metadata,
  };
}

function rowObject(object: ApiObject, options: TableOptions): { object?: unknown } {
  switch (options.includeObject) {
    case "None":
      return {};
    case "Metadata":
      return { object: partialMetadata(object, options.version) };
    case "Object":
      return { object };
  }
}

function cellOf(object: ApiObject, column: Column, nowMs: number): unknown {
  const value = column.cell(object) ?? null;
  if (column.type !== "date") return value;
  if (typeof value !== "string") return "<unknown>";
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? "<unknown>" : humanDuration(nowMs - atMs);
}
