import fc from "fast-check";
import { expect, test } from "vitest";
import { CodedError } from "../kernel/errors.ts";
import {
  BLOCK_CODECS,
  type BlockCodec,
  type DeltaManifest,
  payloadLengthOf,
  readManifest,
  writeManifest,
} from "./envelope.ts";
import { MAX_BLOCK_RANGES, MAX_BLOCKS, MAX_MAP_BYTES } from "./limits.ts";

const SEED = 13;
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const block = fc.record({
  codec: fc.constantFrom(
    ...(Object.keys(BLOCK_CODECS) as BlockCodec[]).filter((c) => c !== "copy"),
  ),
  targetLength: fc.integer({ min: 100, max: 4_194_304 }),
  payloadLength: fc.integer({ min: 0, max: 100 }),
  payloadSha256: digest,
  targetSha256: digest,
  ranges: fc.array(fc.record({ offset: fc.nat(1000), length: fc.nat(1000) }), { maxLength: 5 }),
});

const manifests: fc.Arbitrary<DeltaManifest> = fc
  .record({
    blocks: fc.array(block, { minLength: 2, maxLength: 5 }),
    base: digest,
    target: digest,
    map: fc.option(digest, { nil: undefined }),
  })
  .map(({ blocks, base, target, map }) => ({
    base: { size: 5000, sha256: base },
    target: { size: blocks.reduce((sum, b) => sum + b.targetLength, 0), sha256: target },
    map: map && { length: 77, sha256: map },
    blocks,
  }));

test("a manifest comes back as it was written", () => {
  fc.assert(
    fc.property(manifests, (manifest) => {
      expect(readManifest(writeManifest(manifest))).toEqual(manifest);
    }),
    { seed: SEED, numRuns: 200 },
  );
});

test("a manifest that is cut anywhere, or longer than it says, is refused", () => {
  const [manifest] = fc.sample(manifests, { seed: SEED, numRuns: 1 });
  const bytes = writeManifest(manifest as DeltaManifest);
  for (let cut = 0; cut < bytes.length; cut++)
    expect(() => readManifest(bytes.subarray(0, cut))).toThrow(CodedError);
  expect(() => readManifest(Uint8Array.of(...bytes, 0))).toThrow("bytes follow");
});

const GOOD: DeltaManifest = {
  base: { size: 100, sha256: new Uint8Array(32) },
  target: { size: 50, sha256: new Uint8Array(32) },
  map: undefined,
  blocks: [
    {
      codec: "prefix",
      targetLength: 50,
      payloadLength: 10,
      payloadSha256: new Uint8Array(32),
      targetSha256: new Uint8Array(32),
      ranges: [{ offset: 0, length: 100 }],
    },
  ],
};
const withBlock = (change: Partial<DeltaManifest["blocks"][number]>): DeltaManifest => ({
  ...GOOD,
  blocks: GOOD.blocks.map((b) => ({ ...b, ...change })),
});

test.each<[string, DeltaManifest, string]>([
  ["a block beyond the target", withBlock({ targetLength: 51 }), "beyond the target"],
  ["too little for the target", withBlock({ targetLength: 49 }), "do not cover"],
  ["an empty block", withBlock({ targetLength: 0, payloadLength: 0 }), "is empty"],
  [
    "a block longer than a decoder takes",
    { ...withBlock({ targetLength: 9_000_000 }), target: { ...GOOD.target, size: 9_000_000 } },
    "more than 8388608",
  ],
  ["a payload longer than its block", withBlock({ payloadLength: 51 }), "more than 50"],
  [
    "a range behind the base",
    withBlock({ ranges: [{ offset: 1, length: 100 }] }),
    "outside the base",
  ],
  [
    "more of the base than a block may ask",
    {
      ...withBlock({ ranges: Array.from({ length: 9 }, () => ({ offset: 0, length: 2 ** 21 })) }),
      base: { size: 2 ** 21, sha256: new Uint8Array(32) },
    },
    "too much of the base",
  ],
  [
    "a copy of another length",
    withBlock({ codec: "copy", payloadLength: 0 }),
    "not as long as its base",
  ],
  ["ranges without a base", { ...GOOD, base: undefined }, "names ranges of a base"],
  [
    "a file beyond the limit",
    { ...GOOD, target: { ...GOOD.target, size: 2 ** 52 } },
    "size of the target",
  ],
])("%s is refused", (_, manifest, message) => {
  expect(() => readManifest(writeManifest(manifest))).toThrow(message);
});

const tiny = { ...(GOOD.blocks[0] as DeltaManifest["blocks"][number]), codec: "stored" } as const;
const withBlocks = (count: number): DeltaManifest => ({
  ...GOOD,
  target: { ...GOOD.target, size: count },
  blocks: Array.from({ length: count }, () => ({
    ...tiny,
    targetLength: 1,
    payloadLength: 1,
    ranges: [],
  })),
});
const withRanges = (count: number): DeltaManifest =>
  withBlock({ ranges: Array.from({ length: count }, () => ({ offset: 7, length: 1 })) });
const withMap = (length: number): DeltaManifest => ({
  ...GOOD,
  map: { length, sha256: new Uint8Array(32) },
});

test.each<[string, (count: number) => DeltaManifest, number, string]>([
  ["blocks", withBlocks, MAX_BLOCKS, "number of blocks"],
  ["ranges in a block", withRanges, MAX_BLOCK_RANGES, "number of base ranges"],
  ["bytes of a map", withMap, MAX_MAP_BYTES, "length of the map"],
])("as many %s as a decoder takes are read, one more is refused", (_, make, most, message) => {
  expect(readManifest(writeManifest(make(most)))).toEqual(make(most));
  expect(() => readManifest(writeManifest(make(most + 1)))).toThrow(message);
});

test("a length of 2^63 is refused wherever it stands", () => {
  const bytes = writeManifest(withMap(5));
  const huge = [128, 128, 128, 128, 128, 128, 128, 128, 128, 1];
  // Size of the target, size of the base, length of the map, number of blocks, lengths of a block, number of ranges, a range.
  const places = [6, 39, 72, 105, 107, 108, 141, 142, 143];
  for (const at of places) {
    const altered = Uint8Array.of(...bytes.subarray(0, at), ...huge, ...bytes.subarray(at + 1));
    expect(() => readManifest(altered)).toThrow("longer than 8 bytes");
  }
});

test.each([
  ["magic", 0, "begins like this"],
  ["version", 4, "format version"],
  ["flags", 5, "flags"],
])("another %s is refused", (_, at, message) => {
  const bytes = writeManifest(GOOD);
  bytes[at] = 0xee;
  expect(() => readManifest(bytes)).toThrow(message);
});

test("the payload is the map and all blocks", () => {
  expect(payloadLengthOf({ ...GOOD, map: { length: 5, sha256: new Uint8Array(32) } })).toBe(15);
});
