import type { AddressMap } from "./address-map.ts";

/** What an instruction of the old program refers to and what it is foretold to be in the new one. */
export interface Guess {
  /** 0: nothing refers anywhere. */
  kind: number;
  word: number;
  /** Address that the old instruction refers to; learned from when the guess was wrong. */
  target: number;
  /** Where the instruction lies in both programs; set before a guess. */
  oldAddress: number;
  newAddress: number;
}

interface Field {
  readonly shift: number;
  readonly bits: number;
  readonly kind: number;
}

const BRANCH: Field = { shift: 0, bits: 26, kind: 1 };
const CONDITIONAL: Field = { shift: 5, bits: 19, kind: 5 };
const LITERAL: Field = { shift: 5, bits: 19, kind: 6 };
const TEST_BIT: Field = { shift: 5, bits: 14, kind: 7 };

const LOOK_AROUND = 12;
const PAGE = 4096;

const signed = (value: number, bits: number): number => (value << (32 - bits)) >> (32 - bits);

/** Kinds: 1 BL/B, 2 ADRP, 3 ADD of an ADRP, 4 load or store of an ADRP, 5 conditional branch, 6 literal, 7 TBZ, 8 ADR. */
export class Arm64 {
  readonly #map: AddressMap;

  constructor(map: AddressMap) {
    this.#map = map;
  }

  /** Foretells the word at `at` of `old` (little endian). */
  guess(old: Uint8Array, at: number, into: Guess): void {
    const word = wordAt(old, at);
    into.kind = 0;
    into.word = word;
    const top = word >>> 24;
    if ((word & 0x7c000000) === 0x14000000) this.#relative(word, BRANCH, into);
    else if ((word & 0x9f000000) >>> 0 === 0x90000000) this.#adrp(old, at, into);
    else if (top === 0x91 || (word & 0x3b000000) === 0x39000000) this.#low(old, at, into);
    else if (top === 0x54 || (word & 0x7e000000) === 0x34000000)
      this.#relative(word, CONDITIONAL, into);
    else if ((word & 0x3b000000) === 0x18000000) this.#relative(word, LITERAL, into);
    else if ((word & 0x7e000000) === 0x36000000) this.#relative(word, TEST_BIT, into);
    else if ((word & 0x9f000000) === 0x10000000) this.#adr(word, into);
  }

  #relative(word: number, { shift, bits, kind }: Field, into: Guess): void {
    const mask = (1 << bits) - 1;
    const distance = signed((word >>> shift) & mask, bits) * 4;
    const target = into.oldAddress + distance;
    const moved = this.#map.at(target);
    if (moved === undefined) return;
    into.kind = kind;
    into.target = target;
    const guessed = ((moved - into.newAddress) / 4) & mask;
    into.word = (word & ~(mask << shift)) | (guessed << shift);
  }

  #adr(word: number, into: Guess): void {
    const distance = signed(((word >>> 3) & 0x1ffffc) | ((word >>> 29) & 3), 21);
    const target = into.oldAddress + distance;
    const moved = this.#map.at(target);
    if (moved === undefined) return;
    into.kind = 8;
    into.target = target;
    into.word = withAdrDistance(word, moved - into.newAddress);
  }

  #adrp(old: Uint8Array, at: number, into: Guess): void {
    const word = wordAt(old, at);
    const register = word & 31;
    const page = pageOf(into.oldAddress) + pagesOf(word) * PAGE;
    let target = page;
    for (let i = 1; i <= LOOK_AROUND && at + 4 * i + 4 <= old.length; i++) {
      const next = wordAt(old, at + 4 * i);
      const low = lowPartOf(next);
      if (low >= 0 && ((next >>> 5) & 31) === register) {
        target = page + low;
        break;
      }
    }
    const moved = this.#map.at(target);
    if (moved === undefined) return;
    into.kind = 2;
    into.target = target;
    into.word = withAdrDistance(word, (pageOf(moved) - pageOf(into.newAddress)) / PAGE);
  }

  #low(old: Uint8Array, at: number, into: Guess): void {
    const word = wordAt(old, at);
    const low = lowPartOf(word);
    if (low < 0) return;
    const register = (word >>> 5) & 31;
    for (let i = 1; i <= LOOK_AROUND && at - 4 * i >= 0; i++) {
      const before = wordAt(old, at - 4 * i);
      if ((before & 0x9f000000) >>> 0 !== 0x90000000 || (before & 31) !== register) continue;
      const target = pageOf(into.oldAddress - 4 * i) + pagesOf(before) * PAGE + low;
      const moved = this.#map.at(target);
      if (moved === undefined) return;
      const scale = scaleOf(word);
      into.kind = word >>> 24 === 0x91 ? 3 : 4;
      into.target = target;
      into.word = (word & ~(0xfff << 10)) | (((moved % PAGE) >>> scale) << 10);
      return;
    }
  }
}

/** Address that a branch of the new program refers to; undefined for those that need a second instruction. */
export function arm64Target(kind: number, word: number, address: number): number | undefined {
  if (kind === 1) return address + signed(word & 0x3ffffff, 26) * 4;
  return undefined;
}

/** Byte part of an address in an ADD (immediate, not shifted) or a load or store (unsigned offset); -1 for others. */
function lowPartOf(word: number): number {
  if ((word & 0xffc00000) >>> 0 === 0x91000000) return (word >>> 10) & 0xfff;
  if ((word & 0x3b000000) === 0x39000000) return ((word >>> 10) & 0xfff) << scaleOf(word);
  return -1;
}

function scaleOf(word: number): number {
  if (word >>> 24 === 0x91) return 0;
  // 128-bit vector registers are size 0 with the high bit of opc.
  const vector = (word & 0x04000000) !== 0 && (word & 0x00800000) !== 0 && word >>> 30 === 0;
  return vector ? 4 : word >>> 30;
}

function pagesOf(word: number): number {
  return signed(((word >>> 3) & 0x1ffffc) | ((word >>> 29) & 3), 21);
}

function withAdrDistance(word: number, distance: number): number {
  return (word & 0x9f00001f) | ((distance & 3) << 29) | (((distance >> 2) & 0x7ffff) << 5);
}

function pageOf(address: number): number {
  return address - (address % PAGE);
}

/** Four bytes as a whole number with sign: one without would not fit the small integers of the engine. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}
