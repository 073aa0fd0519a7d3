import type { ByteReader, ByteWriter } from "../bytes.ts";
import { MAX_FILE_BYTES } from "../limits.ts";
import type { RandomAccess } from "../random-access.ts";

/** Instruction sets whose addresses the codec foretells. The numbers stand in the format. */
export const ARCHITECTURES = { none: 0, arm64: 1, x64: 2, wasm: 3 } as const;
export type Architecture = keyof typeof ARCHITECTURES;

/** A part of a program that is loaded (a section, or a segment where there are no sections): where it lies in the file and where in memory. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
  readonly address: number;
  readonly memoryLength: number;
  readonly executable: boolean;
}

export interface Image {
  readonly architecture: Architecture;
  readonly segments: readonly Segment[];
}

export const MAX_SEGMENTS_OF_IMAGE = 64;

const NO_IMAGE: Image = { architecture: "none", segments: [] };
const HEAD_BYTES = 64;
const PROGRAM_ENTRY_BYTES = 56;
const SECTION_ENTRY_BYTES = 64;
const PT_LOAD = 1;
const SHT_NOBITS = 8;
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;

/**
 * Reads the heads of an ELF file (64 bit, little endian) or a WebAssembly module; anything else is an image without
 * architecture and segments. Sections are taken where there are some: they tell code from the constants beside it.
 */
export function imageOf(file: RandomAccess): Image {
  if (file.size < HEAD_BYTES) return NO_IMAGE;
  const module = wasmCodeOf(file);
  if (module !== undefined) return { architecture: "wasm", segments: [module] };
  const head = viewOf(file.read(0, HEAD_BYTES));
  if (head.getUint32(0) !== 0x7f454c46 || head.getUint8(4) !== 2 || head.getUint8(5) !== 1)
    return NO_IMAGE;
  const machine = head.getUint16(18, true);
  const architecture = machine === 183 ? "arm64" : machine === 62 ? "x64" : "none";
  const sections = tableOf(file, {
    offset: Number(head.getBigUint64(40, true)),
    entryBytes: head.getUint16(58, true),
    count: head.getUint16(60, true),
    leastBytes: SECTION_ENTRY_BYTES,
  }).flatMap(segmentOfSection);
  const loaded = tableOf(file, {
    offset: Number(head.getBigUint64(32, true)),
    entryBytes: head.getUint16(54, true),
    count: head.getUint16(56, true),
    leastBytes: PROGRAM_ENTRY_BYTES,
  }).flatMap(segmentOfProgram);
  const segments = (sections.length > 1 ? sections : loaded).filter((s) => fits(s, file.size));
  return { architecture, segments: segments.slice(0, MAX_SEGMENTS_OF_IMAGE) };
}

const WASM_SECTION_HEAD_BYTES = 6;
const WASM_CODE_SECTION = 10;
const MAX_WASM_SECTIONS = 1000;

/** The code section of a WebAssembly module; its addresses are places in the file, which nothing in it refers to. */
function wasmCodeOf(file: RandomAccess): Segment | undefined {
  const head = viewOf(file.read(0, 8));
  if (head.getUint32(0) !== 0x0061736d || head.getUint32(4, true) !== 1) return undefined;
  let at = 8;
  for (let i = 0; i < MAX_WASM_SECTIONS && at + WASM_SECTION_HEAD_BYTES <= file.size; i++) {
    const bytes = file.read(at, WASM_SECTION_HEAD_BYTES);
    let length = 0;
    let size = 0;
    do {
      size += 1;
      length += ((bytes[size] ?? 0) & 127) * 128 ** (size - 1);
    } while (size < 5 && (bytes[size] ?? 0) >= 128);
    const offset = at + 1 + size;
    if (bytes[0] === WASM_CODE_SECTION && length > 0 && offset + length <= file.size)
      return { offset, length, address: offset, memoryLength: length, executable: true };
    at = offset + length;
  }
  return undefined;
}

interface Table {
  readonly offset: number;
  readonly entryBytes: number;
  readonly count: number;
  readonly leastBytes: number;
}

function tableOf(file: RandomAccess, table: Table): readonly DataView[] {
  const { offset, entryBytes, count, leastBytes } = table;
  if (entryBytes < leastBytes || offset + entryBytes * count > file.size) return [];
  return Array.from({ length: count }, (_, i) =>
    viewOf(file.read(offset + i * entryBytes, entryBytes).slice()),
  );
}

function segmentOfSection(entry: DataView): readonly Segment[] {
  const flags = Number(entry.getBigUint64(8, true));
  const size = Number(entry.getBigUint64(32, true));
  if ((flags & SHF_ALLOC) === 0 || size === 0) return [];
  return [
    {
      offset: Number(entry.getBigUint64(24, true)),
      length: entry.getUint32(4, true) === SHT_NOBITS ? 0 : size,
      address: Number(entry.getBigUint64(16, true)),
      memoryLength: size,
      executable: (flags & SHF_EXECINSTR) !== 0,
    },
  ];
}

function segmentOfProgram(entry: DataView): readonly Segment[] {
  if (entry.getUint32(0, true) !== PT_LOAD) return [];
  return [
    {
      offset: Number(entry.getBigUint64(8, true)),
      length: Number(entry.getBigUint64(32, true)),
      address: Number(entry.getBigUint64(16, true)),
      memoryLength: Number(entry.getBigUint64(40, true)),
      executable: (entry.getUint32(4, true) & 1) === 1,
    },
  ];
}

function fits(segment: Segment, sizeBytes: number): boolean {
  return (
    segment.offset + segment.length <= sizeBytes &&
    segment.address + segment.memoryLength < MAX_FILE_BYTES
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function writeImage(image: Image, out: ByteWriter): void {
  out.varint(image.segments.length);
  for (const s of image.segments) {
    out.varint(s.offset);
    out.varint(s.length);
    out.varint(s.address);
    out.varint(s.memoryLength);
    out.u8(s.executable ? 1 : 0);
  }
}

export function readSegments(reader: ByteReader): readonly Segment[] {
  const count = reader.varint("number of segments", MAX_SEGMENTS_OF_IMAGE);
  return Array.from({ length: count }, () => ({
    offset: reader.varint("offset of a segment", MAX_FILE_BYTES),
    length: reader.varint("length of a segment", MAX_FILE_BYTES),
    address: reader.varint("address of a segment", MAX_FILE_BYTES),
    memoryLength: reader.varint("length in memory of a segment", MAX_FILE_BYTES),
    executable: reader.u8("rights of a segment") === 1,
  }));
}

/** Turns offsets in the file into addresses and back. */
export class AddressSpace {
  readonly segments: readonly Segment[];
  #byOffset: Segment | undefined;
  #byAddress: Segment | undefined;

  constructor(segments: readonly Segment[]) {
    this.segments = segments;
  }

  /** The segment that holds this place of the file. */
  segmentAt(offset: number): Segment | undefined {
    const last = this.#byOffset;
    if (last !== undefined && offset >= last.offset && offset < last.offset + last.length)
      return last;
    for (const segment of this.segments)
      if (offset >= segment.offset && offset < segment.offset + segment.length) {
        this.#byOffset = segment;
        return segment;
      }
    return undefined;
  }

  /** The segment that holds this address, that of zeroed memory behind the file's part included. */
  segmentOf(address: number): Segment | undefined {
    const last = this.#byAddress;
    if (last !== undefined && address >= last.address && address < last.address + last.memoryLength)
      return last;
    for (const segment of this.segments)
      if (address >= segment.address && address < segment.address + segment.memoryLength) {
        this.#byAddress = segment;
        return segment;
      }
    return undefined;
  }

  /** Address of a place of the file; undefined when it is not loaded. */
  addressAt(offset: number): number | undefined {
    const segment = this.segmentAt(offset);
    return segment && offset - segment.offset + segment.address;
  }
}
