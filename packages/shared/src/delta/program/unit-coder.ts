import { BitModel } from "../adaptive.ts";
import type { BinaryCoder } from "../range-coder.ts";
import { wordAt } from "./arm64.ts";
import { ByteModel } from "./byte-model.ts";

/** Kinds of units. 1 … 8 are those of the instruction set. */
export const POINTER = 9;
export const RELATIVE = 10;
export const PLAIN_WORD = 11;
const PLAIN_RUN = 12;
const AS_BEFORE = 13;
const BYTE_OF_RUN = 14;
const KINDS = 16;
const GROUP_KINDS = 8;

const NOTHING = new Uint8Array(0);

/**
 * Codes units of a copied stretch: whether one is what was foretold, else its bytes. The bytes at hand are set once a
 * stretch; places in them are given as numbers, since every object would be made millions of times.
 */
export class UnitCoder {
  base: Uint8Array = NOTHING;
  target: Uint8Array = NOTHING;
  readonly #hits = new BitModel({
    slots: [KINDS * 4096, KINDS * 2048, 262_144],
    mixerSets: KINDS,
    countLimit: 400,
    learningRate: 0.01,
  });
  readonly #groups = new BitModel({
    slots: [GROUP_KINDS * 256],
    mixerSets: 1,
    countLimit: 250,
    learningRate: 0,
  });
  readonly #groupHistory = new Uint8Array(GROUP_KINDS);
  /** Made when a byte is not as foretold: its tables are the largest. */
  #bytes: ByteModel | undefined;
  #coder: BinaryCoder | undefined;
  readonly #contexts = new Int32Array(6);
  /** Outcomes of the last units, one bit each. */
  #history = 0;
  readonly #historyOf = new Int32Array(KINDS);
  readonly #lastDifference = new Int32Array(KINDS * 4);
  /** A byte beside the one at hand that is known already: the one above in a number, the one before in a run. */
  #near = 0;

  /** Everything forgotten, as new. */
  reset(): void {
    this.#hits.reset();
    this.#groups.reset();
    this.#groupHistory.fill(0);
    this.#bytes?.reset();
    this.#history = 0;
    this.#historyOf.fill(0);
    this.#lastDifference.fill(0);
  }

  begin(coder: BinaryCoder, base: Uint8Array, target: Uint8Array): void {
    this.#coder = coder;
    this.base = base;
    this.target = target;
  }

  get coder(): BinaryCoder {
    if (this.#coder === undefined) throw new RangeError("no stretch was begun");
    return this.#coder;
  }

  /** Whether a group of units is as foretold as a whole. */
  group(given: number, kind: number): number {
    const history = this.#groupHistory[kind] ?? 0;
    const seen = this.#groups.code(this.coder, given, kind * 256 + history, 0);
    this.#groupHistory[kind] = (history << 1) | seen;
    return seen;
  }

  /** Codes a word of four bytes; answers what it is. */
  word(at: number, targetAt: number, kind: number, guess: number): number {
    const old = wordAt(this.base, at);
    const given = wordAt(this.target, targetAt);
    if (this.hit(given === guess ? 1 : 0, kind, (old >>> 21) ^ (old & 31)) === 1) {
      store(this.target, targetAt, guess);
      return guess;
    }
    if (guess !== old && this.hit(given === old ? 1 : 0, AS_BEFORE, kind) === 1) {
      store(this.target, targetAt, old);
      return old;
    }
    for (let i = 3; i >= 0; i--) {
      this.#near = i === 3 ? 0 : (this.target[targetAt + i + 1] ?? 0);
      this.#byte(at + i, targetAt + i, kind * 4 + i, (guess >>> (8 * i)) & 255);
    }
    return wordAt(this.target, targetAt);
  }

  /** Codes `length` bytes that are foretold as a whole: `guess` holds them from `guessAt` on. `detail` tells what they are like. */
  whole(
    at: number,
    targetAt: number,
    length: number,
    of: { readonly guess: Uint8Array; guessAt: number; kind: number; detail: number },
  ): void {
    const { base, target } = this;
    const { guess, guessAt, kind } = of;
    let asGuessed = 1;
    let asBefore = 1;
    let sameGuess = 1;
    for (let i = 0; i < length; i++) {
      const given = target[targetAt + i];
      if (guess[guessAt + i] !== given) asGuessed = 0;
      if (base[at + i] !== given) asBefore = 0;
      if (base[at + i] !== guess[guessAt + i]) sameGuess = 0;
    }
    if (this.hit(asGuessed, kind, of.detail) === 1) {
      for (let i = 0; i < length; i++) target[targetAt + i] = guess[guessAt + i] ?? 0;
      return;
    }
    if (sameGuess === 0 && this.hit(asBefore, AS_BEFORE, kind) === 1) {
      for (let i = 0; i < length; i++) target[targetAt + i] = base[at + i] ?? 0;
      return;
    }
    for (let i = length - 1; i >= 0; i--) {
      this.#near = i === length - 1 ? length : (target[targetAt + i + 1] ?? 0);
      this.#byte(at + i, targetAt + i, kind * 4 + (i & 3), guess[guessAt + i] ?? 0);
    }
  }

  /** Codes bytes that are foretold to be what they were. */
  run(at: number, targetAt: number, length: number): void {
    const { base, target } = this;
    let same = 1;
    for (let i = 0; i < length; i++) if (base[at + i] !== target[targetAt + i]) same = 0;
    if (this.hit(same, PLAIN_RUN, this.#trigram(at + 1)) === 1)
      for (let i = 0; i < length; i++) target[targetAt + i] = base[at + i] ?? 0;
    else this.bytes(at, targetAt, length);
  }

  /** Codes bytes of which some are not what they were. */
  bytes(at: number, targetAt: number, length: number): void {
    const { base, target } = this;
    for (let i = 0; i < length; i++) {
      const old = base[at + i] ?? 0;
      const same = old === target[targetAt + i] ? 1 : 0;
      if (this.hit(same, BYTE_OF_RUN, this.#trigram(at + i)) === 1) target[targetAt + i] = old;
      else {
        this.#near = target[targetAt + i - 1] ?? 0;
        this.#byte(at + i, targetAt + i, PLAIN_RUN * 4 + (i & 3), old);
      }
    }
  }

  hit(given: number, kind: number, detail: number): number {
    const { base, offset } = this.#hits;
    const own = this.#historyOf[kind] ?? 0;
    base[0] = (offset[0] ?? 0) + kind * 4096 + (own & 255) * 16 + (this.#history & 15);
    base[1] = (offset[1] ?? 0) + kind * 2048 + (detail & 2047);
    base[2] =
      (offset[2] ?? 0) +
      ((Math.imul(kind * 64 + (this.#history & 63), 0x9e3779b1) + Math.imul(detail, 0x85ebca6b)) >>>
        14);
    const bit = this.#hits.code(this.coder, given, 0, kind);
    this.#historyOf[kind] = (own << 1) | bit;
    this.#history = (this.#history << 1) | bit;
    return bit;
  }

  /** Old bytes around a place, in 16 bits: what refers to the same thing changes alike. */
  #trigram(at: number): number {
    const { base } = this;
    const three = ((base[at - 1] ?? 0) << 16) | ((base[at] ?? 0) << 8) | (base[at + 1] ?? 0);
    return Math.imul(three, 0x9e3779b1) >>> 16;
  }

  #byte(at: number, targetAt: number, slot: number, guess: number): void {
    const { base, target } = this;
    const near = this.#near;
    const last = this.#lastDifference[slot] ?? 0;
    const left = base[at - 1] ?? 0;
    const right = base[at + 1] ?? 0;
    const c = this.#contexts;
    c[0] = slot * 256 + guess;
    c[1] = (slot * 256 + ((guess + last) & 255)) * 7 + 1;
    c[2] = (slot * 256 + near) * 11 + 2;
    c[3] = ((slot * 256 + near) * 256 + guess) * 13 + 3;
    c[4] = (slot * 256 + right) * 65_599 + left * 17 + 4;
    c[5] = Math.imul((left * 256 + guess) * 256 + right, 65_599) + slot + 5;
    this.#bytes ??= new ByteModel(6, KINDS * 4, 13);
    const byte = this.#bytes.code(this.coder, target[targetAt] ?? 0, c, slot);
    target[targetAt] = byte;
    this.#lastDifference[slot] = byte - guess;
  }
}

export function store(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word;
  bytes[at + 1] = word >>> 8;
  bytes[at + 2] = word >>> 16;
  bytes[at + 3] = word >>> 24;
}
