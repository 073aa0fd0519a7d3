/**
 * Rules of the Kubernetes API conventions for what becomes of an object in a write: which fields a client sets, which the
 * hub, and what a change of them means. Pure; the pipeline in app/resources calls them in order.
 */
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import { ObjectMeta } from "@flotilla/shared/model/metadata";
import { Type } from "typebox";
import { badRequest, type Cause, conflict, invalid } from "./api-error.ts";
import { nameOf } from "./api-object.ts";
import { type JsonObject, objectAt } from "./body-shape.ts";
import { invalidValue } from "./causes.ts";
import { releaseChangeCauses } from "./checks/artifact-checks.ts";
import { crossCauses } from "./checks/cross-checks.ts";
import { fieldsOf, hasStatus, infoOf, subjectOf } from "./kind-lookup.ts";
import { finalizerChangeCauses, metadataCauses } from "./metadata-rules.ts";
import { type Walked, walk } from "./schema-walk.ts";

/** Any stored object. */
export type StoredObject = { [K in KindName]: ObjectOf<K> }[KindName];

/** Metadata that a client sets; the rest is the hub's. */
const CLIENT_METADATA = ["labels", "annotations", "finalizers", "ownerReferences"] as const;

/** apiVersion, kind, name and namespace of the body against the URL. Throws 422 or 400 as kube-apiserver does. */
export function checkIdentity(
  kind: KindName,
  address: { readonly namespace: string; readonly name?: string },
  body: JsonObject,
): void {
  const info = infoOf(kind);
  const name = nameOf(body);
  const { kind: bodyKind = kind, apiVersion = info.apiVersion } = body;
  if (bodyKind !== kind)
    throw invalid({ ...subjectOf(kind, name), kind: String(bodyKind) }, [
      invalidValue("kind", bodyKind, `must be ${kind}`),
    ]);
  if (apiVersion !== info.apiVersion)
    throw badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${info.apiVersion})`,
    );
  const namespace = objectAt(body, "metadata")["namespace"] ?? "";
  if (namespace !== "" && namespace !== address.namespace)
    throw badRequest(
      info.namespaced
        ? "the namespace of the provided object does not match the namespace sent on the request"
        : `metadata.namespace: ${kind} is not namespaced; leave the namespace out`,
    );
  if (address.name !== undefined && name !== "" && name !== address.name)
    throw badRequest(
      `the name of the object (${name}) does not match the name on the URL (${address.name})`,
    );
}

/** Checks every field's type and takes unknown fields out. */
export function decode(kind: KindName, body: JsonObject): Walked {
  const schema = Type.Object({
    apiVersion: Type.Optional(Type.String()),
    kind: Type.Optional(Type.String()),
    metadata: Type.Optional(ObjectMeta),
    ...fieldsOf(kind),
  });
  return walk(schema, body, "");
}

/** The object with fields in one order, the type told, and metadata of the hub's own making left out of the client's hands. */
export function assemble(kind: KindName, metadata: JsonObject, fields: JsonObject): JsonObject {
  const { apiVersion: _v, kind: _k, metadata: _m, status, ...rest } = fields;
  return {
    apiVersion: infoOf(kind).apiVersion,
    kind,
    metadata,
    ...rest,
    ...(status === undefined ? {} : { status }),
  };
}

/** What a client may set of the metadata it sent; empty maps and lists are left out. */
export function clientMetadata(body: JsonObject): JsonObject {
  const metadata = objectAt(body, "metadata");
  return Object.fromEntries(
    CLIENT_METADATA.map((field) => [field, metadata[field]] as const).filter(
      ([, value]) => value !== undefined && value !== null && Object.keys(Object(value)).length > 0,
    ),
  );
}

/** Metadata after an update: the client's part new, the hub's part as it was. */
export function updatedMetadata(current: StoredObject, body: JsonObject): JsonObject {
  const {
    labels: _l,
    annotations: _a,
    finalizers: _f,
    ownerReferences: _o,
    ...kept
  } = current.metadata;
  return { ...kept, ...clientMetadata(body) };
}

/** True when something other than metadata and status differs: the generation then grows. */
export function contentDiffers(before: JsonObject, after: JsonObject): boolean {
  return !jsonEqual(contentOf(before), contentOf(after));
}

/** Throws 409 when the write names another version or another object than what stands there. */
export function checkPreconditions(
  kind: KindName,
  current: StoredObject,
  asked: { readonly uid?: unknown; readonly resourceVersion?: unknown },
): void {
  const { name, uid, resourceVersion } = current.metadata;
  const subject = subjectOf(kind, name);
  if (typeof asked.uid === "string" && asked.uid !== "" && asked.uid !== uid)
    throw conflict(
      { ...subject, plural: kind },
      `the UID in the precondition (${asked.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    );
  const version = asked.resourceVersion;
  if (typeof version !== "string" || version === "" || version === resourceVersion) return;
  if (!/^\d+$/.test(version))
    throw invalid(subject, [
      invalidValue("metadata.resourceVersion", version, "must be a version that the server gave"),
    ]);
  throw conflict(subject);
}

/** Throws 422 with every cause when the complete object must not be stored. */
export function checkObject(
  kind: KindName,
  object: JsonObject,
  current: StoredObject | undefined,
): StoredObject {
  // Every field has passed the schema of its kind, and metadata was completed by the hub.
  const typed = object as JsonObject & ObjectOf<typeof kind>;
  const causes: Cause[] = [
    ...metadataCauses(kind, typed.metadata),
    ...(current === undefined ? [] : finalizerChangeCauses(current.metadata, typed.metadata)),
    ...(current === undefined ? [] : immutableCauses(kind, current, object)),
    ...crossCauses(kind, typed),
  ];
  if (causes.length > 0) throw invalid(subjectOf(kind, typed.metadata.name), causes);
  return typed;
}

/** The status goes with the item only where it has no subresource. */
export function withoutStatus(kind: KindName, fields: JsonObject): JsonObject {
  if (!hasStatus(kind)) return fields;
  const { status: _status, ...rest } = fields;
  return rest;
}

function immutableCauses(kind: KindName, current: StoredObject, next: JsonObject): Cause[] {
  const before: JsonObject = { ...current };
  if (kind === "JoinToken" && contentDiffers(before, next))
    return [invalidValue("spec", "", "field is immutable: delete the token and make a new one")];
  if (kind === "Release") {
    const [old, now] = [current as ObjectOf<"Release">, next as JsonObject & ObjectOf<"Release">];
    return releaseChangeCauses(old, now);
  }
  if (kind !== "ConfigMap" && kind !== "Secret") return [];
  if (before["immutable"] !== true) return [];
  return contentDiffers(before, next)
    ? [
        {
          reason: "FieldValueForbidden",
          message: "Forbidden: field is immutable when `immutable` is set",
          field: "data",
        },
      ]
    : [];
}

function contentOf(object: JsonObject): JsonObject {
  const { apiVersion: _v, kind: _k, metadata: _m, status: _s, ...content } = object;
  return content;
}
