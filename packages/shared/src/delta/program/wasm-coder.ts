import { Learned } from "./learned.ts";
import type { UnitCoder } from "./unit-coder.ts";
import { NO_VALUES, type ValueMap } from "./value-map.ts";
import { CALL, CONSTANT, GLOBAL, LOCAL, OFFSET, PLAIN, WasmTokens } from "./wasm-tokens.ts";

/** What the names of functions and the addresses of data became. */
export interface WasmMaps {
  readonly functions: ValueMap;
  readonly addresses: ValueMap;
}

/** Bytes of code that are read before a stretch, so that the first token of it is one. */
const WARM_UP = 64;
/** A group has at least so many bytes; one flag covers it when all of them are as foretold. */
const GROUP = 48;
const LONGEST_TOKEN = 16;
const GROUP_FLAG = 3;
const RUN = 4;
/** Smaller numbers are counts and sizes, not addresses: what became of one says nothing about the next. */
const LEAST_ADDRESS = 1024;
const SMALL_NAMES = 1024;

/** Codes copied WebAssembly code: calls, addresses, locals and globals are foretold by what became of the old ones. */
export class WasmCoder {
  readonly #units: UnitCoder;
  readonly #tokens = new WasmTokens();
  #maps: WasmMaps = { functions: NO_VALUES, addresses: NO_VALUES };
  readonly #calls = new Learned();
  readonly #addresses = new Learned();
  readonly #locals = new Int32Array(SMALL_NAMES);
  readonly #globals = new Int32Array(SMALL_NAMES);
  readonly #types = new Int32Array(SMALL_NAMES);
  readonly #guess = new Uint8Array(GROUP + LONGEST_TOKEN);
  readonly #kinds = new Uint8Array(GROUP);
  readonly #lengths = new Uint8Array(GROUP);
  readonly #values = new Float64Array(GROUP);
  readonly #whole = { guess: this.#guess, guessAt: 0, kind: 0, detail: 0 };

  constructor(units: UnitCoder) {
    this.#units = units;
  }

  /** Begins a block: everything learned is forgotten. */
  begin(maps: WasmMaps): void {
    this.#maps = maps;
    this.#calls.reset();
    this.#addresses.reset();
    for (const names of [this.#locals, this.#globals, this.#types]) names.fill(-1);
  }

  /** Codes `length` bytes of code that lie at `at` of the base. */
  code(at: number, targetAt: number, length: number): void {
    const { base, target } = this.#units;
    const end = at + length;
    const shift = targetAt - at;
    this.#tokens.reset();
    let place = Math.max(0, at - WARM_UP);
    while (place < at) {
      this.#tokens.next(base, place, end);
      place += this.#tokens.length;
    }
    if (place > at) this.#units.run(at, targetAt, place - at);
    while (place < end) {
      const from = place;
      const count = this.#read(from, end);
      for (let i = 0; i < count; i++) place += this.#lengths[i] ?? 0;
      let same = 1;
      for (let i = from; i < place && same === 1; i++)
        if (this.#guess[i - from] !== target[i + shift]) same = 0;
      if (this.#units.group(same, GROUP_FLAG) === 1)
        target.set(this.#guess.subarray(0, place - from), from + shift);
      else this.#each(count, from, shift);
    }
  }

  /** Reads the tokens of a group and foretells its bytes; answers how many tokens there are. */
  #read(from: number, end: number): number {
    const { base } = this.#units;
    const tokens = this.#tokens;
    let count = 0;
    let at = from;
    while (count < GROUP && at < end && at - from < GROUP) {
      tokens.next(base, at, end);
      this.#kinds[count] = tokens.kind;
      this.#lengths[count] = tokens.length;
      this.#values[count] = tokens.value;
      this.#foretell(count, at, at - from);
      at += tokens.length;
      count += 1;
    }
    return count;
  }

  #each(count: number, from: number, shift: number): void {
    let at = from;
    let plain = 0;
    for (let i = 0; i < count; i++) {
      const kind = this.#kinds[i] ?? 0;
      const length = this.#lengths[i] ?? 0;
      if (kind === PLAIN) {
        plain += length;
        at += length;
        if (plain < RUN && i + 1 < count) continue;
      }
      if (plain > 0) {
        this.#units.run(at - plain, at - plain + shift, plain);
        plain = 0;
      }
      if (kind === PLAIN) continue;
      this.#number(i, at, at + shift);
      at += length;
    }
  }

  #number(i: number, at: number, targetAt: number): void {
    const kind = this.#kinds[i] ?? 0;
    const length = this.#lengths[i] ?? 0;
    const value = this.#values[i] ?? 0;
    const whole = this.#whole;
    whole.kind = kind;
    whole.detail = (this.#foretell(i, at, 0) << 9) | (value & 511);
    this.#units.whole(at, targetAt, length, whole);
    const found = numberAt(this.#units.target, targetAt, length, kind === CONSTANT);
    if (found >= 0) this.#learn(kind, value, found);
  }

  /** Writes what token `i` is foretold to be; answers where that is from: 0 as before, 1 the map, 2 learned. */
  #foretell(i: number, at: number, guessAt: number): number {
    const { base } = this.#units;
    const kind = this.#kinds[i] ?? 0;
    const length = this.#lengths[i] ?? 0;
    const guess = this.#guess;
    for (let k = 0; k < length; k++) guess[guessAt + k] = base[at + k] ?? 0;
    if (kind === PLAIN || length > 5) return 0;
    const value = this.#values[i] ?? 0;
    const learned = this.#learned(kind, value);
    const fresh = learned ?? this.#mapped(kind, value);
    if (fresh === value || !fits(fresh, length, kind === CONSTANT)) return 0;
    let rest = fresh;
    for (let k = 0; k < length; k++) {
      guess[guessAt + k] = (rest % 128) | (k + 1 < length ? 128 : 0);
      rest = Math.floor(rest / 128);
    }
    return learned === undefined ? 1 : 2;
  }

  #mapped(kind: number, value: number): number {
    if (kind === CALL) return this.#maps.functions.at(value);
    return (kind === CONSTANT || kind === OFFSET) && value >= LEAST_ADDRESS
      ? this.#maps.addresses.at(value)
      : value;
  }

  #learned(kind: number, value: number): number | undefined {
    if (kind === CALL) return this.#calls.get(value);
    if (kind === CONSTANT || kind === OFFSET)
      return value >= LEAST_ADDRESS ? this.#addresses.get(value) : undefined;
    const names = this.#names(kind);
    const name = value < SMALL_NAMES ? (names[value] ?? -1) : -1;
    return name < 0 ? undefined : name;
  }

  #learn(kind: number, value: number, found: number): void {
    if (kind === CALL) {
      if (found !== (this.#calls.get(value) ?? this.#maps.functions.at(value)))
        this.#calls.set(value, found);
    } else if (kind === CONSTANT || kind === OFFSET) {
      if (value < LEAST_ADDRESS) return;
      if (found !== (this.#addresses.get(value) ?? this.#maps.addresses.at(value)))
        this.#addresses.set(value, found);
    } else if (value < SMALL_NAMES) this.#names(kind)[value] = found;
  }

  #names(kind: number): Int32Array {
    return kind === LOCAL ? this.#locals : kind === GLOBAL ? this.#globals : this.#types;
  }
}

/** True when `length` bytes are what a number needs, no more and no less. */
function fits(value: number, length: number, signed: boolean): boolean {
  if (value < 0) return false;
  const most = (signed ? 64 : 128) * 128 ** (length - 1);
  return value < most && (length === 1 || value >= most / 128);
}

/** The number that these bytes are; negative when they are none, or one below zero. */
export function numberAt(bytes: Uint8Array, at: number, length: number, signed: boolean): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) {
    const byte = bytes[at + i] ?? 0;
    if (byte >= 128 !== i < length - 1) return -1;
    value = value * 128 + (byte & 127);
  }
  return signed && ((bytes[at + length - 1] ?? 0) & 0x40) !== 0 ? -1 : value;
}

export const NO_WASM_MAPS: WasmMaps = { functions: NO_VALUES, addresses: NO_VALUES };
/** Kinds of numbers that a map of values foretells. */
export function mapOfKind(kind: number): keyof WasmMaps | undefined {
  if (kind === CALL) return "functions";
  return kind === CONSTANT || kind === OFFSET ? "addresses" : undefined;
}
