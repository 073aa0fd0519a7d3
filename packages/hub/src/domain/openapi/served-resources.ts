import {
  apiVersionOf,
  KINDS,
  type KindInfo,
  type KindName,
  VIEWS,
  type ViewName,
} from "@flotilla/shared/model/kinds";
import type { TProperties, TSchema } from "typebox";

/**
 * What the API serves, as paths and discovery see it: one row per stored kind and per view, made from KINDS and VIEWS.
 * Discovery, OpenAPI and the router all read this table, so that they cannot disagree.
 */
export interface ServedResource {
  readonly kind: KindName | ViewName;
  readonly group: string;
  readonly version: string;
  /** `group/version`, or `v1`. */
  readonly groupVersion: string;
  readonly plural: string;
  readonly singular: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Sorted. */
  readonly verbs: readonly string[];
  readonly subresources: readonly ServedSubresource[];
  /** Schemas of the fields beside apiVersion, kind and metadata; undefined for a view, whose fields are open. */
  readonly fields: Readonly<Record<string, TSchema>> | undefined;
}

export interface ServedSubresource {
  readonly name: string;
  readonly verbs: readonly string[];
}

const STORED_VERBS = [
  "create",
  "delete",
  "deletecollection",
  "get",
  "list",
  "patch",
  "update",
  "watch",
] as const;
const VIEW_VERBS = ["get", "list", "watch"] as const;
const STATUS: ServedSubresource = { name: "status", verbs: ["get", "patch", "update"] };
const VIEW_SUBRESOURCES: Readonly<Record<ViewName, readonly ServedSubresource[]>> = {
  Node: [],
  Pod: [{ name: "log", verbs: ["get"] }],
  Lease: [],
};
/** Questions that change nothing. */
const QUESTIONS: Readonly<Partial<Record<KindName, readonly ServedSubresource[]>>> = {
  Application: [{ name: "plan", verbs: ["create"] }],
  Assignment: [{ name: "explain", verbs: ["get"] }],
};
/** A Node passes on what `kubectl cordon` and `taint` write; a Pod goes with its Assignment. */
const VIEW_EXTRA_VERBS: Readonly<Record<ViewName, readonly string[]>> = {
  Node: ["patch", "update"],
  Pod: ["delete", "deletecollection"],
  Lease: [],
};
/** Kinds that only the hub writes: a client reads them, and deletes what it wants made anew. */
const HUB_WRITTEN: readonly string[] = ["Assignment", "MovePlan"];
const HUB_WRITTEN_VERBS = ["delete", "deletecollection", "get", "list", "watch"] as const;
/** Kinds of `kubectl get all`: what people run and where. */
const IN_ALL: readonly string[] = ["Fleet", "Application", "Cluster", "Pod"];

/** Every resource, core group first, then by group and plural. */
export function servedResources(): readonly ServedResource[] {
  const stored = entriesOf<KindName, KindInfo>(KINDS).map(([kind, info]) => storedRow(kind, info));
  const views = entriesOf<ViewName, (typeof VIEWS)[ViewName]>(VIEWS).map(([kind, info]) =>
    viewRow(kind, info),
  );
  return [...stored, ...views].sort(
    (a, b) => compare(a.group, b.group) || compare(a.plural, b.plural),
  );
}

function storedRow(kind: KindName, info: KindInfo): ServedResource {
  const fields: TProperties = info.fields;
  const readOnly = HUB_WRITTEN.includes(kind);
  return {
    ...common(kind, info),
    verbs: readOnly ? HUB_WRITTEN_VERBS : STORED_VERBS,
    subresources: [
      ...("status" in fields && !readOnly ? [STATUS] : []),
      ...(QUESTIONS[kind] ?? []),
    ],
    fields,
  };
}

function viewRow(kind: ViewName, info: Omit<KindInfo, "fields">): ServedResource {
  return {
    ...common(kind, info),
    verbs: [...VIEW_VERBS, ...VIEW_EXTRA_VERBS[kind]].sort(compare),
    subresources: VIEW_SUBRESOURCES[kind],
    fields: undefined,
  };
}

function common(kind: KindName | ViewName, info: Omit<KindInfo, "fields">) {
  const own = info.group.endsWith(".kurator.dev") ? ["kurator"] : [];
  return {
    kind,
    group: info.group,
    version: info.version,
    groupVersion: apiVersionOf(info),
    plural: info.plural,
    singular: kind.toLowerCase(),
    namespaced: info.namespaced,
    shortNames: info.shortNames,
    categories: IN_ALL.includes(kind) ? ["all", ...own] : own,
  };
}

/** -1, 0 or 1 in code unit order. */
export function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function entriesOf<K extends string, V>(table: Readonly<Record<K, V>>): [K, V][] {
  return Object.entries(table) as [K, V][];
}
