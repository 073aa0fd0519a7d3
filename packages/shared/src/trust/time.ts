import { type Static, Type } from "typebox";
import { Check } from "typebox/value";
import { ISO_TIME_MS_MAX } from "../kernel/iso-time.ts";
import { canonicalJson } from "../kernel/json.ts";
import type { Opened } from "./metadata.ts";
import type { SigningKey } from "./publish.ts";
import type { TrustKey } from "./shapes.ts";

/**
 * The hub's word for what time it is, for nodes whose own clock nobody vouches for. A node asks for `time/<nonce>` with a nonce
 * that it has never used; the hub answers with that nonce and its time, signed by the key that signs timestamps. An answer that
 * was recorded earlier carries another nonce, so nobody can hold a node's clock back.
 */

/** Bytes of a nonce: 16, so that none is ever used twice. */
export const TIME_NONCE_BYTES = 16;
/** Longest answer that is read. */
export const TIME_ANSWER_BYTES_MAX = 1_024;
/** An answer that came later than this after the question says too little about now: 10 s. */
export const TIME_ROUND_TRIP_MS_MAX = 10_000;
/** Domain separation: no file of TUF begins like this. */
export const TIME_SIGNATURE_CONTEXT = "flotilla/attested-time/v1\n";

const NONCE = "^[0-9a-f]{32}$";
const TIME_PATH = /^time\/([0-9a-f]{32})$/;

/** The answer, as canonical JSON. */
const TimeAnswer = Type.Object(
  {
    keyId: Type.String({ pattern: "^[0-9a-f]{64}$" }),
    nonce: Type.String({ pattern: NONCE }),
    /** Wall-clock time of the hub, milliseconds since 1970. */
    nowMs: Type.Integer({ minimum: 0, maximum: ISO_TIME_MS_MAX }),
    /** Ed25519 over TIME_SIGNATURE_CONTEXT and the canonical JSON of nonce and nowMs; hexadecimal. */
    signature: Type.String({ pattern: "^[0-9a-f]{128}$" }),
  },
  { additionalProperties: false },
);
type TimeAnswer = Static<typeof TimeAnswer>;

/** Path under which the hub answers a nonce: 32 lower-case hexadecimal digits. */
export function timePathOf(nonce: string): string {
  return `time/${nonce}`;
}

/** The nonce of a path; undefined when it asks for something else. */
export function nonceOfTimePath(path: string): string | undefined {
  return TIME_PATH.exec(path)?.[1];
}

/** The hub's answer to a nonce. `key` is the one of the timestamp role. */
export function signTime(
  said: { readonly nonce: string; readonly nowMs: number },
  key: SigningKey,
): Uint8Array {
  const { nonce, nowMs } = said;
  const answer: TimeAnswer = {
    keyId: key.keyId,
    nonce,
    nowMs,
    signature: key.sign(bytesToSign(nonce, nowMs)),
  };
  return new TextEncoder().encode(canonicalJson(answer));
}

/** Why an answer is not believed. */
export type TimeRefusal =
  | "malformed"
  /** An answer to another question: recorded, or mixed up. */
  | "other-nonce"
  /** By no key that the trusted root names for timestamps, or by too few. */
  | "unsigned"
  /** Before a time that was believed already. */
  | "before-floor"
  | "too-slow";

export type TimeVerdict =
  | { readonly kind: "attested"; readonly nowMs: number }
  | { readonly kind: "refused"; readonly reason: TimeRefusal };

/** What a node asked, and what it knows already. */
export interface TimeQuestion {
  readonly nonce: string;
  /** The root that the node trusts. */
  readonly root: Opened<"root">;
  /** No time before this is believed. */
  readonly floorMs: number;
  /** From question to answer, by a clock that does not jump. */
  readonly roundTripMs: number;
}

/** Whether one key has signed these bytes; `signature` is hexadecimal. Never throws. */
export type SignatureCheck = (key: TrustKey, bytes: Uint8Array, signature: string) => boolean;

/** Whether the answer says what time it is. Never throws, whatever the bytes are. */
export function judgeTime(
  answer: Uint8Array,
  question: TimeQuestion,
  isSignature: SignatureCheck,
): TimeVerdict {
  const refused = (reason: TimeRefusal): TimeVerdict => ({ kind: "refused", reason });
  const said = readAnswer(answer);
  if (said === undefined) return refused("malformed");
  if (said.nonce !== question.nonce) return refused("other-nonce");
  const { keys, roles } = question.root.signed;
  const { keyids, threshold } = roles.timestamp;
  const key = keyids.includes(said.keyId) ? keys[said.keyId] : undefined;
  // One answer carries one signature: where timestamps take two keys, no single one tells the time.
  if (key === undefined || threshold > 1) return refused("unsigned");
  if (!isSignature(key, bytesToSign(said.nonce, said.nowMs), said.signature))
    return refused("unsigned");
  if (question.roundTripMs > TIME_ROUND_TRIP_MS_MAX) return refused("too-slow");
  if (said.nowMs < question.floorMs) return refused("before-floor");
  return { kind: "attested", nowMs: said.nowMs };
}

function readAnswer(bytes: Uint8Array): TimeAnswer | undefined {
  if (bytes.byteLength > TIME_ANSWER_BYTES_MAX) return undefined;
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return Check(TimeAnswer, value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function bytesToSign(nonce: string, nowMs: number): Uint8Array {
  return new TextEncoder().encode(TIME_SIGNATURE_CONTEXT + canonicalJson({ nonce, nowMs }));
}
