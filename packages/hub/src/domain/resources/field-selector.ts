import { type KindName, VIEWS, type ViewName } from "@flotilla/shared/model/kinds";
import { badRequest } from "./api-error.ts";
import { isJsonObject, type JsonObject } from "./body-shape.ts";
import { infoOf } from "./kind-lookup.ts";
import { SELECTOR_LENGTH_MAX } from "./label-selector.ts";

/** True for an object that the selector selects. */
export type FieldMatcher = (object: JsonObject) => boolean;

const INVOLVED = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];

/** Fields that can be selected beside metadata.name and metadata.namespace. docs list them. */
const FIELDS: Readonly<Partial<Record<KindName | ViewName, readonly string[]>>> = {
  Event: [
    ...INVOLVED.map((field) => `involvedObject.${field}`),
    "reason",
    "type",
    "source",
    "reportingComponent",
  ],
  Pod: ["spec.nodeName", "status.phase", "spec.restartPolicy"],
  Node: ["spec.unschedulable"],
  EdgeNode: ["spec.site", "status.life", "spec.unschedulable"],
  Assignment: ["spec.node", "spec.site", "spec.application", "spec.component"],
  JoinToken: ["spec.site"],
  Application: ["status.phase"],
  Fleet: ["status.phase"],
  Namespace: ["status.phase"],
  Secret: ["type"],
};

/** Events are about what is stored; who describes a Pod or a Node means the object that it shows. */
const SHOWN_OF: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(VIEWS).map(([view, { of }]) => [view, of]),
);

interface Term {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

/** Throws BadRequest for a text that is no selector and for fields that the kind does not offer. */
export function parseFieldSelector(
  kind: KindName | ViewName,
  text: string | undefined,
): FieldMatcher {
  if (text === undefined || text === "") return () => true;
  if (text.length > SELECTOR_LENGTH_MAX)
    throw badRequest(`fieldSelector: longer than ${SELECTOR_LENGTH_MAX} characters`);
  const terms = splitTerms(text).map((term) => parseTerm(kind, term, text));
  return (object) => terms.every((t) => (valueAt(object, t.field) === t.value) === t.equal);
}

/** The value when the selector is for exactly one name; that read needs no list. */
export function selectedName(text: string | undefined): string | undefined {
  return /^metadata\.name==?([^,=!\\]+)$/.exec(text ?? "")?.[1];
}

/** At commas that no backslash stands before. */
function splitTerms(text: string): readonly string[] {
  return (text.match(/(?:\\.|[^,\\])+/g) ?? []).filter((term) => term !== "");
}

function parseTerm(kind: KindName | ViewName, term: string, text: string): Term {
  const match = /^((?:\\.|[^=!\\])*)(==|!=|=)((?:\\.|[^\\])*)$/.exec(term);
  if (match === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
  const [, field = "", operator, value = ""] = match;
  const supported = [
    "metadata.name",
    ...(infoOf(kind).namespaced ? ["metadata.namespace"] : []),
    ...(FIELDS[kind] ?? []),
  ];
  if (!supported.includes(field)) throw badRequest(`field label not supported: ${field}`);
  const plain = value.replace(/\\([\\,=])/g, "$1");
  const meant = field === "involvedObject.kind" ? (SHOWN_OF[plain] ?? plain) : plain;
  return { field, equal: operator !== "!=", value: meant };
}

/** The field as text; "" when absent, as Kubernetes reads it. */
function valueAt(object: JsonObject, field: string): string {
  let value: unknown = object;
  for (const part of field === "source" ? ["source", "component"] : field.split("."))
    value = isJsonObject(value) ? value[part] : undefined;
  if (field === "spec.unschedulable") return value === true ? "true" : "false";
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : "";
}
