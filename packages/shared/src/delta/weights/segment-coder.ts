import { BitModel } from "../adaptive.ts";
import type { BinaryCoder } from "../range-coder.ts";
import { ElementCoder, Log4, type WeightsProfile } from "./element-coder.ts";
import { type ElementTraits, type ElementType, TRAITS } from "./element-types.ts";
import { ScaleEstimate } from "./scale.ts";

/** A stretch of equal elements of the target and where its old values lie. */
export interface SegmentShape {
  readonly type: ElementType;
  readonly count: number;
  readonly columns: number;
  /** Chunks without any change are told by one bit each. */
  readonly sparse: boolean;
}

type Purpose = "difference" | "whole" | "direct";

const CHUNK = 1024;
/** Length of a chunk of a sparse segment. */
const SPARSE_CHUNK = 64;
/** A row longer than this is cut: estimates by column then cost more memory than they save. */
export const MAX_COLUMNS = 65_536;

/** Codes segments one after another with models that go on learning. Encoder and decoder run the same code. */
export class SegmentCoder {
  /** Models for differences of floats, of whole numbers, and for values of their own; made when first needed. */
  readonly #elements = new Map<Purpose, ElementCoder>();
  readonly #profile: WeightsProfile;
  readonly #scale = new ScaleEstimate();
  readonly #old = new Uint32Array(CHUNK);
  readonly #new = new Uint32Array(CHUNK);
  readonly #values = new Float32Array(this.#new.buffer);
  readonly #olds = new Float32Array(this.#old.buffer);
  /** Powers of two from 2^-160 on. */
  readonly #units = powersOfTwo();
  #half: Float32Array | undefined;
  readonly #slow: boolean;
  readonly #log4 = new Log4();
  readonly #changed = new BitModel({ slots: [16], mixerSets: 1, countLimit: 250, learningRate: 0 });
  #history = 0;

  constructor(profile: WeightsProfile) {
    this.#profile = profile;
    this.#slow = profile === "slow";
  }

  #coderFor(purpose: Purpose): ElementCoder {
    let coder = this.#elements.get(purpose);
    if (coder === undefined) {
      coder = new ElementCoder(this.#profile);
      this.#elements.set(purpose, coder);
    }
    return coder;
  }

  /** Everything forgotten, as new. */
  reset(): void {
    for (const elements of this.#elements.values()) elements.reset();
    this.#changed.reset();
    this.#history = 0;
    this.#scale.reset();
  }

  /** Codes `target` against `old` (the same length), or alone when there is no old. `decoding` says that target is to be filled. */
  code(
    coder: BinaryCoder,
    shape: SegmentShape,
    data: { readonly old: Uint8Array | undefined; readonly target: Uint8Array },
    decoding: boolean,
  ): void {
    const traits = TRAITS[shape.type];
    this.#scale.begin(Math.min(shape.columns, shape.count));
    const step = shape.sparse ? SPARSE_CHUNK : CHUNK;
    for (let at = 0; at < shape.count; at += step) {
      const count = Math.min(step, shape.count - at);
      if (data.old === undefined) this.#old.fill(0, 0, count);
      else load(data.old, at, { count, width: traits.widthBytes }, this.#old);
      if (!decoding) load(data.target, at, { count, width: traits.widthBytes }, this.#new);
      if (shape.sparse && this.#sameChunk(coder, count)) {
        this.#new.set(this.#old.subarray(0, count));
        this.#scale.skip(count);
      } else if (data.old === undefined && traits.exponentBits > 0)
        this.#direct(coder, traits, count);
      else this.#differences(coder, traits, count);
      if (decoding) store(this.#new, at, { count, width: traits.widthBytes }, data.target);
    }
  }

  #sameChunk(coder: BinaryCoder, count: number): boolean {
    let changed = 0;
    for (let i = 0; i < count && changed === 0; i++) if (this.#old[i] !== this.#new[i]) changed = 1;
    const seen = this.#changed.code(coder, changed, this.#history, 0);
    this.#history = ((this.#history << 1) | seen) & 15;
    return seen === 0;
  }

  #differences(coder: BinaryCoder, traits: ElementTraits, count: number): void {
    const { widthBytes, exponentBits, mantissaBits, exponentBias } = traits;
    const isFloat = exponentBits > 0;
    const bits = 8 * widthBytes;
    const signBit = (1 << (bits - 1)) >>> 0;
    const mask = bits === 32 ? 0xffffffff : (1 << bits) - 1;
    const unused = 32 - bits;
    const maxExponent = (1 << exponentBits) - 1;
    const elements = this.#coderFor(isFloat ? "difference" : "whole");
    const scale = this.#scale;
    const place = { unitLog4: 0, oldByte: 0, oldNegative: 0, maxLength: bits };
    for (let i = 0; i < count; i++) {
      const old = this.#old[i] ?? 0;
      const ordered = isFloat ? ((old & signBit) !== 0 ? ~old & mask : old | signBit) : old;
      place.oldNegative = (old & signBit) === 0 ? 0 : 1;
      if (isFloat) {
        const exponent = (old >>> mantissaBits) & maxExponent;
        place.unitLog4 = 4 * ((exponent === 0 ? 1 : exponent) - exponentBias - mantissaBits);
        place.oldByte =
          (old >>> (bits - 8)) & 127
            ? (old >>> (mantissaBits > 2 ? mantissaBits - 2 : 0)) & 255
            : 0;
      } else place.oldByte = old & 255;
      scale.look();
      let target = this.#new[i] ?? 0;
      const orderedTarget = isFloat
        ? (target & signBit) !== 0
          ? ~target & mask
          : target | signBit
        : target;
      const given = ((orderedTarget - ordered) << unused) >> unused;
      const difference = elements.difference(coder, given, scale, place);
      const sum = (ordered + difference) & mask;
      target = (isFloat ? ((sum & signBit) !== 0 ? sum & ~signBit : ~sum & mask) : sum) >>> 0;
      this.#new[i] = target;
      this.#learn(difference, this.#distance(traits, i, difference));
    }
  }

  #learn(difference: number, size: number): void {
    const scale = this.#scale;
    // Infinities and NaN have no distance; what follows shall not be foretold from them.
    if (!(size < 1e30)) {
      scale.skip(1);
      return;
    }
    if (this.#slow) {
      const log4 = difference === 0 ? -1000 : this.#log4.of(size);
      scale.lastLog4 = log4;
      scale.above[scale.column] = log4;
    }
    scale.learn(size, difference > 0 ? 1 : difference < 0 ? -1 : 0);
  }

  /** |new - old| as numbers. */
  #distance(traits: ElementTraits, i: number, difference: number): number {
    if (difference === 0) return 0;
    if (traits.exponentBits === 0) return difference < 0 ? -difference : difference;
    if (traits.widthBytes === 2) {
      // Near values: the unit of the old one times the steps between them, without a look into the table.
      const steps = difference < 0 ? -difference : difference;
      const exponent =
        ((this.#old[i] ?? 0) >>> traits.mantissaBits) & ((1 << traits.exponentBits) - 1);
      const unit = this.#units[exponent - traits.exponentBias - traits.mantissaBits + 160] ?? 0;
      if (steps < 1 << traits.mantissaBits) return steps * unit;
    }
    const distance = this.#number(traits, i, true) - this.#number(traits, i, false);
    return distance < 0 ? -distance : distance;
  }

  #number(traits: ElementTraits, i: number, ofTarget: boolean): number {
    if (traits.widthBytes === 4) return (ofTarget ? this.#values[i] : this.#olds[i]) ?? 0;
    const bits = (ofTarget ? this.#new[i] : this.#old[i]) ?? 0;
    if (traits.exponentBits !== 5) return this.#brain(bits);
    this.#half ??= halfTable(this.#units);
    return this.#half[bits] ?? 0;
  }

  #brain(bits: number): number {
    this.#scratchBits[0] = bits << 16;
    return this.#scratch[0] ?? 0;
  }

  readonly #scratch = new Float32Array(1);
  readonly #scratchBits = new Uint32Array(this.#scratch.buffer);

  #direct(coder: BinaryCoder, traits: ElementTraits, count: number): void {
    const elements = this.#coderFor("direct");
    const scale = this.#scale;
    for (let i = 0; i < count; i++) {
      scale.look();
      const target = elements.direct(coder, this.#new[i] ?? 0, scale, traits);
      this.#new[i] = target;
      const number = this.#number(traits, i, true);
      const size = number < 0 ? -number : number;
      this.#learn(number < 0 ? -1 : 1, size);
    }
  }
}

/** 2^-160 … 2^160 by doubling: a power function may round differently elsewhere. */
function powersOfTwo(): Float64Array {
  const powers = new Float64Array(321);
  let power = 1;
  for (let n = 0; n <= 160; n++, power *= 2) {
    powers[160 + n] = power;
    powers[160 - n] = 1 / power;
  }
  return powers;
}

/** Values of all half floats. */
function halfTable(units: Float64Array): Float32Array {
  return Float32Array.from({ length: 65_536 }, (_, bits) => {
    const exponent = (bits >>> 10) & 31;
    const mantissa = bits & 1023;
    const sign = bits >= 32_768 ? -1 : 1;
    if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    const unit = units[(exponent === 0 ? 1 : exponent) - 25 + 160] ?? 0;
    return sign * (exponent === 0 ? mantissa : 1024 + mantissa) * unit;
  });
}

interface Stretch {
  readonly count: number;
  readonly width: 1 | 2 | 4;
}

function load(
  bytes: Uint8Array,
  first: number,
  { count, width }: Stretch,
  into: Uint32Array,
): void {
  let at = first * width;
  if (width === 1) for (let i = 0; i < count; i++) into[i] = bytes[at++] ?? 0;
  else if (width === 2)
    for (let i = 0; i < count; i++, at += 2)
      into[i] = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  else
    for (let i = 0; i < count; i++, at += 4)
      into[i] =
        (bytes[at] ?? 0) |
        ((bytes[at + 1] ?? 0) << 8) |
        ((bytes[at + 2] ?? 0) << 16) |
        ((bytes[at + 3] ?? 0) << 24);
}

function store(
  from: Uint32Array,
  first: number,
  { count, width }: Stretch,
  into: Uint8Array,
): void {
  let at = first * width;
  for (let i = 0; i < count; i++) {
    const value = from[i] ?? 0;
    into[at++] = value;
    if (width === 1) continue;
    into[at++] = value >>> 8;
    if (width === 2) continue;
    into[at++] = value >>> 16;
    into[at++] = value >>> 24;
  }
}
