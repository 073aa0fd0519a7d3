import {
  apiVersionOf,
  KINDS,
  type KindInfo,
  type KindName,
  VIEWS,
  type ViewName,
} from "@flotilla/shared/model/kinds";
import type { Subject } from "./api-error.ts";

/** What every served kind has in common, stored or projected. */
export interface ServedInfo {
  readonly kind: KindName | ViewName;
  readonly group: string;
  readonly version: string;
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

/** What is known of a kind. */
export function infoOf(kind: KindName | ViewName): ServedInfo {
  const info: Omit<KindInfo, "fields"> = isView(kind) ? VIEWS[kind] : KINDS[kind];
  const { group, version, plural, namespaced } = info;
  return { kind, group, version, apiVersion: apiVersionOf(info), plural, namespaced };
}

/** True for a projection, which is made from another kind's objects. */
export function isView(kind: KindName | ViewName): kind is ViewName {
  return Object.hasOwn(VIEWS, kind);
}

/** The stored kind of that name; undefined when there is none. */
export function storedKind(name: string): KindName | undefined {
  return Object.hasOwn(KINDS, name) ? (name as KindName) : undefined;
}

/** The stored kind whose objects make this one. */
export function sourceOf(kind: KindName | ViewName): KindName {
  return isView(kind) ? VIEWS[kind].of : kind;
}

/** Schemas of the kind's fields beside apiVersion, kind and metadata. */
export function fieldsOf(kind: KindName): KindInfo["fields"] {
  return KINDS[kind].fields;
}

/** True when the kind has a status, which only its subresource writes. */
export function hasStatus(kind: KindName): boolean {
  return Object.hasOwn(fieldsOf(kind), "status");
}

/** All stored kinds that live in a namespace. */
export function namespacedKinds(): readonly KindName[] {
  return allKinds().filter((kind) => KINDS[kind].namespaced);
}

/** All stored kinds. */
export function allKinds(): readonly KindName[] {
  return Object.keys(KINDS) as KindName[];
}

/** How errors name an object of this kind. */
export function subjectOf(kind: KindName | ViewName, name: string): Subject {
  const { group, plural } = infoOf(kind);
  return { group, plural, kind, name };
}
