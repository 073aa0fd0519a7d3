import type { BinaryCoder } from "./range-coder.ts";

/**
 * Adaptive bit models: counters that learn how likely a 1 is, and a logistic mixer over several of them (as in PAQ).
 * Only +, -, *, / of doubles and whole numbers are used, which IEEE 754 fixes to the bit: what one machine encodes,
 * every other decodes. Math.exp and Math.log are not so fixed, hence the series below.
 */

/** e^x for |x| <= 16, by the series of x / 64 and six squarings. */
function exponential(x: number): number {
  const small = x / 64;
  let term = 1;
  let sum = 1;
  for (let k = 1; k <= 14; k++) {
    term = (term * small) / k;
    sum += term;
  }
  for (let i = 0; i < 6; i++) sum *= sum;
  return sum;
}

/** The logistic domain ends here: p = 1 / (1 + e^12) is 0.4 of 65,536. */
const STRETCH_LIMIT = 12;
const SQUASH_STEPS = 4096;
const SQUASH_SCALE = SQUASH_STEPS / (2 * STRETCH_LIMIT);

/** p of 65,536 at x = -12 … 12. */
const SQUASH: Int32Array = Int32Array.from({ length: SQUASH_STEPS + 1 }, (_, i) => {
  const p = 65_536 / (1 + exponential(STRETCH_LIMIT - i / SQUASH_SCALE));
  return Math.max(16, Math.min(65_520, Math.round(p)));
});

/** ln(p / (1 - p)) at p = (i + 0.5) / 4096, by walking along the inverse. */
const STRETCH: Float64Array = stretchTable(4096);

function stretchTable(size: number): Float64Array {
  const table = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const odds = (i + 0.5) / (size - i - 0.5);
    let low = -STRETCH_LIMIT;
    let high = STRETCH_LIMIT;
    for (let k = 0; k < 40; k++) {
      const middle = (low + high) / 2;
      if (exponential(middle) < odds) low = middle;
      else high = middle;
    }
    table[i] = low;
  }
  return table;
}

/** How far a counter moves when it has seen n bits: 1 / (n + 1.5). */
const RATES: Float64Array = Float64Array.from({ length: 1024 }, (_, n) => 1 / (n + 1.5));

/** 22 bits of probability of a 1, 10 bits of how many bits were seen. */
const HALF = (1 << 31) >>> 0;
const ONE = 4_194_303;

export interface BitModelOptions {
  /** How many slots each input has; one slot is one context and node. */
  readonly slots: readonly number[];
  /** Mixing weights are kept apart for each of these many sets. */
  readonly mixerSets: number;
  /** A counter that saw this many bits stops slowing down, 1 … 1023. */
  readonly countLimit: number;
  /** How fast the mixer learns. */
  readonly learningRate: number;
}

/** One kind of decision. `base[i]` is set by the caller to the context of input i; `code` adds the node to it. */
export class BitModel {
  /** Slot of each input's context; the caller writes `offset[i] + context * nodes`. */
  readonly base: Int32Array;
  /** Where the slots of each input begin. */
  readonly offset: Int32Array;
  readonly #inputs: number;
  readonly #counters: Uint32Array;
  readonly #weights: Float64Array;
  readonly #stretched: Float64Array;
  readonly #limit: number;
  readonly #rate: number;

  constructor({ slots, mixerSets, countLimit, learningRate }: BitModelOptions) {
    this.#inputs = slots.length;
    this.offset = new Int32Array(slots.length);
    let total = 0;
    slots.forEach((count, i) => {
      this.offset[i] = total;
      total += count;
    });
    this.base = Int32Array.from(this.offset);
    this.#counters = new Uint32Array(total).fill(HALF);
    this.#weights = new Float64Array(mixerSets * slots.length).fill(
      slots.length === 1 ? 1 : 1.2 / slots.length,
    );
    this.#stretched = new Float64Array(slots.length);
    this.#limit = countLimit;
    this.#rate = learningRate / 65_536;
  }

  /** Everything forgotten, as new. */
  reset(): void {
    this.#counters.fill(HALF);
    this.#weights.fill(this.#inputs === 1 ? 1 : 1.2 / this.#inputs);
  }

  code(coder: BinaryCoder, bit: number, node: number, set: number): number {
    return this.#inputs === 1 ? this.#codeOne(coder, bit, node) : this.#mix(coder, bit, node, set);
  }

  #codeOne(coder: BinaryCoder, bit: number, node: number): number {
    const slot = (this.base[0] ?? 0) + node;
    const counter = this.#counters[slot] ?? 0;
    const p = counter >>> 16;
    const seen = coder.code(bit, p < 16 ? 16 : p > 65_520 ? 65_520 : p);
    this.#learn(slot, counter, seen);
    return seen;
  }

  #mix(coder: BinaryCoder, bit: number, node: number, set: number): number {
    const n = this.#inputs;
    const base = this.base;
    const counters = this.#counters;
    const weights = this.#weights;
    const stretched = this.#stretched;
    const first = set * n;
    let dot = 0;
    for (let i = 0; i < n; i++) {
      const s = STRETCH[(counters[(base[i] ?? 0) + node] ?? 0) >>> 20] ?? 0;
      stretched[i] = s;
      dot += (weights[first + i] ?? 0) * s;
    }
    const x = dot < -11.99 ? -11.99 : dot > 11.99 ? 11.99 : dot;
    const p = SQUASH[((x + STRETCH_LIMIT) * SQUASH_SCALE) | 0] ?? 32_768;
    const seen = coder.code(bit, p);
    const step = ((seen << 16) - p) * this.#rate;
    for (let i = 0; i < n; i++) {
      weights[first + i] = (weights[first + i] ?? 0) + step * (stretched[i] ?? 0);
      const slot = (base[i] ?? 0) + node;
      this.#learn(slot, counters[slot] ?? 0, seen);
    }
    return seen;
  }

  #learn(slot: number, counter: number, bit: number): void {
    const p = counter >>> 10;
    const n = counter & 1023;
    const moved = p + ((((bit === 0 ? 0 : ONE) - p) * (RATES[n] ?? 0)) | 0);
    this.#counters[slot] = ((moved << 10) | (n < this.#limit ? n + 1 : n)) >>> 0;
  }
}
