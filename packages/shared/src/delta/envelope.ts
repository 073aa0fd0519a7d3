import { ByteReader, ByteWriter } from "./bytes.ts";
import { corrupt, unsupported } from "./errors.ts";
import {
  MAX_BLOCK_BASE_BYTES,
  MAX_BLOCK_BYTES,
  MAX_BLOCK_RANGES,
  MAX_BLOCKS,
  MAX_FILE_BYTES,
  MAX_MAP_BYTES,
} from "./limits.ts";

/** How a block is coded. The numbers stand in the format; docs/delta-format.md says what each payload holds. */
export const BLOCK_CODECS = {
  copy: 0,
  stored: 1,
  zstd: 2,
  brotli: 3,
  prefix: 4,
  planes: 5,
  weights: 6,
  program: 7,
  bsdiff: 8,
} as const;

export type BlockCodec = keyof typeof BLOCK_CODECS;

const CODEC_NAMES: ReadonlyMap<number, BlockCodec> = new Map(
  Object.entries(BLOCK_CODECS).map(([name, number]) => [number, name as BlockCodec]),
);

/** SHA-256 and size of a file. */
export interface FileIdentity {
  readonly size: number;
  readonly sha256: Uint8Array;
}

/** A stretch of the base. */
export interface BaseRange {
  readonly offset: number;
  readonly length: number;
}

export interface DeltaBlock {
  readonly codec: BlockCodec;
  readonly targetLength: number;
  readonly payloadLength: number;
  readonly payloadSha256: Uint8Array;
  /** Of the block's bytes in the target. */
  readonly targetSha256: Uint8Array;
  /** What the decoder needs of the base, in the order in which it is joined. */
  readonly ranges: readonly BaseRange[];
}

/** What is signed: it says all about the delta and binds every byte that comes after. */
export interface DeltaManifest {
  /** Undefined for a full file. */
  readonly base: FileIdentity | undefined;
  readonly target: FileIdentity;
  /** Coded copy map at the begin of the payload, shared by blocks of codec `program`. */
  readonly map: { readonly length: number; readonly sha256: Uint8Array } | undefined;
  readonly blocks: readonly DeltaBlock[];
}

const MAGIC = [0x46, 0x4c, 0x44, 0x4c] as const;
export const DELTA_FORMAT_VERSION = 1;
const HAS_BASE = 1;
const HAS_MAP = 2;
const SHA256_BYTES = 32;

/** Payload bytes of a delta: the map and every block. */
export function payloadLengthOf(manifest: DeltaManifest): number {
  return manifest.blocks.reduce((sum, b) => sum + b.payloadLength, manifest.map?.length ?? 0);
}

export function writeManifest(manifest: DeltaManifest): Uint8Array {
  const out = new ByteWriter(128 + manifest.blocks.length * 96);
  for (const byte of MAGIC) out.u8(byte);
  out.u8(DELTA_FORMAT_VERSION);
  out.u8((manifest.base ? HAS_BASE : 0) | (manifest.map ? HAS_MAP : 0));
  writeIdentity(out, manifest.target);
  if (manifest.base) writeIdentity(out, manifest.base);
  if (manifest.map) {
    out.varint(manifest.map.length);
    out.bytes(manifest.map.sha256);
  }
  out.varint(manifest.blocks.length);
  for (const block of manifest.blocks) writeBlock(out, block, manifest.blocks.length === 1);
  return out.view().slice();
}

function writeIdentity(out: ByteWriter, { size, sha256 }: FileIdentity): void {
  out.varint(size);
  out.bytes(sha256);
}

function writeBlock(out: ByteWriter, block: DeltaBlock, only: boolean): void {
  out.u8(BLOCK_CODECS[block.codec]);
  out.varint(block.targetLength);
  out.varint(block.payloadLength);
  out.bytes(block.payloadSha256);
  // The digest of the only block is that of the file.
  if (!only) out.bytes(block.targetSha256);
  out.varint(block.ranges.length);
  let end = 0;
  for (const range of block.ranges) {
    out.signed(range.offset - end);
    out.varint(range.length);
    end = range.offset + range.length;
  }
}

/** Reads a manifest that nobody checked yet. Throws `delta-corrupt` or `delta-unsupported`; what it returns is consistent. */
export function readManifest(bytes: Uint8Array): DeltaManifest {
  const reader = new ByteReader(bytes);
  if (!MAGIC.every((byte) => reader.u8("magic") === byte))
    throw corrupt("no delta begins like this");
  const version = reader.u8("version");
  if (version !== DELTA_FORMAT_VERSION) throw unsupported(`format version ${version}`);
  const flags = reader.u8("flags");
  if (flags > (HAS_BASE | HAS_MAP)) throw unsupported(`flags ${flags}`);
  const target = readIdentity(reader, "target");
  const base = (flags & HAS_BASE) === 0 ? undefined : readIdentity(reader, "base");
  const map =
    (flags & HAS_MAP) === 0
      ? undefined
      : {
          length: reader.varint("length of the map", MAX_MAP_BYTES),
          sha256: reader.bytes(SHA256_BYTES, "digest of the map").slice(),
        };
  const count = reader.varint("number of blocks", MAX_BLOCKS);
  const blocks: DeltaBlock[] = [];
  let covered = 0;
  for (let i = 0; i < count; i++) {
    const block = readBlock(reader, { base, only: count === 1 ? target : undefined });
    covered += block.targetLength;
    if (covered > target.size) throw corrupt(`block ${i} goes beyond the target's end`);
    blocks.push(block);
  }
  reader.end("the manifest");
  if (covered !== target.size) throw corrupt("the blocks do not cover the target");
  return { base, target, map, blocks };
}

function readIdentity(reader: ByteReader, name: string): FileIdentity {
  const size = reader.varint(`size of the ${name}`, MAX_FILE_BYTES);
  return { size, sha256: reader.bytes(SHA256_BYTES, `digest of the ${name}`).slice() };
}

function readBlock(
  reader: ByteReader,
  of: { base: FileIdentity | undefined; only: FileIdentity | undefined },
): DeltaBlock {
  const number = reader.u8("codec");
  const codec = CODEC_NAMES.get(number);
  if (codec === undefined) throw unsupported(`codec ${number}`);
  const targetLength = reader.varint("length of a block", MAX_BLOCK_BYTES);
  if (targetLength === 0) throw corrupt("a block is empty");
  // A payload that is larger than what it makes is never written.
  const payloadLength = reader.varint("length of a payload", targetLength);
  const payloadSha256 = reader.bytes(SHA256_BYTES, "digest of a payload").slice();
  const targetSha256 = of.only?.sha256 ?? reader.bytes(SHA256_BYTES, "digest of a block").slice();
  const ranges = readRanges(reader, of.base);
  if (codec === "copy" && (payloadLength > 0 || totalOf(ranges) !== targetLength))
    throw corrupt("a copied block is not as long as its base");
  return { codec, targetLength, payloadLength, payloadSha256, targetSha256, ranges };
}

function readRanges(reader: ByteReader, base: FileIdentity | undefined): readonly BaseRange[] {
  const count = reader.varint("number of base ranges", MAX_BLOCK_RANGES);
  if (count > 0 && base === undefined) throw corrupt("a full file names ranges of a base");
  const ranges: BaseRange[] = [];
  let end = 0;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const offset = end + reader.signed("offset of a base range", MAX_FILE_BYTES);
    const length = reader.varint("length of a base range", MAX_BLOCK_BASE_BYTES);
    total += length;
    end = offset + length;
    if (offset < 0 || end > (base?.size ?? 0)) throw corrupt("a base range lies outside the base");
    if (total > MAX_BLOCK_BASE_BYTES) throw corrupt("a block asks for too much of the base");
    ranges.push({ offset, length });
  }
  return ranges;
}

export function totalOf(ranges: readonly BaseRange[]): number {
  return ranges.reduce((sum, r) => sum + r.length, 0);
}
