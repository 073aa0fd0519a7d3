import { type DeltaBlock, type DeltaManifest, totalOf } from "./envelope.ts";
import { BLOCK_BYTES, MAX_BLOCKS } from "./limits.ts";

/** What decoding holds whatever the codec: buffers of files and zlib, garbage that waits for its collection. */
const FIXED_BYTES = 4 * 1024 * 1024;
/** Models of the codecs, bytes. Those of weights are for the slow profile, which the manifest does not tell from the fast one. */
const MODEL_BYTES: Readonly<Record<DeltaBlock["codec"], number>> = {
  copy: 0,
  stored: 0,
  zstd: 0,
  brotli: 0,
  prefix: 0,
  planes: 0,
  weights: 8 * 1024 * 1024,
  program: 12 * 1024 * 1024,
  bsdiff: 2 * 1024 * 1024,
};
/** Codecs whose bytes come out of zlib, which holds them a second time, and a window of as many. */
const UNPACKED: ReadonlySet<DeltaBlock["codec"]> = new Set([
  "zstd",
  "brotli",
  "prefix",
  "planes",
  "program",
  "bsdiff",
]);
/** Memory that the copy map takes, unpacked and indexed, for each byte that it is long in the payload. */
const MAP_FACTOR = 20;
/** Blocks get no smaller than this, however little memory there is: their digests would outweigh them. */
const LEAST_BLOCK_BYTES = 256 * 1024;
/** Of the memory at hand a block may fill this share: its base, its payload and zlib need the rest. */
const BLOCK_SHARE = 6;

type BlockShape = Pick<DeltaBlock, "codec" | "targetLength" | "payloadLength" | "ranges">;

/** Memory above the runtime that decoding one block takes, the map left out, bytes: an estimate from above. */
export function blockMemoryBytes(block: BlockShape): number {
  const held = block.targetLength + block.payloadLength + totalOf(block.ranges);
  const unpacked = UNPACKED.has(block.codec) ? 2 * block.targetLength : 0;
  return FIXED_BYTES + MODEL_BYTES[block.codec] + held + unpacked;
}

/** Memory above the runtime that a copy map takes in a decoder, bytes; `codedBytes` is its length in the payload. */
export function mapMemoryBytes(codedBytes: number): number {
  return codedBytes * MAP_FACTOR;
}

/**
 * Most memory above the runtime that decoding a delta takes, bytes. What a node can spare for a patch is compared with
 * it. It does not depend on the size of the file, only on its most demanding block and on the copy map.
 */
export function decoderMemoryBytes(manifest: DeltaManifest): number {
  const blocks = manifest.blocks.reduce((most, b) => Math.max(most, blockMemoryBytes(b)), 0);
  return Math.max(FIXED_BYTES, blocks) + mapMemoryBytes(manifest.map?.length ?? 0);
}

/**
 * Bytes of the target in one block, for a target of `sizeBytes` and a decoder with this much memory (undefined: as much
 * as it likes). Never so few that the file has more than `MAX_BLOCKS` blocks.
 */
export function blockBytesFor(memoryBytesMax: number | undefined, sizeBytes: number): number {
  let bytes = BLOCK_BYTES;
  if (memoryBytesMax === undefined) return bytes;
  const wanted = (memoryBytesMax - FIXED_BYTES) / BLOCK_SHARE;
  const least = Math.max(LEAST_BLOCK_BYTES, (2 * sizeBytes) / MAX_BLOCKS);
  while (bytes > wanted && bytes / 2 >= least) bytes /= 2;
  return bytes;
}
