import { BitModel } from "../adaptive.ts";
import type { BinaryCoder } from "../range-coder.ts";
import { type ElementTraits } from "./element-types.ts";
import type { ScaleEstimate } from "./scale.ts";

/** `fast` asks one model per decision, `slow` mixes several: a few percent smaller, several times the work. */
export type WeightsProfile = "fast" | "slow";

const LEVELS = 192;
const ZERO_LEVEL = 48;
const RECENTS = 4;
const LADDER_NODES = 64;
const SIDES = 40;
const MANTISSA_NODES = 16;
const MANTISSA_LEVELS = 24;

/** log2 of positive numbers in quarters, linear between powers of two: read off their bits, so the same everywhere. */
export class Log4 {
  readonly #float = new Float32Array(1);
  readonly #bits = new Uint32Array(this.#float.buffer);

  of(value: number): number {
    this.#float[0] = value;
    return ((this.#bits[0] ?? 0) >>> 21) - 508;
  }
}

/**
 * Codes one number as bit length, sign and bits below the first, each by its own models. The bit length is found by
 * steps from the foretold one upwards or downwards.
 */
export class ElementCoder {
  readonly #slow: boolean;
  readonly #ladder: BitModel;
  readonly #sign: BitModel;
  readonly #mantissa: BitModel;
  readonly #log4 = new Log4();

  constructor(profile: WeightsProfile) {
    this.#slow = profile === "slow";
    const main = LEVELS * RECENTS * LADDER_NODES;
    this.#ladder = new BitModel({
      slots: this.#slow
        ? [
            main,
            main,
            main,
            SIDES * SIDES * LADDER_NODES,
            LEVELS * 16 * LADDER_NODES,
            256 * LADDER_NODES,
          ]
        : [main],
      mixerSets: LADDER_NODES * 8,
      countLimit: this.#slow ? 700 : 400,
      learningRate: 0.012,
    });
    this.#sign = new BitModel({
      slots: this.#slow ? [7 * 7 * 2 * 4, 512, 7 * LEVELS] : [7 * 7 * 2 * 4],
      mixerSets: 8,
      countLimit: 400,
      learningRate: 0.006,
    });
    this.#mantissa = new BitModel({
      slots: this.#slow
        ? [
            MANTISSA_LEVELS * 40 * MANTISSA_NODES,
            64 * 4 * MANTISSA_NODES,
            256 * 40 * MANTISSA_NODES,
          ]
        : [MANTISSA_LEVELS * 8 * MANTISSA_NODES],
      mixerSets: MANTISSA_NODES * 8,
      countLimit: 700,
      learningRate: 0.006,
    });
  }

  reset(): void {
    this.#ladder.reset();
    this.#sign.reset();
    this.#mantissa.reset();
  }

  /** Codes a difference; `unitLog4` is log2 of what a difference of 1 is worth at the old value. */
  difference(
    coder: BinaryCoder,
    value: number,
    scale: ScaleEstimate,
    place: { unitLog4: number; oldByte: number; oldNegative: number; maxLength: number },
  ): number {
    const level = levelOf(this.#log4.of(scale.estimate) - place.unitLog4);
    this.#prepare(level, scale, place);
    const size = value < 0 ? -value : value;
    const length = this.#length(
      coder,
      32 - Math.clz32(size),
      (level - ZERO_LEVEL) >> 2,
      place.maxLength,
    );
    if (length === 0) return 0;
    const negative = this.#signBit(coder, value < 0 ? 1 : 0, scale, place);
    const magnitude = length === 1 ? 1 : this.#below(coder, size, length, level);
    return negative === 0 ? magnitude : -magnitude;
  }

  #prepare(
    level: number,
    scale: ScaleEstimate,
    place: { unitLog4: number; oldByte: number },
  ): void {
    const recent = scale.recent < 0.4 ? 0 : scale.recent < 0.85 ? 1 : scale.recent < 1.5 ? 2 : 3;
    const { base, offset } = this.#ladder;
    base[0] = (offset[0] ?? 0) + (level * RECENTS + recent) * LADDER_NODES;
    if (!this.#slow) return;
    const unit = place.unitLog4;
    const byColumn = levelOf(this.#log4.of(scale.columnMean) - unit);
    base[1] = (offset[1] ?? 0) + (byColumn * RECENTS + recent) * LADDER_NODES;
    const byRecent = levelOf(this.#log4.of(scale.estimate * (0.3 + 0.7 * scale.recent)) - unit);
    base[2] = (offset[2] ?? 0) + (byRecent * RECENTS + sideClass(scale.rowRatio)) * LADDER_NODES;
    const left = sideOf(scale.lastLog4 - unit);
    const above = sideOf((scale.above[scale.column] ?? 0) - unit);
    base[3] = (offset[3] ?? 0) + (left * SIDES + above) * LADDER_NODES;
    base[4] = (offset[4] ?? 0) + (level * 16 + (place.oldByte >> 4)) * LADDER_NODES;
    base[5] = (offset[5] ?? 0) + place.oldByte * LADDER_NODES;
  }

  #length(coder: BinaryCoder, length: number, foretold: number, max: number): number {
    const start = foretold < 0 ? 0 : foretold > max - 1 ? max - 1 : foretold;
    const model = this.#ladder;
    const set = (start > 7 ? 7 : start) * LADDER_NODES;
    let at = start;
    if (model.code(coder, length > at ? 1 : 0, 0, set) === 1) {
      at += 1;
      for (let node = 1; at < max; at++, node++)
        if (model.code(coder, length > at ? 1 : 0, node, set + node) === 0) break;
      return at;
    }
    for (let node = 32; at > 0; at--, node++)
      if (model.code(coder, length < at ? 1 : 0, node, set + node) === 0) break;
    return at;
  }

  #signBit(
    coder: BinaryCoder,
    negative: number,
    scale: ScaleEstimate,
    place: { oldByte: number; oldNegative: number },
  ): number {
    const { base, offset } = this.#sign;
    const row = signClass(scale.rowSign);
    const column = signClass(scale.columnSign);
    base[0] = (offset[0] ?? 0) + ((row * 7 + column) * 2 + place.oldNegative) * 4;
    if (this.#slow) {
      base[1] = (offset[1] ?? 0) + place.oldByte * 2;
      base[2] = (offset[2] ?? 0) + column * LEVELS;
    }
    return this.#sign.code(coder, negative, 0, 0);
  }

  /** The bits below the first: two or three by models, the rest as they are. */
  #below(coder: BinaryCoder, size: number, length: number, level: number): number {
    const { base, offset } = this.#mantissa;
    const off = (level >> 1) - 2 * length - (ZERO_LEVEL >> 1) + 12;
    const near = off < 0 ? 0 : off >= MANTISSA_LEVELS ? MANTISSA_LEVELS - 1 : off;
    if (this.#slow) {
      base[0] = (offset[0] ?? 0) + (near * 40 + length) * MANTISSA_NODES;
      base[1] = (offset[1] ?? 0) + length * MANTISSA_NODES;
      base[2] = (offset[2] ?? 0) + (level * 40 + length) * MANTISSA_NODES;
    } else base[0] = (offset[0] ?? 0) + (near * 8 + (length > 7 ? 7 : length)) * MANTISSA_NODES;
    const most = this.#slow ? 3 : 2;
    const modelled = length - 1 < most ? length - 1 : most;
    let node = 1;
    for (let i = 1; i <= modelled; i++)
      node = node * 2 + this.#mantissa.code(coder, (size >>> (length - 1 - i)) & 1, node, node);
    const plain = length - 1 - modelled;
    if (plain === 0) return node;
    if (plain <= 16) return node * (1 << plain) + coder.raw(size & ((1 << plain) - 1), plain);
    const high = coder.raw((size >>> 16) & ((1 << (plain - 16)) - 1), plain - 16);
    return node * 2 ** plain + high * 65_536 + coder.raw(size & 65_535, 16);
  }

  /** Codes a value of its own, without an old one: exponent by steps from the foretold one, then sign and mantissa. */
  direct(coder: BinaryCoder, value: number, scale: ScaleEstimate, traits: ElementTraits): number {
    const { exponentBits, mantissaBits } = traits;
    const max = (1 << exponentBits) - 1;
    const level = levelOf(this.#log4.of(scale.estimate));
    this.#prepare(level, scale, { unitLog4: 0, oldByte: 0 });
    const foretold = (this.#log4.of(scale.estimate) >> 2) + traits.exponentBias;
    const exponent = this.#exponent(coder, (value >>> mantissaBits) & max, foretold, max);
    const sign = this.#signBit(coder, value >>> (exponentBits + mantissaBits), scale, {
      oldByte: 0,
      oldNegative: 0,
    });
    const length = mantissaBits + 1;
    const mantissa = (1 << mantissaBits) | (value & ((1 << mantissaBits) - 1));
    const near =
      ZERO_LEVEL + 4 * length + 4 * (foretold - exponent) + (this.#log4.of(scale.estimate) & 3);
    const below = this.#below(
      coder,
      mantissa,
      length,
      near < 0 ? 0 : near >= LEVELS ? LEVELS - 1 : near,
    );
    const high = sign * (1 << exponentBits) + exponent;
    return (high * (1 << mantissaBits) + (below - (1 << mantissaBits))) >>> 0;
  }

  #exponent(coder: BinaryCoder, exponent: number, foretold: number, max: number): number {
    const start = foretold < 0 ? 0 : foretold > max - 1 ? max - 1 : foretold;
    const model = this.#ladder;
    let at = start;
    if (model.code(coder, exponent > at ? 1 : 0, 0, 0) === 1) {
      at += 1;
      for (let node = 1; at < max; at++) {
        if (model.code(coder, exponent > at ? 1 : 0, node, node) === 0) break;
        if (node < 31) node += 1;
      }
      return at;
    }
    for (let node = 32; at > 0; at--) {
      if (model.code(coder, exponent < at ? 1 : 0, node, node) === 0) break;
      if (node < 63) node += 1;
    }
    return at;
  }
}

function levelOf(log4: number): number {
  const level = log4 + ZERO_LEVEL;
  return level < 0 ? 0 : level >= LEVELS ? LEVELS - 1 : level;
}

function sideOf(log4: number): number {
  const side = (log4 + 24) >> 2;
  return side < 0 ? 0 : side >= SIDES ? SIDES - 1 : side;
}

function sideClass(ratio: number): number {
  return ratio < 0.5 ? 0 : ratio < 1 ? 1 : ratio < 2 ? 2 : 3;
}

function signClass(mean: number): number {
  if (mean < 0) return mean > -0.12 ? 2 : mean > -0.4 ? 1 : 0;
  return mean < 0.12 ? (mean === 0 ? 3 : 4) : mean < 0.4 ? 5 : 6;
}
