import { stringify } from "yaml";
import type { ApiObject } from "../client/api-client.ts";
import { CliError } from "../domain/errors.ts";
import { textOf } from "../domain/text.ts";
import { formatTable } from "./table.ts";

/** Forms of `-o`. */
export const OUTPUTS = ["table", "wide", "json", "yaml", "name"] as const;
export type Output = (typeof OUTPUTS)[number];

/** Reads the value of `-o`. */
export function parseOutput(text: string | undefined): Output {
  const output = OUTPUTS.find((o) => o === (text ?? "table"));
  if (output === undefined)
    throw new CliError("usage", `-o ${text}: unknown form`, {
      mend: `-o ${OUTPUTS.slice(1).join("|")}`,
    });
  return output;
}

/** Fields that a reader rarely wants and that make YAML unreadable. */
function withoutNoise(object: ApiObject): ApiObject {
  const metadata = object["metadata"];
  if (typeof metadata !== "object" || metadata === null) return object;
  const { managedFields: _, ...rest } = metadata as Record<string, unknown>;
  return { ...object, metadata: rest };
}

/** Objects or lists as JSON or YAML. */
export function formatObject(object: ApiObject, output: "json" | "yaml"): string {
  const clean = withoutNoise(object);
  return output === "json"
    ? `${JSON.stringify(clean, undefined, 2)}\n`
    : // What YAML 1.1 takes for a boolean, a number or a time is quoted: kubectl and most others read that version.
      stringify(clean, { lineWidth: 0, compat: "yaml-1.1" });
}

/** A meta.k8s.io Table, as the hub makes it: its columns, its cells. */
export interface ServerTable {
  readonly columnDefinitions?: readonly {
    readonly name: string;
    readonly type?: string;
    readonly priority?: number;
  }[];
  readonly rows?: readonly {
    readonly cells: readonly unknown[];
    readonly object?: { readonly metadata?: { readonly namespace?: string } };
  }[];
}

/** Renders a server table; columns of priority above 0 only in wide form, the namespace in front when asked for. */
export function formatServerTable(
  table: ServerTable,
  options: { readonly wide: boolean; readonly withNamespace: boolean; readonly noHeaders: boolean },
): string {
  const columns = (table.columnDefinitions ?? [])
    .map((c, index) => ({ ...c, index }))
    .filter((c) => options.wide || (c.priority ?? 0) === 0);
  const headers = [
    ...(options.withNamespace ? ["NAMESPACE"] : []),
    ...columns.map((c) => c.name.toUpperCase()),
  ];
  const rows = (table.rows ?? []).map((row) => [
    ...(options.withNamespace ? [row.object?.metadata?.namespace ?? ""] : []),
    ...columns.map((c) => cellText(row.cells[c.index])),
  ]);
  return formatTable(headers, rows, { noHeaders: options.noHeaders });
}

function cellText(cell: unknown): string {
  if (cell === null || cell === undefined) return "<none>";
  return textOf(cell);
}
