import type { KindName } from "@flotilla/shared/model/kinds";
import type { ObjectMeta } from "@flotilla/shared/model/metadata";
import type { Cause } from "./api-error.ts";
import { duplicates, forbiddenValue, invalidValue, requiredValue, tooLong } from "./causes.ts";
import {
  dnsLabelCauses,
  labelsCauses,
  qualifiedNameCauses,
  qualifiedNameFault,
  subdomainCauses,
} from "./names.ts";

/** Keys and values of all annotations together, in UTF-16 units (apimachinery TotalAnnotationSizeLimitB). */
export const ANNOTATIONS_LENGTH_MAX: number = 256 * 1024;
/** Most finalizers, owners and labels of one object. */
export const METADATA_ITEMS_MAX = 256;

/** Kinds whose name becomes a part of a longer name (an instance id, an MQTT topic) and so has no dots. */
const LABEL_NAMED: ReadonlySet<string> = new Set<KindName>([
  "Application",
  "EdgeNode",
  "Namespace",
  "Site",
]);

/** Everything that is wrong with the metadata of an object that is to be stored. */
export function metadataCauses(kind: KindName, metadata: ObjectMeta): Cause[] {
  return [
    ...nameCauses(kind, metadata.name ?? ""),
    ...labelsCauses("metadata.labels", metadata.labels ?? {}),
    ...countCauses("metadata.labels", Object.keys(metadata.labels ?? {}).length),
    ...annotationCauses(metadata.annotations ?? {}),
    ...finalizerCauses(metadata.finalizers ?? []),
    ...ownerCauses(metadata.ownerReferences ?? []),
  ];
}

/** New finalizers on an object that is being deleted could keep it for ever. */
export function finalizerChangeCauses(before: ObjectMeta, after: ObjectMeta): Cause[] {
  if (before.deletionTimestamp === undefined) return [];
  const added = (after.finalizers ?? []).filter((f) => !(before.finalizers ?? []).includes(f));
  return added.length === 0
    ? []
    : [
        forbiddenValue(
          "metadata.finalizers",
          `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
        ),
      ];
}

function nameCauses(kind: KindName, name: string): Cause[] {
  if (name === "") return [requiredValue("metadata.name", "name or generateName is required")];
  return LABEL_NAMED.has(kind)
    ? dnsLabelCauses("metadata.name", name)
    : subdomainCauses("metadata.name", name);
}

function annotationCauses(annotations: Readonly<Record<string, string>>): Cause[] {
  const length = Object.entries(annotations).reduce((n, [k, v]) => n + k.length + v.length, 0);
  return [
    ...Object.keys(annotations).flatMap((key) =>
      // kube-apiserver compares annotation keys in lower case.
      qualifiedNameCauses("metadata.annotations", key.toLowerCase()),
    ),
    ...(length > ANNOTATIONS_LENGTH_MAX
      ? [tooLong("metadata.annotations", ANNOTATIONS_LENGTH_MAX)]
      : []),
  ];
}

function finalizerCauses(finalizers: readonly string[]): Cause[] {
  const at = (index: number): string => `metadata.finalizers[${index}]`;
  return [
    ...countCauses("metadata.finalizers", finalizers.length),
    ...finalizers.flatMap((finalizer, index) => {
      const fault = qualifiedNameFault(finalizer);
      if (fault !== undefined) return [invalidValue(at(index), finalizer, fault)];
      return finalizer.includes("/") || ["orphan", "foregroundDeletion"].includes(finalizer)
        ? []
        : [
            invalidValue(
              at(index),
              finalizer,
              "name is neither a standard finalizer name nor is it fully qualified",
            ),
          ];
    }),
    ...duplicates(finalizers, (f) => f, at),
  ];
}

function ownerCauses(owners: NonNullable<ObjectMeta["ownerReferences"]>): Cause[] {
  const at = (index: number): string => `metadata.ownerReferences[${index}]`;
  const controllers = owners.filter((o) => o.controller === true);
  return [
    ...countCauses("metadata.ownerReferences", owners.length),
    ...owners.flatMap((owner, index) =>
      (["apiVersion", "kind", "name", "uid"] as const).flatMap((field) =>
        owner[field] === "" ? [requiredValue(`${at(index)}.${field}`, "must not be empty")] : [],
      ),
    ),
    ...(controllers.length > 1
      ? [
          invalidValue(
            "metadata.ownerReferences",
            controllers.map((o) => o.name),
            "only one reference can have controller set to true",
          ),
        ]
      : []),
  ];
}

function countCauses(field: string, count: number): Cause[] {
  return count > METADATA_ITEMS_MAX
    ? [invalidValue(field, count, `must have at most ${METADATA_ITEMS_MAX} items`)]
    : [];
}
