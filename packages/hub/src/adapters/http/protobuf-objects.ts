import { unsupportedMediaType } from "../../domain/resources/api-error.ts";
import { OBJECT_TYPES } from "./bodies.ts";
import { messageField, type ProtoFields, readEnvelope, readFields, textField } from "./protobuf.ts";

/**
 * Core objects as typed clients send them: from 1.32 on, `kubectl create namespace|configmap|secret` sends protobuf and does
 * not try JSON when it is refused. Field numbers of k8s.io/api core/v1 and apimachinery meta/v1 generated.proto. What has
 * no value there (gogo writes zero values too) is left out.
 */
type Decode = (fields: ProtoFields) => Readonly<Record<string, unknown>>;

const DECODERS: Readonly<Record<string, Decode>> = {
  Namespace: (fields) => {
    const finalizers = texts(messageField(fields, 2) ?? new Map(), 1);
    return finalizers.length === 0 ? {} : { spec: { finalizers } };
  },
  ConfigMap: (fields) => ({
    ...named("data", textMap(fields, 2)),
    ...named("binaryData", base64Map(fields, 3)),
    ...named("immutable", flagField(fields, 4)),
  }),
  Secret: (fields) => ({
    ...named("data", base64Map(fields, 2)),
    ...named("type", text(fields, 3)),
    ...named("stringData", textMap(fields, 4)),
    ...named("immutable", flagField(fields, 5)),
  }),
};

/** The object in a protobuf body. Throws 415 for kinds that no client sends so, and BadRequest for what is no message. */
export function decodeProtobufObject(kind: string, body: Uint8Array): unknown {
  const decode = DECODERS[kind];
  if (decode === undefined) throw unsupportedMediaType(OBJECT_TYPES);
  const fields = readEnvelope(body);
  const metadata = objectMeta(messageField(fields, 1) ?? new Map());
  return { apiVersion: "v1", kind, metadata, ...decode(fields) };
}

function objectMeta(fields: ProtoFields): Readonly<Record<string, unknown>> {
  const finalizers = texts(fields, 14);
  const owners = messages(fields, 13).map(ownerReference);
  return {
    ...named("name", text(fields, 1)),
    ...named("generateName", text(fields, 2)),
    ...named("namespace", text(fields, 3)),
    ...named("uid", text(fields, 5)),
    ...named("resourceVersion", text(fields, 6)),
    ...named("labels", textMap(fields, 11)),
    ...named("annotations", textMap(fields, 12)),
    ...named("ownerReferences", owners.length === 0 ? undefined : owners),
    ...named("finalizers", finalizers.length === 0 ? undefined : finalizers),
  };
}

function ownerReference(fields: ProtoFields): Readonly<Record<string, unknown>> {
  return {
    kind: textField(fields, 1) ?? "",
    name: textField(fields, 3) ?? "",
    uid: textField(fields, 4) ?? "",
    apiVersion: textField(fields, 5) ?? "",
    ...named("controller", flagField(fields, 6)),
    ...named("blockOwnerDeletion", flagField(fields, 7)),
  };
}

function named(name: string, value: unknown): Readonly<Record<string, unknown>> {
  return value === undefined ? {} : { [name]: value };
}

function text(fields: ProtoFields, number: number): string | undefined {
  const value = textField(fields, number);
  return value === "" ? undefined : value;
}

function texts(fields: ProtoFields, number: number): readonly string[] {
  return bytesOf(fields, number).map((b) => new TextDecoder().decode(b));
}

function messages(fields: ProtoFields, number: number): readonly ProtoFields[] {
  return bytesOf(fields, number).map((b) => readFields(b));
}

function flagField(fields: ProtoFields, number: number): boolean | undefined {
  const value = fields.get(number)?.at(-1);
  return typeof value === "number" ? value !== 0 : undefined;
}

function textMap(fields: ProtoFields, number: number): unknown {
  return mapOf(fields, number, (bytes) => new TextDecoder().decode(bytes));
}

function base64Map(fields: ProtoFields, number: number): unknown {
  return mapOf(fields, number, (bytes) => Buffer.from(bytes).toString("base64"));
}

/** A map is a list of entries with the key in field 1 and the value in field 2. */
function mapOf(
  fields: ProtoFields,
  number: number,
  valueOf: (bytes: Uint8Array) => string,
): Readonly<Record<string, string>> | undefined {
  const entries = messages(fields, number).map((entry) => {
    const value = entry.get(2)?.at(-1);
    const bytes = value instanceof Uint8Array ? value : new Uint8Array();
    return [textField(entry, 1) ?? "", valueOf(bytes)] as const;
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function bytesOf(fields: ProtoFields, number: number): readonly Uint8Array[] {
  return (fields.get(number) ?? []).filter((v) => v instanceof Uint8Array);
}
