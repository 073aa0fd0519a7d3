import { badRequest } from "../../domain/resources/api-error.ts";

/**
 * Reads the few Kubernetes protobuf bodies that typed clients insist on (DeleteOptions): the `k8s\0` envelope
 * (runtime.Unknown) and plain wire format (protobuf.dev/programming-guides/encoding). Nothing is written as protobuf.
 */
export const PROTOBUF_TYPE = "application/vnd.kubernetes.protobuf";

const MAGIC = [0x6b, 0x38, 0x73, 0x00] as const;
/** Field of runtime.Unknown that holds the message. */
const UNKNOWN_RAW = 2;
/** Longest varint in bytes. */
const VARINT_BYTES_MAX = 10;

/** Fields of one message by number; numbers for varints, bytes for everything with a length. */
export type ProtoFields = ReadonlyMap<number, readonly (number | Uint8Array)[]>;

/** The message inside the envelope. Throws BadRequest when it is none. */
export function readEnvelope(body: Uint8Array): ProtoFields {
  if (!MAGIC.every((byte, i) => body[i] === byte)) throw malformed();
  const raw = readFields(body.subarray(MAGIC.length)).get(UNKNOWN_RAW)?.[0];
  return readFields(raw instanceof Uint8Array ? raw : new Uint8Array());
}

/** Fields of one message. */
export function readFields(bytes: Uint8Array): ProtoFields {
  const fields = new Map<number, (number | Uint8Array)[]>();
  let at = 0;
  while (at < bytes.length) {
    const tag = readVarint(bytes, at);
    const value = readValue(bytes, tag.end, tag.value % 8);
    const number = Math.floor(tag.value / 8);
    fields.set(number, [...(fields.get(number) ?? []), value.value]);
    at = value.end;
  }
  return fields;
}

/** The text of a field; undefined when absent. */
export function textField(fields: ProtoFields, number: number): string | undefined {
  const value = fields.get(number)?.at(-1);
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : undefined;
}

/** The message in a field; undefined when absent. */
export function messageField(fields: ProtoFields, number: number): ProtoFields | undefined {
  const value = fields.get(number)?.at(-1);
  return value instanceof Uint8Array ? readFields(value) : undefined;
}

function readValue(
  bytes: Uint8Array,
  at: number,
  wireType: number,
): { readonly value: number | Uint8Array; readonly end: number } {
  if (wireType === 0) return readVarint(bytes, at);
  const header = wireType === 2 ? readVarint(bytes, at) : { value: fixedLength(wireType), end: at };
  const end = header.end + header.value;
  if (end > bytes.length) throw malformed();
  return { value: bytes.subarray(header.end, end), end };
}

function fixedLength(wireType: number): number {
  if (wireType === 1) return 8;
  if (wireType === 5) return 4;
  throw malformed();
}

function readVarint(
  bytes: Uint8Array,
  start: number,
): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let i = 0; i < VARINT_BYTES_MAX; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw malformed();
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, end: start + i + 1 };
  }
  throw malformed();
}

function malformed(): Error {
  return badRequest("the body of the request is no Kubernetes protobuf message");
}
