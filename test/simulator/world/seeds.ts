import { SeededRandom } from "@flotilla/shared/testing/seeded-random";

/**
 * A stream of its own for each purpose, so that one more draw in the network moves nothing in the workloads. FNV-1a of the
 * purpose beside the seed.
 */
export function streamOf(seed: number, purpose: string): SeededRandom {
  let hash = 0x811c9dc5;
  for (let i = 0; i < purpose.length; i++)
    hash = Math.imul(hash ^ purpose.charCodeAt(i), 0x01000193) >>> 0;
  return new SeededRandom((hash & 0x1f_ffff) * 2 ** 32 + (seed >>> 0));
}

/** Draws that scenarios need, over one stream. */
export class Dice {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.#random.unit("dice") < probability;
  }

  /** Uniform in [low, high). */
  between(low: number, high: number): number {
    return low + this.#random.unit("dice") * (high - low);
  }

  /** A whole number in [low, high]. */
  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  /** Exponential with this mean. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.#random.unit("dice"));
  }

  /** One of them; undefined of none. */
  pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.#random.unit("dice") * items.length)];
  }
}
