import { ByteReader, ByteWriter } from "../bytes.ts";
import type { Compressor } from "../compressor.ts";
import { corrupt } from "../errors.ts";
import { MAX_CONTROL_BYTES } from "../limits.ts";
import { copyMapOf, readCopyMap, writeCopyMap } from "../program/copy-map.ts";
import type { CopyStep } from "../program/matcher.ts";

/** How a stream is packed. The numbers stand in the format. */
const PLAIN = 0;
const BROTLI = 1;
const ZSTD = 2;
/** Brotli is tried on streams up to this size, and on larger ones that Zstandard packs to an eighth: others take seconds. */
const BROTLI_BYTES = 512 * 1024;
const SPARSE_SHARE = 8;

/** The streams of bsdiff, packed anew. Undefined when the control stream is longer than a decoder takes. */
export function encodeBsdiffBlock(
  steps: readonly CopyStep[],
  { base, target }: { readonly base: Uint8Array; readonly target: Uint8Array },
  compressor: Compressor,
): Uint8Array | undefined {
  const control = new ByteWriter(65_536);
  writeCopyMap(copyMapOf(steps), control);
  if (control.length > MAX_CONTROL_BYTES) return undefined;
  const difference = new Uint8Array(steps.reduce((sum, s) => sum + s.copied, 0));
  const extra = new Uint8Array(target.length - difference.length);
  let at = 0;
  let [inDifference, inExtra] = [0, 0];
  for (const { from, copied, added } of steps) {
    for (let i = 0; i < copied; i++)
      difference[inDifference + i] = (target[at + i] ?? 0) - (base[from + i] ?? 0);
    extra.set(target.subarray(at + copied, at + copied + added), inExtra);
    at += copied + added;
    inDifference += copied;
    inExtra += added;
  }
  const out = new ByteWriter(65_536);
  out.varint(control.length);
  writeStream(out, control.view(), compressor);
  writeStream(out, difference, compressor);
  writeStream(out, extra, compressor);
  return out.view().slice();
}

/** Fills `target`; every length is checked before a byte is made. */
export function decodeBsdiffBlock(
  payload: Uint8Array,
  { base, target }: { readonly base: Uint8Array; readonly target: Uint8Array },
  compressor: Compressor,
): void {
  const reader = new ByteReader(payload);
  const controlLength = reader.varint("length of the control stream", MAX_CONTROL_BYTES);
  const control = new ByteReader(readStream(reader, controlLength, compressor));
  const { from, copied, added } = readCopyMap(control, {
    base: base.length,
    target: target.length,
  });
  control.end("the control stream");
  const length = copied.reduce((sum, n) => sum + n, 0);
  const difference = readStream(reader, length, compressor);
  const extra = readStream(reader, target.length - length, compressor);
  reader.end("the streams");
  let at = 0;
  let [inDifference, inExtra] = [0, 0];
  for (let step = 0; step < from.length; step++) {
    const [start, count, fresh] = [from[step] ?? 0, copied[step] ?? 0, added[step] ?? 0];
    for (let i = 0; i < count; i++)
      target[at + i] = (difference[inDifference + i] ?? 0) + (base[start + i] ?? 0);
    target.set(extra.subarray(inExtra, inExtra + fresh), at + count);
    at += count + fresh;
    inDifference += count;
    inExtra += fresh;
  }
}

function writeStream(out: ByteWriter, bytes: Uint8Array, compressor: Compressor): void {
  if (bytes.length === 0) return;
  let packing = PLAIN;
  let best = bytes;
  const zstd = compressor.zstd(bytes);
  if (zstd.length < best.length) [packing, best] = [ZSTD, zstd];
  if (bytes.length <= BROTLI_BYTES || zstd.length * SPARSE_SHARE < bytes.length) {
    const brotli = compressor.brotli(bytes, "generic");
    if (brotli.length < best.length) [packing, best] = [BROTLI, brotli];
  }
  out.u8(packing);
  out.blob(best);
}

function readStream(reader: ByteReader, length: number, compressor: Compressor): Uint8Array {
  if (length === 0) return new Uint8Array(0);
  const packing = reader.u8("packing of a stream");
  const bytes = reader.blob("stream", length);
  if (packing === ZSTD) return compressor.unzstd(bytes, length);
  if (packing === BROTLI) return compressor.unbrotli(bytes, length);
  if (packing !== PLAIN) throw corrupt(`packing ${packing} of a stream is unknown`);
  if (bytes.length !== length) throw corrupt("a plain stream has another length");
  return bytes;
}
