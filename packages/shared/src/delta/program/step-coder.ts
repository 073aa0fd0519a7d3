import type { BinaryCoder } from "../range-coder.ts";
import { AddressMap } from "./address-map.ts";
import { Arm64, arm64Target, type Guess, wordAt } from "./arm64.ts";
import { copyMapOf, OldToNew } from "./copy-map.ts";
import { DataCoder } from "./data-coder.ts";
import { AddressSpace, type Architecture } from "./image.ts";
import { PLAIN_WORD, POINTER, RELATIVE, store, UnitCoder } from "./unit-coder.ts";
import { NO_WASM_MAPS, WasmCoder, type WasmMaps } from "./wasm-coder.ts";
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
  readonly wasm: WasmMaps;
}

/** Bytes that one flag covers where nothing refers anywhere. */
const RUN = 4;
/** Bytes of a group of units that one flag covers when all of them are as foretold. */
const GROUP = 64;
const LONGEST_REFERENCE = 8;

/** What a stretch of the base is; a group of each has a flag of its own. */
const OTHER = 0;
const WORDS = 1;
const VARIABLE = 2;
const DATA = 4;
const WASM = 5;

const NO_SPACES = { old: new AddressSpace([]), new: new AddressSpace([]) };
const NOWHERE: StepSurroundings = {
  architecture: "none",
  spaces: NO_SPACES,
  map: new AddressMap(NO_SPACES, new OldToNew(copyMapOf([]))),
  wasm: NO_WASM_MAPS,
};

/** Codes copied stretches: for each unit whether it is what was foretold, else its bytes. Both sides run the same code. */
export class StepCoder {
  #in: StepSurroundings = NOWHERE;
  #arm = new Arm64(NOWHERE.map);
  readonly #units = new UnitCoder();
  readonly #data4 = new DataCoder();
  #wasm: WasmCoder | undefined;
  readonly #guess: Guess = { kind: 0, word: 0, target: 0, oldAddress: 0, newAddress: 0 };
  readonly #foretold = new Uint8Array(GROUP + LONGEST_REFERENCE);
  /** The place at hand: in the base's bytes, in the target's bytes, in both files, and how much of the stretch is left. */
  #at = 0;
  #targetAt = 0;
  #old = 0;
  #new = 0;
  #left = 0;

  /** Begins a block: everything learned is forgotten, the memory is kept. */
  begin(surroundings: StepSurroundings): void {
    this.#in = surroundings;
    this.#arm = new Arm64(surroundings.map);
    this.#units.reset();
    this.#data4.reset();
    if (surroundings.architecture === "wasm") {
      this.#wasm ??= new WasmCoder(this.#units);
      this.#wasm.begin(surroundings.wasm);
    }
  }

  code(coder: BinaryCoder, base: Uint8Array, target: Uint8Array, stretch: Stretch): void {
    this.#units.begin(coder, base, target);
    this.#at = stretch.at;
    this.#targetAt = stretch.targetAt;
    this.#old = stretch.oldOffset;
    this.#new = stretch.newOffset;
    this.#left = stretch.length;
    // A group that is not as foretold is coded unit by unit up to its end.
    let groupLeft = 0;
    while (this.#left > 0) {
      const mode = this.#mode();
      let done = 0;
      if (groupLeft <= 0 && this.#left >= GROUP) {
        done = this.#group(mode);
        if (done === 0) groupLeft = GROUP;
      }
      if (done === 0) {
        done = this.#unit(mode);
        groupLeft -= done;
      }
      this.#at += done;
      this.#targetAt += done;
      this.#old += done;
      this.#new += done;
      this.#left -= done;
    }
  }

  #mode(): number {
    const { architecture, spaces } = this.#in;
    if (architecture === "none") return OTHER;
    const segment = spaces.old.segmentAt(this.#old);
    if (segment === undefined) return OTHER;
    if (!segment.executable) return DATA;
    return architecture === "arm64" ? WORDS : architecture === "x64" ? VARIABLE : WASM;
  }

  /** Answers how many bytes one flag covered; 0: code them one by one. */
  #group(mode: number): number {
    if (mode === WASM) return 0;
    const { base, target } = this.#units;
    const [at, targetAt] = [this.#at, this.#targetAt];
    let length = GROUP;
    if (mode === WORDS) {
      if (!this.#foretellWords()) return 0;
    } else if (mode === VARIABLE) length = this.#foretellVariable();
    else if (mode === DATA && (this.#old & 7) !== 0) return 0;
    else for (let i = 0; i < GROUP; i++) this.#foretold[i] = base[at + i] ?? 0;
    let same = 1;
    for (let i = 0; i < length && same === 1; i++)
      if (this.#foretold[i] !== target[targetAt + i]) same = 0;
    if (this.#units.group(same, mode) === 0) return 0;
    for (let i = 0; i < length; i++) target[targetAt + i] = this.#foretold[i] ?? 0;
    return length;
  }

  #foretellWords(): boolean {
    if (!this.#words()) return false;
    for (let i = 0; i < GROUP; i += 4) {
      this.#arm.guess(this.#units.base, this.#at + i, this.#guess);
      store(this.#foretold, i, this.#guess.word);
      this.#guess.oldAddress += 4;
      this.#guess.newAddress += 4;
    }
    return true;
  }

  /** Sets both addresses of the place at hand; false when it holds no aligned word. */
  #words(): boolean {
    const oldAddress = this.#in.spaces.old.addressAt(this.#old);
    const newAddress = this.#in.spaces.new.addressAt(this.#new);
    if (oldAddress === undefined || newAddress === undefined) return false;
    this.#guess.oldAddress = oldAddress;
    this.#guess.newAddress = newAddress;
    return ((oldAddress | newAddress) & 3) === 0;
  }

  #foretellVariable(): number {
    const { base } = this.#units;
    let i = 0;
    while (i < GROUP) {
      const opcode = x64ReferenceAt(base, this.#at + i);
      this.#foretold[i] = base[this.#at + i] ?? 0;
      if (opcode > 0 && i + opcode + 4 <= this.#left && this.#relative(i + opcode)) {
        for (let k = 1; k < opcode; k++) this.#foretold[i + k] = base[this.#at + i + k] ?? 0;
        store(this.#foretold, i + opcode, this.#guess.word);
        i += opcode + 4;
      } else i += 1;
    }
    return i;
  }

  /** Codes what stands at the place at hand; answers how many bytes that were. */
  #unit(mode: number): number {
    if (mode === WORDS) return this.#instruction();
    if (mode === VARIABLE) return this.#variable();
    if (mode === DATA) return this.#data();
    if (mode === WASM) return this.#module();
    return this.#run(Math.min(RUN, this.#left));
  }

  #run(length: number): number {
    this.#units.run(this.#at, this.#targetAt, length);
    return length;
  }

  #module(): number {
    const segment = this.#in.spaces.old.segmentAt(this.#old);
    const rest = segment === undefined ? 1 : segment.offset + segment.length - this.#old;
    const length = Math.min(this.#left, rest);
    this.#wasm?.code(this.#at, this.#targetAt, length);
    return length;
  }

  #instruction(): number {
    if (this.#left < 4 || !this.#words())
      return this.#run(Math.min(this.#left, 4 - (this.#old & 3)));
    const guess = this.#guess;
    this.#arm.guess(this.#units.base, this.#at, guess);
    const kind = guess.kind === 0 ? PLAIN_WORD : guess.kind;
    const found = this.#units.word(this.#at, this.#targetAt, kind, guess.word);
    if (guess.kind === 1 && found !== guess.word) {
      const reached = arm64Target(guess.kind, found, guess.newAddress);
      if (reached !== undefined) this.#in.map.learn(guess.target, reached);
    }
    return 4;
  }

  /** x86-64: a reference when an opcode with one stands here, else bytes up to the next. */
  #variable(): number {
    const { base } = this.#units;
    const opcode = x64ReferenceAt(base, this.#at);
    if (opcode > 0 && opcode + 4 <= this.#left && this.#relative(opcode)) {
      this.#run(opcode);
      const { word, target, newAddress } = this.#guess;
      const found = this.#units.word(this.#at + opcode, this.#targetAt + opcode, RELATIVE, word);
      if (found !== word) this.#in.map.learn(target, newAddress + found);
      return opcode + 4;
    }
    let length = 1;
    const limit = Math.min(RUN, this.#left);
    while (length < limit && x64ReferenceAt(base, this.#at + length) === 0) length++;
    return this.#run(length);
  }

  /** Foretells the distance that stands `skip` bytes further on; false when it leads nowhere. */
  #relative(skip: number): boolean {
    const oldAddress = this.#in.spaces.old.addressAt(this.#old + skip);
    const newAddress = this.#in.spaces.new.addressAt(this.#new + skip);
    if (oldAddress === undefined || newAddress === undefined) return false;
    const target = oldAddress + 4 + wordAt(this.#units.base, this.#at + skip);
    const moved = this.#in.map.at(target);
    if (moved === undefined) return false;
    this.#guess.word = (moved - newAddress - 4) | 0;
    this.#guess.target = target;
    this.#guess.newAddress = newAddress + 4;
    return true;
  }

  #data(): number {
    if ((this.#old & 3) !== 0 || this.#left < 4)
      return this.#run(Math.min(this.#left, 4 - (this.#old & 3)));
    if ((this.#old & 7) !== 0 || this.#left < 8) return this.#dataWord();
    const units = this.#units;
    const low = wordAt(units.base, this.#at);
    const high = wordAt(units.base, this.#at + 4);
    const address = high * 4_294_967_296 + (low >>> 0);
    const moved =
      high >= 0 && high < 65_536 && address >= 4096 ? this.#in.map.at(address) : undefined;
    if (moved === undefined) return this.#dataWord();
    const guess = moved | 0;
    const found = units.word(this.#at, this.#targetAt, POINTER, guess);
    const foundHigh = units.word(
      this.#at + 4,
      this.#targetAt + 4,
      PLAIN_WORD,
      Math.floor(moved / 4_294_967_296),
    );
    if (found !== guess) this.#in.map.learn(address, foundHigh * 4_294_967_296 + (found >>> 0));
    return 8;
  }

  /** Four bytes of data: as they were, a distance to something that moved, or moved by as much as others. */
  #dataWord(): number {
    const { base, target, coder } = this.#units;
    const old = wordAt(base, this.#at);
    const given = wordAt(target, this.#targetAt);
    const found = this.#data4.code(coder, old, this.#movedDistance(old), given);
    if (found === undefined) {
      this.#units.bytes(this.#at, this.#targetAt, 4);
      this.#data4.learn(old, wordAt(target, this.#targetAt));
    } else store(target, this.#targetAt, found);
    return 4;
  }

  #movedDistance(old: number): number | undefined {
    const oldAddress = this.#in.spaces.old.addressAt(this.#old);
    const newAddress = this.#in.spaces.new.addressAt(this.#new);
    if (oldAddress === undefined || newAddress === undefined || old === 0) return undefined;
    const moved = this.#in.map.at(oldAddress + old);
    return moved === undefined ? undefined : (moved - newAddress) | 0;
  }
}
