import fc from "fast-check";
import { expect, test } from "vitest";
import { JSON_DEPTH_MAX } from "../kernel/json.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { Codec, type DecodeFailure, encode } from "./codec.ts";
import type { DownMessage } from "./down.ts";
import { DECODE_DETAIL_BYTES_MAX, DOWN_MESSAGE_BYTES_MAX, UP_PACKET_BYTES_MAX } from "./limits.ts";
import type { UpMessage } from "./up.ts";
import { PROTOCOL_VERSION } from "./version.ts";

const codec = new Codec();
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const envelope = { v: 1, id: "m-1", epoch: 3, seq: 9, sentAt: 1_764_086_400_000 };

const reading = {
  capacity: { milliCpu: 4_000, memoryBytes: 8e9, diskBytes: 64e9, gpuCount: 1 },
  usage: {
    cpuRatio: 0.5,
    memoryUsedBytes: 1e9,
    diskUsedBytes: 2e9,
    pressure: { cpuRatio: 0.1 },
    gpus: [{ uuid: "GPU-1", temperatureCelsius: 50 }],
  },
};
const reported = {
  acceptedRevision: 2,
  convergedRevision: 1,
  instances: [
    {
      id: "a.b.c-0",
      specDigest: "d",
      phase: "Running",
      ready: true,
      restartCount: 0,
      pid: 7,
    } as const,
  ],
};
const inventory = {
  architecture: "x64",
  operatingSystem: "linux",
  kernelVersion: "6.8",
  cpuModel: "cpu",
  manufacturer: "",
  machineModel: "",
  runtimes: ["process"],
  gpus: [],
};

/** One sound message of every kind. */
const UP: readonly UpMessage[] = [
  {
    ...envelope,
    kind: "birth",
    body: {
      protocolVersion: PROTOCOL_VERSION,
      agentVersion: "1",
      bootId: "b",
      inventory,
      reading,
      reported,
    },
  },
  { ...envelope, kind: "report", body: { reading, reported } },
  {
    ...envelope,
    kind: "notice",
    expiresAt: 1_764_086_500_000,
    body: { type: "Warning", reason: "R", message: "m", happenedAt: 1, instance: "a.b.c-0" },
  },
  { ...envelope, kind: "desired-get", body: { haveRevision: 0 } },
  {
    ...envelope,
    kind: "log-chunk",
    replyTo: "d-1",
    body: { instance: "a.b.c-0", text: "line\n", truncated: true },
  },
  { ...envelope, kind: "death", seq: 0, body: { bootId: "b" } },
];
const downEnvelope = { v: 1, id: "d-1", sentAt: 1 };
const DOWN: readonly DownMessage[] = [
  { ...downEnvelope, kind: "desired-notify", body: { revision: 1 } },
  {
    ...downEnvelope,
    kind: "desired",
    body: { payload: "{}", signature: "A".repeat(88), keyId: "0123456789abcdef" },
  },
  { ...downEnvelope, kind: "rebirth", body: { reason: "" } },
  { ...downEnvelope, kind: "epoch-behind", body: { seenEpoch: Number.MAX_SAFE_INTEGER - 1 } },
  { ...downEnvelope, kind: "log-get", body: { instance: "a.b.c-0", tailLines: 10 } },
];

test.each(UP)("an up message of kind $kind comes out as it went in", (message) => {
  expect(codec.decodeUp(encode(message))).toEqual({ ok: true, message });
});

test.each(DOWN)("a down message of kind $kind comes out as it went in", (message) => {
  expect(codec.decodeDown(encode(message))).toEqual({ ok: true, message });
});

const report = (changes: object, body: unknown = {}): string =>
  JSON.stringify({ ...envelope, kind: "report", body, ...changes });
const usage = (changes: object): string =>
  report({}, { reading: { ...reading, usage: { ...reading.usage, ...changes } } });
const nested = (levels: number): string =>
  `${'{"v":1,"kind":"report","id":"m","epoch":1,"seq":1,"sentAt":1,"body":{"x":'}${"[".repeat(levels)}${"]".repeat(levels)}}}`;

test.each<[string, DecodeFailure, string]>([
  ["nothing", "not-json", ""],
  ["half a message", "not-json", report({}).slice(0, -1)],
  ["two messages", "not-json", report({}) + report({})],
  ["NaN", "not-json", report({}).replace('"seq":9', '"seq":NaN')],
  ["Infinity", "not-json", report({}).replace('"seq":9', '"seq":Infinity')],
  ["a number", "bad-envelope", "7"],
  ["null", "bad-envelope", "null"],
  ["a list", "bad-envelope", "[]"],
  ["an empty object", "bad-envelope", "{}"],
  ["no body", "bad-envelope", report({ body: undefined })],
  ["a sequence number of 1e999", "bad-envelope", report({}).replace('"seq":9', '"seq":1e999')],
  ["a negative sequence number", "bad-envelope", report({ seq: -1 })],
  ["half a sequence number", "bad-envelope", report({ seq: 1.5 })],
  ["a sequence number that a double cannot count on", "bad-envelope", report({ seq: 2 ** 53 })],
  ["a sequence number as text", "bad-envelope", report({ seq: "9" })],
  ["a negative epoch", "bad-envelope", report({ epoch: -1 })],
  ["a time after the end of Date", "bad-envelope", report({ sentAt: 8.64e15 + 1 })],
  ["an empty id", "bad-envelope", report({ id: "" })],
  ["an endless id", "bad-envelope", report({ id: "x".repeat(65) })],
  [
    "an id of one letter and endless accents",
    "bad-envelope",
    report({ id: `e${"\u0301".repeat(9_999)}` }),
  ],
  ["version 0", "bad-envelope", report({ v: 0 })],
  ["an unknown kind", "unknown-kind", report({ kind: "telemetry" })],
  ["a kind that every object inherits", "unknown-kind", report({ kind: "constructor" })],
  ["a kind of the other direction", "unknown-kind", report({ kind: "desired" })],
  ["a body of a wrong type", "bad-body", report({}, [])],
  ["a body of null", "bad-body", report({}, null)],
  ["a ratio of 1e999", "bad-body", usage({ cpuRatio: 0.25 }).replace("0.25", "1e999")],
  ["a negative ratio", "bad-body", usage({ cpuRatio: -0.1 })],
  ["a ratio above 1", "bad-body", usage({ cpuRatio: 1.1 })],
  ["a ratio of null", "bad-body", usage({ cpuRatio: null })],
  ["a negative disk", "bad-body", usage({ diskUsedBytes: -1 })],
  ["a disk of 1e308 bytes", "bad-body", usage({ diskUsedBytes: 1e308 })],
  [
    "more accelerators than a machine has",
    "bad-body",
    usage({ gpus: Array(65).fill({ uuid: "g" }) }),
  ],
  [
    "an unknown phase",
    "bad-body",
    report(
      {},
      { reported: { ...reported, instances: [{ ...reported.instances[0], phase: "Lost" }] } },
    ),
  ],
  [
    "too many instances",
    "bad-body",
    report({}, { reported: { ...reported, instances: Array(1_001).fill(reported.instances[0]) } }),
  ],
  ["deep nesting", "too-deep", nested(JSON_DEPTH_MAX)],
  ["very deep nesting that never ends", "too-deep", "[".repeat(200_000)],
])("%s is refused as %s", (_, failure, text) => {
  expect(codec.decodeUp(bytesOf(text))).toMatchObject({ ok: false, failure });
});

test("bytes that are no UTF-8 are refused, also in the middle of a text", () => {
  const bytes = bytesOf(report({ id: "abc" }));
  bytes[bytes.indexOf(0x61)] = 0xff;
  expect(codec.decodeUp(bytes)).toMatchObject({ ok: false, failure: "not-utf8" });
});

test("size is judged before anything else, at the limit of each direction", () => {
  const padded = (length: number): Uint8Array => new Uint8Array(length).fill(0x20);
  expect(codec.decodeUp(padded(UP_PACKET_BYTES_MAX + 1))).toMatchObject({ failure: "too-large" });
  expect(codec.decodeUp(padded(UP_PACKET_BYTES_MAX))).toMatchObject({ failure: "not-json" });
  expect(codec.decodeDown(padded(DOWN_MESSAGE_BYTES_MAX + 1))).toMatchObject({
    failure: "too-large",
  });
  const payload = "x".repeat(DOWN_MESSAGE_BYTES_MAX - 512);
  const desired = { payload, signature: "A".repeat(88), keyId: "0123456789abcdef" };
  const message: DownMessage = { ...downEnvelope, kind: "desired", body: desired };
  expect(codec.decodeDown(encode(message)).ok).toBe(true);
});

test("nesting just within the limit is read", () => {
  expect(codec.decodeUp(bytesOf(nested(JSON_DEPTH_MAX - 2))).ok).toBe(true);
});

test("unknown fields are ignored, in the envelope and in the body", () => {
  const text = JSON.stringify({ ...JSON.parse(report({}, { new: 1 })), trace: { id: 1 }, __x: [] });
  expect(codec.decodeUp(bytesOf(text))).toMatchObject({ ok: true, message: { kind: "report" } });
});

test("a message of a newer version is read as far as it is understood", () => {
  expect(codec.decodeUp(bytesOf(report({ v: PROTOCOL_VERSION + 1 }))).ok).toBe(true);
});

test("a refused message names the wrong field, unless it is so large that looking for it costs too much", () => {
  expect(codec.decodeUp(bytesOf(usage({ cpuRatio: 7 })))).toMatchObject({
    detail: expect.stringContaining("/reading/usage/cpuRatio"),
  });
  const hostile = report({}, { reported: { ...reported, instances: Array(100_000).fill(1) } });
  expect(hostile.length).toBeGreaterThan(DECODE_DETAIL_BYTES_MAX);
  expect(codec.decodeUp(bytesOf(hostile))).toEqual({
    ok: false,
    failure: "bad-body",
    detail: "invalid",
  });
});

test("no key of a message reaches a prototype", () => {
  const text = report({}).replace(
    '"body":{}',
    '"body":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}',
  );
  codec.decodeUp(bytesOf(text));
  expect("polluted" in {}).toBe(false);
});

const MUTANTS = 10_000;
const SPLICES = [
  "1e999",
  "-1",
  "null",
  "{}",
  "[]",
  '""',
  "NaN",
  "[[[[",
  '"\\ud800"',
  "\u0000",
  "true",
];

/** A copy of the bytes with one to four damages: flipped, cut, doubled, swapped for another value. */
function mutant(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const below = (n: number): number => Math.floor(random.unit("mutant") * n);
  let out = bytes.slice();
  for (let damage = below(4); damage >= 0; damage--) {
    const at = below(out.length + 1);
    const to = Math.min(out.length, at + below(12));
    const splice = bytesOf(SPLICES[below(SPLICES.length)] ?? "");
    const middles = [
      splice,
      random.bytes(below(4), "mutant"),
      out.subarray(at, to),
      new Uint8Array(),
    ];
    const middle = middles[below(middles.length)] ?? splice;
    const tail = below(2) === 0 ? out.subarray(at) : out.subarray(to);
    out = Uint8Array.of(...out.subarray(0, at), ...middle, ...tail);
  }
  return out;
}

test(`${MUTANTS} mutants of sound messages are decoded or refused, and none throws`, () => {
  const seed = 42;
  const random = new SeededRandom(seed);
  const sound = [...UP, ...DOWN].map(encode);
  const outcomes = new Map<string, number>();
  for (let i = 0; i < MUTANTS; i++) {
    const bytes = mutant(sound[i % sound.length] ?? new Uint8Array(), random);
    for (const decoded of [codec.decodeUp(bytes), codec.decodeDown(bytes)]) {
      const outcome = decoded.ok ? "ok" : decoded.failure;
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  }
  // All outcomes that a change of a few bytes can have did occur: the mutants are neither all sound nor all rubbish.
  for (const outcome of ["ok", "not-utf8", "not-json", "bad-envelope", "unknown-kind", "bad-body"])
    expect({ seed, outcome, count: outcomes.get(outcome) ?? 0 }).not.toMatchObject({ count: 0 });
});

test("any bytes and any JSON at all are decoded or refused", () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map(bytesOf),
    fc.jsonValue().map((body) => bytesOf(report({}, body))),
    fc.jsonValue().map((kind) => bytesOf(JSON.stringify({ ...envelope, kind, body: {} }))),
  );
  fc.assert(
    fc.property(anything, (bytes) => {
      expect(typeof codec.decodeUp(bytes).ok).toBe("boolean");
      expect(typeof codec.decodeDown(bytes).ok).toBe("boolean");
    }),
    { seed: 42, numRuns: 1_000 },
  );
});
