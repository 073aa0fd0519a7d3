import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { must } from "../kernel/assert.ts";
import { isSignature } from "../platform/ed25519.ts";
import { tufTools } from "../platform/tuf.ts";
import { LAB_START_MS } from "../testing/trust-lab.ts";
import { namedKey, TufRepository } from "../testing/tuf-repository.ts";
import { openMetadata } from "./metadata.ts";
import {
  judgeTime,
  nonceOfTimePath,
  signTime,
  TIME_ANSWER_BYTES_MAX,
  TIME_ROUND_TRIP_MS_MAX,
  type TimeQuestion,
  timePathOf,
} from "./time.ts";

const tools = tufTools();
const NONCE = "00112233445566778899aabbccddeeff";
const NOW_MS = LAB_START_MS + 5_000;

function question(over: Partial<TimeQuestion> = {}, repository = repositoryOf()): TimeQuestion {
  const root = openMetadata("root", { subject: "root", bytes: repository.newest("root") }, tools);
  return { nonce: NONCE, root, floorMs: LAB_START_MS, roundTripMs: 40, ...over };
}

function repositoryOf(): TufRepository {
  return new TufRepository({ nowMs: LAB_START_MS }, { tools });
}

const honest = signTime({ nonce: NONCE, nowMs: NOW_MS }, namedKey("timestamp-a", tools));
const judge = (answer: Uint8Array, asked: TimeQuestion = question()) =>
  judgeTime(answer, asked, isSignature);

describe("the hub's word for the time", () => {
  it("is believed when the key of timestamps has signed the nonce that was asked for", () => {
    expect(judge(honest)).toEqual({ kind: "attested", nowMs: NOW_MS });
    expect(nonceOfTimePath(timePathOf(NONCE))).toBe(NONCE);
    expect(nonceOfTimePath("metadata/timestamp.json")).toBeUndefined();
  });

  it("is not believed when it answers another question", () => {
    const asked = question({ nonce: "ff".repeat(16) });
    expect(judge(honest, asked)).toEqual({ kind: "refused", reason: "other-nonce" });
  });

  it("is not believed from a key of another role, nor for a key that stands in the root no more", () => {
    const other = signTime({ nonce: NONCE, nowMs: NOW_MS }, namedKey("snapshot-a", tools));
    expect(judge(other)).toEqual({ kind: "refused", reason: "unsigned" });
    const rotated = repositoryOf();
    rotated.rotate("timestamp", ["timestamp-b"], 1);
    expect(judge(honest, question({}, rotated))).toEqual({ kind: "refused", reason: "unsigned" });
    const two = repositoryOf();
    two.rotate("timestamp", ["timestamp-a", "timestamp-b"], 2);
    expect(judge(honest, question({}, two))).toEqual({ kind: "refused", reason: "unsigned" });
  });

  it.each([
    [0, "attested"],
    [1, "refused"],
  ])("floor %i ms after the answer: %s", (after, kind) => {
    expect(judge(honest, question({ floorMs: NOW_MS + after })).kind).toBe(kind);
  });

  it.each([
    [TIME_ROUND_TRIP_MS_MAX, "attested"],
    [TIME_ROUND_TRIP_MS_MAX + 1, "refused"],
  ])("after %i ms on the way: %s", (roundTripMs, kind) => {
    expect(judge(honest, question({ roundTripMs })).kind).toBe(kind);
  });

  it("is not read beyond its longest length, and whatever else comes is refused without an error", () => {
    const long = new TextEncoder().encode(" ".repeat(TIME_ANSWER_BYTES_MAX + 1));
    expect(judge(long)).toEqual({ kind: "refused", reason: "malformed" });
    fc.assert(
      fc.property(fc.nat(honest.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const altered = Uint8Array.from(honest);
        altered[at] = must(altered[at], "a byte") ^ mask;
        expect(judge(altered).kind).toBe("refused");
      }),
      { numRuns: 200, seed: 5 },
    );
  });
});
