import { BitModel } from "../adaptive.ts";
import type { BinaryCoder } from "../range-coder.ts";

/** What the candidates are: the old value, the value of a moved distance, then one for each remembered difference. */
const SAME = 0;
const MOVED = 1;
const FIRST_DIFFERENCE = 2;
const DIFFERENCES = 8;
const CHOICES = FIRST_DIFFERENCE + DIFFERENCES;
/** Stands for a word that none of them foretold. */
const NONE = CHOICES;
const STATES = 12;

/**
 * Chooses between candidates for a word of data. Tables of offsets move by few differences, each field of a structure
 * by its own: the differences seen last are remembered, and which one is next is foretold from the choices before.
 */
export class DataCoder {
  readonly #model = new BitModel({
    slots: [
      CHOICES * STATES * STATES,
      CHOICES * STATES * STATES,
      CHOICES * STATES * STATES * STATES,
      CHOICES * STATES * 64,
      CHOICES * STATES * STATES,
    ],
    mixerSets: CHOICES * STATES,
    countLimit: 200,
    learningRate: 0.02,
  });
  /** Whether a word stays as it was is asked most often: fewer contexts, less work. */
  readonly #same = new BitModel({
    slots: [STATES * STATES * STATES, STATES * STATES * 64],
    mixerSets: STATES,
    countLimit: 200,
    learningRate: 0.02,
  });
  readonly #differences = new Int32Array(DIFFERENCES);
  readonly #used = new Float64Array(DIFFERENCES);
  readonly #recent = new Int32Array(8);
  #clock = 0;

  /** Everything forgotten, as new. */
  reset(): void {
    this.#model.reset();
    this.#same.reset();
    this.#differences.fill(0);
    this.#used.fill(0);
    this.#recent.fill(0);
    this.#clock = 0;
  }

  /** The word, or undefined when no candidate is right; `learn` then tells what it was. `moved` is undefined when the old word is no distance. */
  code(
    coder: BinaryCoder,
    old: number,
    moved: number | undefined,
    given: number,
  ): number | undefined {
    const order = this.#recent[0] ?? 0;
    if (this.#isSame(coder, old, given)) return old;
    this.#prepare(old);
    for (let choice = MOVED; choice < CHOICES; choice++) {
      const value = this.#candidate(choice, old, moved);
      if (value === undefined) continue;
      if (this.#model.code(coder, given === value ? 1 : 0, choice, choice * STATES + order) === 0)
        continue;
      this.#remember(choice);
      return value;
    }
    this.#remember(NONE);
    return undefined;
  }

  #isSame(coder: BinaryCoder, old: number, given: number): boolean {
    const recent = this.#recent;
    const { base, offset } = this.#same;
    const [last, second] = [recent[0] ?? 0, recent[1] ?? 0];
    base[0] = (offset[0] ?? 0) + (last * STATES + second) * STATES + (recent[2] ?? 0);
    base[1] = (offset[1] ?? 0) + ((recent[3] ?? 0) * STATES + second) * 64 + (32 - Math.clz32(old));
    if (this.#same.code(coder, given === old ? 1 : 0, 0, last) === 0) return false;
    this.#remember(SAME);
    return true;
  }

  /** A word that no candidate foretold. */
  learn(old: number, found: number): void {
    let oldest = 0;
    for (let i = 1; i < DIFFERENCES; i++)
      if ((this.#used[i] ?? 0) < (this.#used[oldest] ?? 0)) oldest = i;
    this.#differences[oldest] = (found - old) | 0;
    this.#used[oldest] = ++this.#clock;
  }

  #candidate(choice: number, old: number, moved: number | undefined): number | undefined {
    if (choice === MOVED) return moved === old ? undefined : moved;
    const difference = this.#differences[choice - FIRST_DIFFERENCE] ?? 0;
    return difference === 0 ? undefined : (old + difference) | 0;
  }

  #remember(choice: number): void {
    const recent = this.#recent;
    for (let i = 7; i > 0; i--) recent[i] = recent[i - 1] ?? 0;
    recent[0] = choice;
    if (choice >= FIRST_DIFFERENCE && choice < CHOICES)
      this.#used[choice - FIRST_DIFFERENCE] = ++this.#clock;
  }

  #prepare(old: number): void {
    const { base, offset } = this.#model;
    const recent = this.#recent;
    const at = (i: number): number => recent[i] ?? 0;
    const size = 32 - Math.clz32(old);
    base[0] = (offset[0] ?? 0) + (at(0) * STATES + at(1)) * CHOICES;
    base[1] = (offset[1] ?? 0) + (at(1) * STATES + at(3)) * CHOICES;
    base[2] = (offset[2] ?? 0) + ((at(0) * STATES + at(1)) * STATES + at(2)) * CHOICES;
    base[3] = (offset[3] ?? 0) + (size * STATES + at(0)) * CHOICES;
    base[4] = (offset[4] ?? 0) + (at(2) * STATES + at(5)) * CHOICES;
  }
}
