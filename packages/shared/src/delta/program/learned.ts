const SLOT_BITS = 15;

/** Pairs of numbers that were seen; a new pair may push out an old one, so the memory is fixed. */
export class Learned {
  readonly #keys = new Float64Array(1 << SLOT_BITS).fill(Number.NaN);
  readonly #values = new Float64Array(1 << SLOT_BITS);

  /** Everything forgotten, as new. */
  reset(): void {
    this.#keys.fill(Number.NaN);
  }

  /** What was last learned of `key`. */
  get(key: number): number | undefined {
    const slot = slotOf(key);
    return this.#keys[slot] === key ? this.#values[slot] : undefined;
  }

  set(key: number, value: number): void {
    const slot = slotOf(key);
    this.#keys[slot] = key;
    this.#values[slot] = value;
  }
}

function slotOf(key: number): number {
  return Math.imul(key | 0, 0x9e3779b1) >>> (32 - SLOT_BITS);
}
