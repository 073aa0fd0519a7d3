import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { messageOf } from "../kernel/errors.ts";
import { JSON_DEPTH_MAX, jsonDepth } from "../kernel/json.ts";
import { DOWN_SCHEMAS, type DownMessage } from "./down.ts";
import { DownEnvelope, UpEnvelope } from "./envelope.ts";
import { DECODE_DETAIL_BYTES_MAX, DOWN_MESSAGE_BYTES_MAX, UP_PACKET_BYTES_MAX } from "./limits.ts";
import { UP_SCHEMAS, type UpMessage } from "./up.ts";
import { PROTOCOL_VERSION_MIN } from "./version.ts";

/** Why a payload is no message. A closed set: it labels a metric. */
export type DecodeFailure =
  | "too-large"
  | "too-deep"
  | "not-utf8"
  | "not-json"
  | "bad-envelope"
  | "old-version"
  | "unknown-kind"
  | "bad-body";

export type Decoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly failure: DecodeFailure; readonly detail: string };

interface Checker {
  Check(value: unknown): boolean;
  Errors(value: unknown): readonly { readonly instancePath: string; readonly message: string }[];
}

/** Decodes and checks messages. Holds compiled schemas, so make one per process and pass it along. */
export class Codec {
  readonly #upEnvelope: Checker = Compile(UpEnvelope);
  readonly #downEnvelope: Checker = Compile(DownEnvelope);
  readonly #up: ReadonlyMap<string, Checker> = compileAll(UP_SCHEMAS);
  readonly #down: ReadonlyMap<string, Checker> = compileAll(DOWN_SCHEMAS);

  /** Bytes of an up message → message. Size and depth are judged before anything is parsed. */
  decodeUp(payload: Uint8Array): Decoded<UpMessage> {
    return decode<UpMessage>(payload, {
      bytesMax: UP_PACKET_BYTES_MAX,
      envelope: this.#upEnvelope,
      bodies: this.#up,
    });
  }

  /** Bytes of a down message → message. */
  decodeDown(payload: Uint8Array): Decoded<DownMessage> {
    return decode<DownMessage>(payload, {
      bytesMax: DOWN_MESSAGE_BYTES_MAX,
      envelope: this.#downEnvelope,
      bodies: this.#down,
    });
  }
}

/** Message → bytes (UTF-8 JSON). */
export function encode(message: UpMessage | DownMessage): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

function compileAll(schemas: Readonly<Record<string, TSchema>>): ReadonlyMap<string, Checker> {
  return new Map(Object.entries(schemas).map(([kind, schema]) => [kind, Compile(schema)]));
}

interface Rules {
  readonly bytesMax: number;
  readonly envelope: Checker;
  readonly bodies: ReadonlyMap<string, Checker>;
}

function decode<Message>(payload: Uint8Array, rules: Rules): Decoded<Message> {
  if (payload.byteLength > rules.bytesMax)
    return fail("too-large", `${payload.byteLength} bytes, at most ${rules.bytesMax}`);
  const parsed = parse(payload);
  if (!parsed.ok) return parsed;
  const envelope = parsed.message;
  const detailOf = (checker: Checker, value: unknown): string =>
    payload.byteLength > DECODE_DETAIL_BYTES_MAX ? "invalid" : firstError(checker, value);
  if (!rules.envelope.Check(envelope))
    return fail("bad-envelope", detailOf(rules.envelope, envelope));
  const { v, kind, body } = envelope as UpEnvelope;
  if (v < PROTOCOL_VERSION_MIN)
    return fail("old-version", `version ${v}, at least ${PROTOCOL_VERSION_MIN}`);
  const checker = rules.bodies.get(kind);
  if (checker === undefined) return fail("unknown-kind", kind);
  if (!checker.Check(body)) return fail("bad-body", detailOf(checker, body));
  return { ok: true, message: envelope as Message };
}

function parse(payload: Uint8Array): Decoded<unknown> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(payload);
  } catch (error) {
    return fail("not-utf8", messageOf(error));
  }
  if (jsonDepth(text) > JSON_DEPTH_MAX) return fail("too-deep", `deeper than ${JSON_DEPTH_MAX}`);
  try {
    return { ok: true, message: JSON.parse(text) };
  } catch (error) {
    return fail("not-json", messageOf(error));
  }
}

function firstError(checker: Checker, value: unknown): string {
  const error = checker.Errors(value)[0];
  return error === undefined ? "invalid" : `${error.instancePath || "/"} ${error.message}`;
}

function fail(
  failure: DecodeFailure,
  detail: string,
): { ok: false; failure: DecodeFailure; detail: string } {
  return { ok: false, failure, detail };
}
