import { BitModel } from "../adaptive.ts";
import type { BinaryCoder } from "../range-coder.ts";
import { AddressMap } from "./address-map.ts";
import { Arm64, arm64Target, type Guess, wordAt } from "./arm64.ts";
import { ByteModel } from "./byte-model.ts";
import { copyMapOf, OldToNew } from "./copy-map.ts";
import { DataCoder } from "./data-coder.ts";
import { AddressSpace, type Architecture } from "./image.ts";
import { x64ReferenceAt } from "./x64.ts";

/** One copied stretch: where it lies in the bytes at hand, in the base and in the target file. */
export interface Stretch {
  readonly at: number;
  readonly oldOffset: number;
  readonly newOffset: number;
  readonly targetAt: number;
  readonly length: number;
}

export interface StepSurroundings {
  readonly architecture: Architecture;
  readonly spaces: { readonly old: AddressSpace; readonly new: AddressSpace };
  readonly map: AddressMap;
}

/** Bytes that one flag covers where nothing refers anywhere. */
const RUN = 4;
/** Bytes of a group of units that one flag covers when all of them are as foretold. */
const GROUP = 64;
const POINTER = 9;
const RELATIVE = 10;
const PLAIN_WORD = 11;
const PLAIN_RUN = 12;
const KINDS = 16;

const NO_SPACES = { old: new AddressSpace([]), new: new AddressSpace([]) };
const NOWHERE: StepSurroundings = {
  architecture: "none",
  spaces: NO_SPACES,
  map: new AddressMap(NO_SPACES, new OldToNew(copyMapOf([]))),
};

/** Codes copied stretches: for each unit whether it is what was foretold, else its bytes. Both sides run the same code. */
export class StepCoder {
  #in: StepSurroundings = NOWHERE;
  #arm = new Arm64(NOWHERE.map);
  readonly #hits = new BitModel({
    slots: [KINDS * 4096, KINDS * 2048, 262_144],
    mixerSets: KINDS,
    countLimit: 400,
    learningRate: 0.01,
  });
  readonly #groups = new BitModel({
    slots: [512],
    mixerSets: 1,
    countLimit: 250,
    learningRate: 0,
  });
  readonly #groupWords = new Uint32Array(GROUP / 4);
  #groupHistory = 0;
  readonly #data4 = new DataCoder();
  /** Made when a byte is not as foretold: its tables are the largest. */
  #bytes: ByteModel | undefined;
  readonly #contexts = new Int32Array(6);
  readonly #guess: Guess = { kind: 0, word: 0, target: 0 };
  /** Outcomes of the last units, one bit each. */
  #history = 0;
  readonly #historyOf = new Int32Array(KINDS);
  readonly #lastDifference = new Int32Array(KINDS * 4);

  /** Begins a block: everything learned is forgotten, the memory is kept. */
  begin(surroundings: StepSurroundings): void {
    this.#in = surroundings;
    this.#arm = new Arm64(surroundings.map);
    this.#hits.reset();
    this.#groups.reset();
    this.#data4.reset();
    this.#bytes?.reset();
    this.#history = 0;
    this.#groupHistory = 0;
    this.#historyOf.fill(0);
    this.#lastDifference.fill(0);
  }

  code(coder: BinaryCoder, base: Uint8Array, target: Uint8Array, stretch: Stretch): void {
    let i = 0;
    let groupEnd = 0;
    while (i < stretch.length) {
      const old = stretch.oldOffset + i;
      const segment = this.#in.spaces.old.segmentAt(old);
      const left = stretch.length - i;
      const place = { base, target, at: stretch.at + i, targetAt: stretch.targetAt + i };
      const spot = { old, newOffset: stretch.newOffset + i, left };
      const words = segment?.executable === true && this.#in.architecture === "arm64";
      if (i >= groupEnd && left >= GROUP && (old & 7) === 0 && (words || segment === undefined)) {
        // When a whole group is as foretold, one flag says so; otherwise its units are coded one by one.
        if (words ? this.#guessedGroup(coder, place, spot) : this.#sameGroup(coder, place)) {
          i += GROUP;
          continue;
        }
        groupEnd = i + GROUP;
      }
      if (segment === undefined || this.#in.architecture === "none")
        i += this.#run(coder, place, Math.min(RUN, left));
      else if (words) i += this.#instruction(coder, place, spot);
      else if (segment.executable) i += this.#variable(coder, place, spot);
      else i += this.#data(coder, place, spot);
    }
  }

  #sameGroup(coder: BinaryCoder, place: Place): boolean {
    const { base, target, at, targetAt } = place;
    let same = 1;
    for (let i = 0; i < GROUP && same === 1; i++)
      if (base[at + i] !== target[targetAt + i]) same = 0;
    if (this.#groupFlag(coder, same, 0) === 0) return false;
    for (let i = 0; i < GROUP; i++) target[targetAt + i] = base[at + i] ?? 0;
    return true;
  }

  #guessedGroup(coder: BinaryCoder, place: Place, spot: Spot): boolean {
    const oldAddress = this.#in.spaces.old.addressAt(spot.old);
    const newAddress = this.#in.spaces.new.addressAt(spot.newOffset);
    if (oldAddress === undefined || newAddress === undefined) return false;
    if ((oldAddress & 3) !== 0 || (newAddress & 3) !== 0) return false;
    let same = 1;
    for (let i = 0; i < GROUP; i += 4) {
      const addresses = { old: oldAddress + i, new: newAddress + i };
      this.#arm.guess(place.base, place.at + i, addresses, this.#guess);
      this.#groupWords[i >> 2] = this.#guess.word;
      if (this.#guess.word !== wordAt(place.target, place.targetAt + i)) same = 0;
    }
    if (this.#groupFlag(coder, same, 1) === 0) return false;
    for (let i = 0; i < GROUP; i += 4)
      store(place.target, place.targetAt + i, this.#groupWords[i >> 2] ?? 0);
    return true;
  }

  #groupFlag(coder: BinaryCoder, given: number, kind: number): number {
    const seen = this.#groups.code(coder, given, kind * 256 + this.#groupHistory, 0);
    this.#groupHistory = ((this.#groupHistory << 1) | seen) & 255;
    return seen;
  }

  #instruction(coder: BinaryCoder, place: Place, at: Spot): number {
    const oldAddress = this.#in.spaces.old.addressAt(at.old);
    const newAddress = this.#in.spaces.new.addressAt(at.newOffset);
    if (
      oldAddress === undefined ||
      newAddress === undefined ||
      (oldAddress & 3) !== 0 ||
      (newAddress & 3) !== 0 ||
      at.left < 4
    )
      return this.#run(coder, place, Math.min(at.left, 4 - (at.old & 3)));
    const guess = this.#guess;
    this.#arm.guess(place.base, place.at, { old: oldAddress, new: newAddress }, guess);
    const { kind, target } = guess;
    const found = this.#word(coder, place, {
      kind: kind === 0 ? PLAIN_WORD : kind,
      guess: guess.word,
    });
    if (kind === 1 && found !== guess.word) {
      const reached = arm64Target(kind, found, newAddress);
      if (reached !== undefined) this.#in.map.learn(target, reached);
    }
    return 4;
  }

  /** x86-64: a reference when an opcode with one stands here, else bytes up to the next. */
  #variable(coder: BinaryCoder, place: Place, at: Spot): number {
    const { base } = place;
    const opcode = x64ReferenceAt(base, place.at);
    const reference =
      opcode > 0 && opcode + 4 <= at.left
        ? this.#relative(base, place.at + opcode, {
            old: at.old + opcode,
            newOffset: at.newOffset + opcode,
          })
        : undefined;
    if (reference !== undefined) {
      const inner = { ...place, at: place.at + opcode, targetAt: place.targetAt + opcode };
      this.#run(coder, place, opcode);
      const found = this.#word(coder, inner, { kind: RELATIVE, guess: reference.guess });
      if (found !== reference.guess)
        this.#in.map.learn(reference.target, reference.newEnd + (found | 0));
      return opcode + 4;
    }
    let length = 1;
    const limit = Math.min(RUN, at.left);
    while (length < limit && x64ReferenceAt(base, place.at + length) === 0) length++;
    return this.#run(coder, place, length);
  }

  #relative(
    base: Uint8Array,
    at: number,
    of: { old: number; newOffset: number },
  ): { guess: number; target: number; newEnd: number } | undefined {
    const oldAddress = this.#in.spaces.old.addressAt(of.old);
    const newAddress = this.#in.spaces.new.addressAt(of.newOffset);
    if (oldAddress === undefined || newAddress === undefined) return undefined;
    const target = oldAddress + 4 + (wordAt(base, at) | 0);
    const moved = this.#in.map.at(target);
    if (moved === undefined) return undefined;
    return { guess: (moved - newAddress - 4) >>> 0, target, newEnd: newAddress + 4 };
  }

  #data(coder: BinaryCoder, place: Place, at: Spot): number {
    if ((at.old & 3) !== 0 || at.left < 4)
      return this.#run(coder, place, Math.min(at.left, 4 - (at.old & 3)));
    if ((at.old & 7) !== 0 || at.left < 8) return this.#dataWord(coder, place, at);
    const low = wordAt(place.base, place.at);
    const high = wordAt(place.base, place.at + 4);
    const address = high * 4_294_967_296 + low;
    const moved = high < 65_536 && address >= 4096 ? this.#in.map.at(address) : undefined;
    if (moved === undefined) return this.#dataWord(coder, place, at);
    const second = { ...place, at: place.at + 4, targetAt: place.targetAt + 4 };
    const guess = moved >>> 0;
    const found = this.#word(coder, place, { kind: POINTER, guess });
    const foundHigh = this.#word(coder, second, {
      kind: PLAIN_WORD,
      guess: Math.floor(moved / 4_294_967_296),
    });
    if (found !== guess) this.#in.map.learn(address, foundHigh * 4_294_967_296 + found);
    return 8;
  }

  /** Four bytes of data: as they were, a distance to something that moved, or moved by as much as others. */
  #dataWord(coder: BinaryCoder, place: Place, at: Spot): number {
    const old = wordAt(place.base, place.at);
    const given = wordAt(place.target, place.targetAt);
    const found = this.#data4.code(coder, old, this.#movedDistance(old, at), given);
    if (found === undefined) {
      this.#bytesOf(coder, place, 4);
      this.#data4.learn(old, wordAt(place.target, place.targetAt));
    } else store(place.target, place.targetAt, found);
    return 4;
  }

  #movedDistance(old: number, at: Spot): number | undefined {
    const oldAddress = this.#in.spaces.old.addressAt(at.old);
    const newAddress = this.#in.spaces.new.addressAt(at.newOffset);
    if (oldAddress === undefined || newAddress === undefined || old === 0) return undefined;
    const moved = this.#in.map.at(oldAddress + (old | 0));
    return moved === undefined ? undefined : (moved - newAddress) >>> 0;
  }

  /** Codes four bytes; answers what they are. */
  #word(
    coder: BinaryCoder,
    place: Place,
    { kind, guess }: { kind: number; guess: number },
  ): number {
    const old = wordAt(place.base, place.at);
    const given = wordAt(place.target, place.targetAt);
    if (this.#hit(coder, given === guess ? 1 : 0, kind, (old >>> 21) ^ (old & 31)) === 1) {
      store(place.target, place.targetAt, guess);
      return guess;
    }
    if (guess !== old && this.#hit(coder, given === old ? 1 : 0, 13, kind) === 1) {
      store(place.target, place.targetAt, old);
      return old;
    }
    for (let i = 3; i >= 0; i--)
      this.#byte(coder, place, { i, kind, guess: (guess >>> (8 * i)) & 255 });
    return wordAt(place.target, place.targetAt);
  }

  #run(coder: BinaryCoder, place: Place, length: number): number {
    const { base, target, at, targetAt } = place;
    let same = 1;
    for (let i = 0; i < length; i++) if (base[at + i] !== target[targetAt + i]) same = 0;
    if (this.#hit(coder, same, PLAIN_RUN, this.#trigram(base, at + 1)) === 1) {
      for (let i = 0; i < length; i++) target[targetAt + i] = base[at + i] ?? 0;
      return length;
    }
    this.#bytesOf(coder, place, length);
    return length;
  }

  #bytesOf(coder: BinaryCoder, place: Place, length: number): void {
    const { base, target, at, targetAt } = place;
    for (let i = 0; i < length; i++) {
      const old = base[at + i] ?? 0;
      if (
        this.#hit(coder, old === target[targetAt + i] ? 1 : 0, 14, this.#trigram(base, at + i)) ===
        1
      )
        target[targetAt + i] = old;
      else this.#byte(coder, place, { i, kind: PLAIN_RUN, guess: old });
    }
  }

  #hit(coder: BinaryCoder, given: number, kind: number, detail: number): number {
    const { base, offset } = this.#hits;
    const own = this.#historyOf[kind] ?? 0;
    base[0] = (offset[0] ?? 0) + kind * 4096 + (own & 255) * 16 + (this.#history & 15);
    base[1] = (offset[1] ?? 0) + kind * 2048 + (detail & 2047);
    base[2] =
      (offset[2] ?? 0) +
      ((Math.imul(kind * 64 + (this.#history & 63), 0x9e3779b1) + Math.imul(detail, 0x85ebca6b)) >>>
        14);
    const bit = this.#hits.code(coder, given, 0, kind);
    this.#historyOf[kind] = (own << 1) | bit;
    this.#history = (this.#history << 1) | bit;
    return bit;
  }

  /** Old bytes around a place, in 16 bits: what refers to the same thing changes alike. */
  #trigram(base: Uint8Array, at: number): number {
    const three = ((base[at - 1] ?? 0) << 16) | ((base[at] ?? 0) << 8) | (base[at + 1] ?? 0);
    return Math.imul(three, 0x9e3779b1) >>> 16;
  }

  #byte(coder: BinaryCoder, place: Place, of: { i: number; kind: number; guess: number }): void {
    const { target, targetAt, base, at } = place;
    const slot = of.kind * 4 + (of.i & 3);
    const last = this.#lastDifference[slot] ?? 0;
    // The byte above is known already; above the highest there is none.
    const high = of.i === 3 ? 0 : (target[targetAt + of.i + 1] ?? 0);
    const before = target[targetAt + of.i - 1] ?? 0;
    const near = of.kind === PLAIN_RUN ? before : high;
    const c = this.#contexts;
    c[0] = slot * 256 + of.guess;
    c[1] = (slot * 256 + ((of.guess + last) & 255)) * 7 + 1;
    c[2] = (slot * 256 + near) * 11 + 2;
    c[3] = ((slot * 256 + near) * 256 + of.guess) * 13 + 3;
    c[4] = (slot * 256 + (base[at + of.i + 1] ?? 0)) * 65_599 + (base[at + of.i - 1] ?? 0) * 17 + 4;
    c[5] =
      (((base[at + of.i - 1] ?? 0) * 256 + of.guess) * 256 + (base[at + of.i + 1] ?? 0)) * 65_599 +
      slot +
      5;
    this.#bytes ??= new ByteModel(6, KINDS * 4, 14);
    const byte = this.#bytes.code(coder, target[targetAt + of.i] ?? 0, c, slot);
    target[targetAt + of.i] = byte;
    this.#lastDifference[slot] = byte - of.guess;
  }
}

interface Place {
  readonly base: Uint8Array;
  readonly target: Uint8Array;
  readonly at: number;
  readonly targetAt: number;
}

interface Spot {
  readonly old: number;
  readonly newOffset: number;
  readonly left: number;
}

function store(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word;
  bytes[at + 1] = word >>> 8;
  bytes[at + 2] = word >>> 16;
  bytes[at + 3] = word >>> 24;
}
