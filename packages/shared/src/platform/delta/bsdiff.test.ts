import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBsdiffBlock, encodeBsdiffBlock } from "../../delta/bsdiff/bsdiff-block.ts";
import { ByteWriter } from "../../delta/bytes.ts";
import { BlockDecoder } from "../../delta/decode.ts";
import { MAX_CONTROL_BYTES } from "../../delta/limits.ts";
import { Matcher } from "../../delta/program/matcher.ts";
import { inMemory } from "../../delta/random-access.ts";
import { SeededRandom } from "../../testing/seeded-random.ts";
import { MAX_WINDOW_BYTES, NativeBsdiff, stepsOf } from "./bsdiff.ts";
import { encodeDeltaFully } from "./encode.ts";
import { nodeCompressor, nodeDigests } from "./node-compressor.ts";

const SEED = 8;

/** Without a compiler at install time there is no native part: then only what does not need it is tested. */
function hasNative(): boolean {
  try {
    const path = "bsdiff-node/build/Release/bsdiff.node";
    return existsSync(createRequire(import.meta.url).resolve(path));
  } catch {
    return false;
  }
}

function decoded(payload: Uint8Array, base: Uint8Array, length: number): Uint8Array {
  const target = new Uint8Array(length);
  decodeBsdiffBlock(payload, { base, target }, nodeCompressor);
  return target;
}

test("any target comes back from the streams of any base", () => {
  const some = fc.oneof(
    fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 90 }).map((a) => Uint8Array.from(a)),
    fc.uint8Array({ maxLength: 300 }),
  );
  fc.assert(
    fc.property(some, some, (base, target) => {
      fc.pre(target.length > 0);
      const steps = new Matcher(base).steps(target, 0);
      const payload = encodeBsdiffBlock(steps, { base, target }, nodeCompressor);
      expect(decoded(payload ?? new Uint8Array(0), base, target.length)).toEqual(target);
    }),
    { seed: SEED, numRuns: 100 },
  );
});

const BASE = new Uint8Array(1000).map((_, i) => (i * 37) ^ (i >> 2));

/** A payload by hand: one step, plain streams. */
function crafted(
  control: readonly number[],
  streams: { difference: number; extra: number },
): Uint8Array {
  const columns = new ByteWriter();
  columns.varint(1);
  for (const number of control) columns.varint(number);
  const out = new ByteWriter();
  out.varint(columns.length);
  for (const bytes of [
    columns.view(),
    new Uint8Array(streams.difference),
    new Uint8Array(streams.extra),
  ]) {
    out.u8(0);
    out.blob(bytes);
  }
  return out.view();
}

test.each([
  ["copies more than the block makes", [101, 0, 0], { difference: 101, extra: 0 }, "target"],
  ["adds more than the block makes", [0, 101, 0], { difference: 0, extra: 101 }, "added length"],
  ["reads behind the base", [100, 0, 2 * 901], { difference: 100, extra: 0 }, "outside the base"],
  ["has a length of 2^63", [2 ** 62, 0, 0], { difference: 1, extra: 0 }, "copied length"],
  ["brings too few bytes", [60, 40, 0], { difference: 59, extra: 40 }, "another length"],
  ["brings too many bytes", [60, 40, 0], { difference: 61, extra: 40 }, "more than 60"],
] as const)("a block that %s is refused", (_, control, streams, message) => {
  expect(() => decoded(crafted(control, streams), BASE, 100)).toThrow(message);
});

test("a control stream longer than a decoder takes is neither made nor read", () => {
  const target = new Uint8Array(MAX_CONTROL_BYTES);
  const steps = Array.from({ length: MAX_CONTROL_BYTES }, () => ({ from: 0, copied: 0, added: 1 }));
  expect(encodeBsdiffBlock(steps, { base: BASE, target }, nodeCompressor)).toBeUndefined();
  const payload = new ByteWriter();
  payload.varint(MAX_CONTROL_BYTES + 1);
  expect(() => decoded(payload.view(), BASE, 100)).toThrow("length of the control stream");
});

test("streams that unpack to more than was told are never unpacked", () => {
  const columns = new ByteWriter();
  for (const number of [1, 100, 0, 0]) columns.varint(number);
  const out = new ByteWriter();
  out.varint(columns.length);
  out.u8(0);
  out.blob(columns.view());
  out.u8(2);
  out.blob(nodeCompressor.zstd(new Uint8Array(1_000_000)));
  expect(() => decoded(out.view(), BASE, 100)).toThrow("delta: compressed bytes");
});

test.runIf(hasNative())(
  "bsdiff-node finds what moved, in a process of its own, and a block of its steps comes back",
  async () => {
    const random = new SeededRandom(SEED);
    const base = random.bytes(60_000, "base");
    const target = Buffer.concat([base.subarray(20_000), random.bytes(500, "new"), base]);
    for (let i = 0; i < target.length; i += 997) target[i] = (target[i] ?? 0) + 1;
    const said: string[] = [];
    const steps = await new NativeBsdiff((why) => said.push(why)).answer({ base, target });
    expect(said).toEqual([]);
    const payload = encodeBsdiffBlock(steps ?? [], { base, target }, nodeCompressor);
    expect(payload?.length).toBeLessThan(2000);
    expect(Buffer.compare(decoded(payload ?? base, base, target.length), target)).toBe(0);
  },
);

test.runIf(hasNative())("an encoder that may use bsdiff alone makes a delta of it", async () => {
  const random = new SeededRandom(SEED);
  const old = random.bytes(200_000, "base");
  const fresh = Buffer.concat([old.subarray(100_000), random.bytes(300, "new"), old]);
  const parts: Uint8Array[] = [];
  const input = {
    base: inMemory(old),
    target: inMemory(fresh),
    layouts: { old: [], new: [] },
    profile: "fast",
    codecs: ["bsdiff"],
  } as const;
  const manifest = await encodeDeltaFully(input, new NativeBsdiff(() => {}), (bytes) =>
    parts.push(bytes),
  );
  expect(manifest.blocks.map((b) => b.codec)).toEqual(["bsdiff"]);
  const deps = { compressor: nodeCompressor, digests: nodeDigests };
  const decoder = new BlockDecoder({ manifest, base: inMemory(old), map: undefined }, deps);
  expect(Buffer.compare(decoder.decode(0, Buffer.concat(parts)), fresh)).toBe(0);
});

test("where bsdiff is missing or fails the encoder says so once and goes on", async () => {
  const said: string[] = [];
  const bsdiff = new NativeBsdiff((why) => said.push(why), "/nowhere/bsdiff.node");
  const random = new SeededRandom(SEED);
  const target = random.bytes(40_000, "target");
  const question = { base: random.bytes(50_000, "base"), target };
  expect(await bsdiff.answer(question)).toBeUndefined();
  expect(await bsdiff.answer(question)).toBeUndefined();
  expect(said).toHaveLength(1);
  const noted = new Uint8Array(MAX_WINDOW_BYTES + 1);
  expect(await bsdiff.answer({ base: noted, target })).toBeUndefined();
});

test.each([
  ["is no patch", Buffer.from("PK\u0003\u0004".padEnd(64)), "no patch"],
  ["is cut off", Buffer.concat([Buffer.from("BSDIFF40"), Buffer.alloc(8, 1)]), "no patch"],
  ["makes another size", head(0, 101), "another size"],
  ["tells a length that is not there", head(2 ** 40, 100), "cut off"],
  ["tells a negative length", head(-5, 100), "cut off"],
])("what comes back from the child is not trusted: a patch that %s", (_, patch, message) => {
  expect(() => stepsOf(patch, { base: 1000, target: 100 })).toThrow(message);
});

function head(controlBytes: number, size: number): Buffer {
  const out = Buffer.alloc(40);
  out.write("BSDIFF40");
  const sign = controlBytes < 0 ? 0x80000000 : 0;
  const magnitude = Math.abs(controlBytes);
  out.writeUInt32LE(magnitude % 2 ** 32, 8);
  out.writeUInt32LE((Math.floor(magnitude / 2 ** 32) | sign) >>> 0, 12);
  out.writeUInt32LE(size, 24);
  return out;
}
