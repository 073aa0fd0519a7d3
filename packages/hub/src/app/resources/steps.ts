import type { Json } from "@flotilla/shared/kernel/json";
import { applyMergePatch } from "@flotilla/shared/kernel/merge-patch";
import { uuid } from "@flotilla/shared/kernel/random";
import { badRequest, forbidden, invalid, notFound } from "../../domain/resources/api-error.ts";
import { nameOf, timestamp } from "../../domain/resources/api-object.ts";
import {
  checkBodyShape,
  isJsonObject,
  type JsonObject,
  objectAt,
} from "../../domain/resources/body-shape.ts";
import { invalidValue } from "../../domain/resources/causes.ts";
import { hasStatus, infoOf, subjectOf } from "../../domain/resources/kind-lookup.ts";
import {
  assemble,
  checkIdentity,
  checkObject,
  checkPreconditions,
  clientMetadata,
  contentDiffers,
  decode,
  updatedMetadata,
  withoutStatus,
} from "../../domain/resources/object-rules.ts";
import type { Draft, Step, StepEnv } from "./draft.ts";
import { completeKind } from "./kind-steps.ts";
import type { AnyObject, Change } from "./ports.ts";
import { compareRelease } from "./release-steps.ts";

/** Steps of a creation, in order. */
export const CREATE_STEPS: readonly Step[] = [
  readBody,
  checkAddress,
  refuseVersionAtCreation,
  decodeBody,
  newObject,
  completeKind,
  checkWhole,
  compareRelease,
  requireNamespace,
];

/** Steps of an update of everything but the status. */
export const UPDATE_STEPS: readonly Step[] = [
  requireCurrent,
  readBody,
  checkAddress,
  decodeBody,
  requireVersion,
  carryOver,
  completeKind,
  raiseGeneration,
  checkWhole,
];

/** Steps of an update of the status alone. */
export const STATUS_STEPS: readonly Step[] = [
  requireCurrent,
  readBody,
  checkAddress,
  takeStatus,
  decodeBody,
  requireVersion,
  carryOverAllButStatus,
  checkWhole,
];

/** Names made from generateName end in this many characters, of an alphabet without vowels, as in Kubernetes. */
const GENERATED_LENGTH = 5;
const GENERATED_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";
const GENERATE_NAME_LENGTH_MAX = 58;

function requireCurrent(draft: Draft): Draft {
  const { kind, name = "" } = draft.request;
  if (draft.current === undefined) throw notFound(subjectOf(kind, name));
  return draft;
}

/** The body itself, or what a patch makes of the current object. */
function readBody(draft: Draft): Draft {
  const { request, current } = draft;
  const body = checkBodyShape(request.body, request.kind);
  if (request.operation !== "patch" || current === undefined) return { ...draft, object: body };
  // JSON in, JSON out.
  const patched = applyMergePatch(current as unknown as Json, withoutDirectives(body) as Json);
  return { ...draft, object: checkBodyShape(patched, request.kind) };
}

/** kubectl adds an order to strategic merge patches, which a plain merge does not need. Other directives would be lost. */
function withoutDirectives(patch: JsonObject): JsonObject {
  const members = Object.entries(patch).flatMap(([key, value]) => {
    if (key.startsWith("$setElementOrder/") || key === "$retainKeys") return [];
    if (key === "$patch" || key.startsWith("$deleteFromPrimitiveList/"))
      throw badRequest(`the directive ${key} of a strategic merge patch is not supported`);
    return [[key, isJsonObject(value) ? withoutDirectives(value) : value] as const];
  });
  return Object.fromEntries(members);
}

function checkAddress(draft: Draft): Draft {
  const { kind, namespace, name } = draft.request;
  checkIdentity(kind, { namespace, ...(name === undefined ? {} : { name }) }, draft.object);
  return draft;
}

function refuseVersionAtCreation(draft: Draft): Draft {
  const version = objectAt(draft.object, "metadata")["resourceVersion"];
  if (version !== undefined && version !== null && version !== "")
    throw badRequest("resourceVersion should not be set on objects to be created");
  return draft;
}

/** Types, and unknown fields: refused, warned of, or dropped in silence, and never stored. */
function decodeBody(draft: Draft): Draft {
  const { kind, options, name } = draft.request;
  const { value, causes, unknown } = decode(kind, draft.object);
  const faults = unknown.map((path) => `unknown field "${path}"`);
  if (faults.length > 0 && options.fieldValidation === "Strict")
    throw badRequest(
      `${kind} in version "${infoOf(kind).version}" cannot be handled as a ${kind}: strict decoding error: ${faults.join(", ")}`,
    );
  if (causes.length > 0) throw invalid(subjectOf(kind, name ?? nameOf(draft.object)), causes);
  const warnings = options.fieldValidation === "Warn" ? faults : [];
  const object = isJsonObject(value) ? value : {};
  return { ...draft, object, warnings: [...draft.warnings, ...warnings] };
}

function newObject(draft: Draft, env: StepEnv): Draft {
  const { kind, namespace } = draft.request;
  const asked = objectAt(draft.object, "metadata");
  const generateName = asked["generateName"];
  const name =
    nameOf(draft.object) ||
    (typeof generateName === "string" && generateName !== ""
      ? generatedName(generateName, env)
      : "");
  const metadata = {
    name,
    ...(typeof generateName === "string" && generateName !== "" ? { generateName } : {}),
    ...(infoOf(kind).namespaced ? { namespace } : {}),
    uid: uuid(env.random, "resources.uid"),
    generation: 1,
    creationTimestamp: timestamp(env.nowMs),
    ...clientMetadata(draft.object),
  };
  return { ...draft, object: assemble(kind, metadata, withoutStatus(kind, draft.object)) };
}

function generatedName(prefix: string, env: StepEnv): string {
  let suffix = "";
  for (let i = 0; i < GENERATED_LENGTH; i++)
    suffix +=
      GENERATED_ALPHABET[
        Math.floor(env.random.unit("resources.generateName") * GENERATED_ALPHABET.length)
      ];
  return prefix.slice(0, GENERATE_NAME_LENGTH_MAX) + suffix;
}

/**
 * A write that names a version must name the present one. An update of a kind of ours must name one, as of a custom
 * resource; core kinds may be replaced without.
 */
function requireVersion(draft: Draft): Draft {
  const { request, current } = draft;
  if (current === undefined) return draft;
  const { kind } = request;
  const asked = objectAt(draft.object, "metadata");
  const version = asked["resourceVersion"] ?? "";
  const { group, plural } = infoOf(kind);
  if (version === "" && request.operation === "update" && group !== "")
    throw invalid({ ...subjectOf(kind, current.metadata.name), kind: plural }, [
      invalidValue("metadata.resourceVersion", 0, "must be specified for an update"),
    ]);
  checkPreconditions(kind, current, asked);
  return draft;
}

/** What a client does not set by an update stays as it is: the hub's metadata, and the status. */
function carryOver(draft: Draft): Draft {
  const { current, request } = draft;
  if (current === undefined) return draft;
  const { kind } = request;
  const metadata = updatedMetadata(current, draft.object);
  const fields = withoutStatus(kind, draft.object);
  const status = hasStatus(kind) ? objectStatus(current) : {};
  return { ...draft, object: assemble(kind, metadata, { ...fields, ...status }) };
}

/** Everything but the status as it is, with the version that the client named. */
function takeStatus(draft: Draft): Draft {
  const { current, request } = draft;
  if (current === undefined) return draft;
  if (!hasStatus(request.kind)) throw notFound(subjectOf(request.kind, current.metadata.name));
  const { status: _before, ...kept }: JsonObject = { ...current };
  const asked = objectAt(draft.object, "metadata");
  const status = draft.object["status"];
  const metadata = { ...current.metadata, resourceVersion: asked["resourceVersion"] ?? "" };
  return {
    ...draft,
    object: { ...kept, metadata, ...(status === undefined || status === null ? {} : { status }) },
  };
}

function carryOverAllButStatus(draft: Draft): Draft {
  const { current, request } = draft;
  if (current === undefined) return draft;
  const metadata = { ...current.metadata };
  return { ...draft, object: assemble(request.kind, metadata, draft.object) };
}

function raiseGeneration(draft: Draft): Draft {
  const { current, object } = draft;
  if (current === undefined || !contentDiffers({ ...current }, object)) return draft;
  const metadata = {
    ...objectAt(object, "metadata"),
    generation: current.metadata.generation + 1,
  };
  return { ...draft, object: { ...object, metadata } };
}

function checkWhole(draft: Draft): Draft {
  checkObject(draft.request.kind, draft.object, draft.current);
  return draft;
}

/**
 * A namespace is made when something is first put into it. kube-apiserver refuses instead; but here manifests that name a
 * namespace, the article's among them, are applied as they stand, and a namespace of the hub holds no quota or policy
 * that somebody would have to set first. A namespace that is being deleted takes nothing new.
 */
function requireNamespace(draft: Draft, env: StepEnv): Draft {
  const { kind, namespace } = draft.request;
  if (!infoOf(kind).namespaced) return draft;
  const found = env.store.get("Namespace", "", namespace);
  if (found?.metadata.deletionTimestamp !== undefined)
    throw forbidden(
      subjectOf(kind, nameOf(draft.object)),
      `unable to create new content in namespace ${namespace} because it is being terminated`,
    );
  if (found !== undefined) return draft;
  return { ...draft, changes: [...draft.changes, newNamespace(namespace, env)] };
}

function newNamespace(name: string, env: StepEnv): Change {
  const metadata = {
    name,
    uid: uuid(env.random, "resources.uid"),
    generation: 1,
    creationTimestamp: timestamp(env.nowMs),
  };
  const object = checkObject(
    "Namespace",
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata,
      spec: { finalizers: ["kubernetes"] },
      status: { phase: "Active" },
    },
    undefined,
  );
  return { key: { kind: "Namespace", namespace: "", name }, expect: "absent", object };
}

function objectStatus(current: AnyObject): JsonObject {
  const { status }: JsonObject = { ...current };
  return status === undefined ? {} : { status };
}
