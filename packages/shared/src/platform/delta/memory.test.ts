import { expect, test } from "vitest";
import { BlockDecoder } from "../../delta/decode.ts";
import { encodeDelta } from "../../delta/encode.ts";
import type { EncodeInput } from "../../delta/encode-types.ts";
import { BLOCK_BYTES, MAX_BLOCKS, MAX_FILE_BYTES } from "../../delta/limits.ts";
import { blockBytesFor, decoderMemoryBytes } from "../../delta/memory.ts";
import { inMemory } from "../../delta/random-access.ts";
import { rawLayout } from "../../delta/weights/detect.ts";
import { SeededRandom } from "../../testing/seeded-random.ts";
import { nodeCompressor, nodeDigests } from "./node-compressor.ts";

const MEGABYTE = 1024 * 1024;
const DEPS = { compressor: nodeCompressor, digests: nodeDigests };
const NONE: EncodeInput["layouts"] = { old: [], new: [] };

function made(
  old: Uint8Array,
  fresh: Uint8Array,
  how: Pick<EncodeInput, "layouts" | "memoryBytesMax">,
): { manifest: ReturnType<typeof encodeDelta>; codecs: readonly string[]; size: number } {
  const parts: Uint8Array[] = [];
  const input = { base: inMemory(old), target: inMemory(fresh), profile: "fast", ...how } as const;
  const manifest = encodeDelta(input, DEPS, (bytes) => parts.push(bytes));
  const payload = Buffer.concat(parts);
  let at = manifest.map?.length ?? 0;
  const decoder = new BlockDecoder(
    { manifest, base: inMemory(old), map: manifest.map && payload.subarray(0, at) },
    DEPS,
  );
  const blocks = manifest.blocks.map((block, i) => {
    at += block.payloadLength;
    return decoder.decode(i, payload.subarray(at - block.payloadLength, at)).slice();
  });
  expect(Buffer.compare(Buffer.concat(blocks), fresh)).toBe(0);
  const codecs = [...new Set(manifest.blocks.map((b) => b.codec))];
  return { manifest, codecs, size: payload.length };
}

/** Bytes in which long stretches come back elsewhere, a few of them altered. */
function moved(random: SeededRandom): { old: Uint8Array; fresh: Uint8Array } {
  const old = random.bytes(2 * MEGABYTE, "old");
  const fresh = Buffer.concat([old.subarray(MEGABYTE), old.subarray(0, MEGABYTE)]);
  for (let i = 0; i < 2000; i++) fresh[Math.floor(random.unit("at") * fresh.length)] = i;
  return { old, fresh };
}

test("a decoder with little memory gets smaller blocks and codecs that fit, at the cost of bytes", () => {
  const { old, fresh } = moved(new SeededRandom(4));
  const free = made(old, fresh, { layouts: NONE });
  expect(free.codecs).toContain("program");
  const tight = made(old, fresh, { layouts: NONE, memoryBytesMax: 12 * MEGABYTE });
  expect(decoderMemoryBytes(free.manifest)).toBeGreaterThan(12 * MEGABYTE);
  expect(decoderMemoryBytes(tight.manifest)).toBeLessThanOrEqual(12 * MEGABYTE);
  expect(tight.manifest.blocks.length).toBeGreaterThan(free.manifest.blocks.length);
  expect(tight.size).toBeGreaterThan(free.size);
});

test("weights that do not fit go as what takes less memory; where nothing fits, the least is chosen", () => {
  const random = new SeededRandom(5);
  const old = Float32Array.from({ length: 60_000 }, () => random.unit("weight"));
  const fresh = old.map((w) => w + 1e-5);
  const bytes = [new Uint8Array(old.buffer), new Uint8Array(fresh.buffer)] as const;
  const layouts = {
    old: rawLayout("f32", bytes[0].length),
    new: rawLayout("f32", bytes[1].length),
  };
  expect(made(...bytes, { layouts, memoryBytesMax: 24 * MEGABYTE }).codecs).toEqual(["weights"]);
  const tight = made(...bytes, { layouts, memoryBytesMax: 6 * MEGABYTE });
  expect(tight.codecs).not.toContain("weights");
  expect(decoderMemoryBytes(tight.manifest)).toBeLessThanOrEqual(6 * MEGABYTE);
  expect(made(...bytes, { layouts, memoryBytesMax: 0 }).codecs).toEqual(["stored"]);
});

test("blocks shrink with memory, but no file has more blocks than a manifest may name", () => {
  expect(blockBytesFor(undefined, 1)).toBe(BLOCK_BYTES);
  expect(blockBytesFor(64 * MEGABYTE, 1)).toBe(BLOCK_BYTES);
  expect(blockBytesFor(16 * MEGABYTE, 1)).toBe(2 * MEGABYTE);
  expect(blockBytesFor(0, 1)).toBe(256 * 1024);
  expect(blockBytesFor(0, MAX_FILE_BYTES)).toBe(BLOCK_BYTES);
  const size = MAX_FILE_BYTES / 4;
  expect(Math.ceil(size / blockBytesFor(0, size))).toBeLessThanOrEqual(MAX_BLOCKS);
});
