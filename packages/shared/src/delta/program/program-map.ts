import { ByteReader, ByteWriter } from "../bytes.ts";
import type { Compressor } from "../compressor.ts";
import { corrupt, unsupported } from "../errors.ts";
import { MAX_MAP_BYTES } from "../limits.ts";
import type { RandomAccess } from "../random-access.ts";
import { type CopyMap, OldToNew, readCopyMap, startsOf, writeCopyMap } from "./copy-map.ts";
import {
  ARCHITECTURES,
  type Architecture,
  type Image,
  readSegments,
  type Segment,
  writeImage,
} from "./image.ts";
import { readValueMap, writeValueMap } from "./value-map.ts";
import { NO_WASM_MAPS, type WasmMaps } from "./wasm-coder.ts";
import { wasmMapsOf } from "./wasm-votes.ts";

/** What all blocks of a program share: what came from where, and where things lie in memory. */
export interface ProgramMap {
  readonly architecture: Architecture;
  readonly old: readonly Segment[];
  readonly new: readonly Segment[];
  readonly copies: CopyMap;
  /** Where each step begins in the target. */
  readonly starts: Float64Array;
  readonly places: OldToNew;
  readonly wasm: WasmMaps;
}

export function programMapOf(
  images: { old: Image; new: Image },
  copies: CopyMap,
  files: { readonly base: RandomAccess; readonly target: RandomAccess },
): ProgramMap {
  // Addresses of one instruction set say nothing about another's.
  const same = images.old.architecture === images.new.architecture;
  const architecture = same ? images.old.architecture : "none";
  return {
    architecture,
    old: images.old.segments,
    new: images.new.segments,
    copies,
    starts: startsOf(copies),
    places: new OldToNew(copies),
    wasm: architecture === "wasm" ? wasmMapsOf(files, images, copies) : NO_WASM_MAPS,
  };
}

/** Undefined when the map is too large for a decoder. */
export function writeProgramMap(map: ProgramMap, compressor: Compressor): Uint8Array | undefined {
  const raw = new ByteWriter(65_536);
  raw.u8(ARCHITECTURES[map.architecture]);
  writeImage({ architecture: map.architecture, segments: map.old }, raw);
  writeImage({ architecture: map.architecture, segments: map.new }, raw);
  writeCopyMap(map.copies, raw);
  if (map.architecture === "wasm") {
    writeValueMap(map.wasm.functions, raw);
    writeValueMap(map.wasm.addresses, raw);
  }
  if (raw.length > MAX_MAP_BYTES) return undefined;
  const out = new ByteWriter(65_536);
  out.varint(raw.length);
  out.bytes(compressor.brotli(raw.view(), "generic"));
  return out.view().slice();
}

export function readProgramMap(
  bytes: Uint8Array,
  sizes: { readonly base: number; readonly target: number },
  compressor: Compressor,
): ProgramMap {
  const head = new ByteReader(bytes);
  const length = head.varint("length of the map", MAX_MAP_BYTES);
  const reader = new ByteReader(compressor.unbrotli(head.bytes(head.remaining, "map"), length));
  const number = reader.u8("instruction set");
  const architecture = Object.entries(ARCHITECTURES).find(([, n]) => n === number)?.[0];
  if (architecture === undefined) throw unsupported(`instruction set ${number}`);
  const old = readSegments(reader);
  const fresh = readSegments(reader);
  for (const [segments, size] of [
    [old, sizes.base],
    [fresh, sizes.target],
  ] as const)
    if (segments.some((s) => s.offset + s.length > size))
      throw corrupt("a segment lies outside its file");
  const copies = readCopyMap(reader, sizes);
  const wasm =
    architecture === "wasm"
      ? { functions: readValueMap(reader), addresses: readValueMap(reader) }
      : NO_WASM_MAPS;
  reader.end("the map");
  return {
    architecture: architecture as Architecture,
    wasm,
    old,
    new: fresh,
    copies,
    starts: startsOf(copies),
    places: new OldToNew(copies),
  };
}
