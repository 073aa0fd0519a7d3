import { ByteReader, ByteWriter } from "./bytes.ts";
import type { Compressor } from "./compressor.ts";
import { corrupt } from "./errors.ts";

const WIDTHS = [2, 4, 8] as const;

/** The bytes of numbers, sorted by their place in the number: high bytes resemble each other, low ones do not. */
export function encodePlanes(
  target: Uint8Array,
  width: 2 | 4 | 8,
  compressor: Compressor,
): Uint8Array {
  const whole = target.length - (target.length % width);
  const planes = new Uint8Array(target.length);
  const length = whole / width;
  for (let plane = 0; plane < width; plane++)
    for (let i = 0; i < length; i++) planes[plane * length + i] = target[i * width + plane] ?? 0;
  planes.set(target.subarray(whole), whole);
  const out = new ByteWriter(target.length);
  out.u8(width);
  out.bytes(compressor.zstd(planes));
  return out.view().slice();
}

export function decodePlanes(
  payload: Uint8Array,
  target: Uint8Array,
  compressor: Compressor,
): void {
  const reader = new ByteReader(payload);
  const given = reader.u8("width of planes");
  const width = WIDTHS.find((w) => w === given);
  if (width === undefined) throw corrupt(`planes of ${given} bytes`);
  const planes = compressor.unzstd(reader.bytes(reader.remaining, "planes"), target.length);
  const whole = target.length - (target.length % width);
  const length = whole / width;
  for (let plane = 0; plane < width; plane++)
    for (let i = 0; i < length; i++) target[i * width + plane] = planes[plane * length + i] ?? 0;
  target.set(planes.subarray(whole), whole);
}
