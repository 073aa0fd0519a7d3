/** What a stretch of WebAssembly code is. The numbers stand in the format: they choose models. */
export const PLAIN = 0;
export const CALL = 1;
export const CONSTANT = 2;
export const OFFSET = 3;
export const LOCAL = 4;
export const GLOBAL = 5;
export const TYPE = 6;
/** Bytes with no end bit that nothing is foretold of: depths of branches, alignments. */
const OTHER = 7;
/** Branch depths of a table: as many as the number before them says. */
const LABELS = 8;

/** Longest number of varying length. */
const MAX_NUMBER_BYTES = 10;

/** Numbers after each opcode of one byte, four bits each, the first lowest. */
const OPERANDS: Uint16Array = operands();

function operands(): Uint16Array {
  const table = new Uint16Array(256);
  for (const block of [0x02, 0x03, 0x04, 0x0c, 0x0d, 0x3f, 0x40, 0x42]) table[block] = OTHER;
  table[0x0e] = LABELS;
  table[0x10] = CALL;
  table[0x11] = TYPE | (OTHER << 4);
  for (const local of [0x20, 0x21, 0x22]) table[local] = LOCAL;
  table[0x23] = GLOBAL;
  table[0x24] = GLOBAL;
  for (let access = 0x28; access <= 0x3e; access++) table[access] = OTHER | (OFFSET << 4);
  table[0x41] = CONSTANT;
  return table;
}

/**
 * Cuts WebAssembly code into opcodes and their numbers. It may begin anywhere: after some instructions it is in step
 * with the code, and where it is not, what is foretold is wrong and nothing else.
 */
export class WasmTokens {
  /** Of the token that was read last. */
  kind = PLAIN;
  length = 0;
  /** The number; for constants with its sign. */
  value = 0;
  #operands = 0;
  #labels = 0;
  #plain = 0;

  reset(): void {
    this.#operands = 0;
    this.#labels = 0;
    this.#plain = 0;
  }

  /** Reads the token at `at`, which is before `end`; no token goes beyond that. */
  next(code: Uint8Array, at: number, end: number): void {
    this.kind = PLAIN;
    if (this.#plain > 0) {
      this.length = Math.min(this.#plain, end - at);
      this.#plain -= this.length;
    } else if (this.#labels > 0) {
      this.#labels -= 1;
      this.#number(code, at, end);
    } else if (this.#operands !== 0) this.#operand(code, at, end);
    else this.#opcode(code, at, end);
  }

  #operand(code: Uint8Array, at: number, end: number): void {
    const operand = this.#operands & 15;
    this.#operands >>>= 4;
    this.#number(code, at, end);
    if (operand === LABELS) this.#labels = Math.min(this.value, 4096) + 1;
    else if (operand !== OTHER) this.kind = operand;
    if (operand === CONSTANT && this.length > 0 && this.length < MAX_NUMBER_BYTES) {
      const last = code[at + this.length - 1] ?? 0;
      if ((last & 0x40) !== 0) this.value -= 2 ** (7 * this.length);
    }
  }

  #number(code: Uint8Array, at: number, end: number): void {
    let value = 0;
    let weight = 1;
    let length = 0;
    while (at + length < end && length < MAX_NUMBER_BYTES) {
      const byte = code[at + length] ?? 0;
      length += 1;
      value += (byte & 127) * weight;
      weight *= 128;
      if (byte < 128) break;
    }
    this.value = value;
    this.length = length;
  }

  #opcode(code: Uint8Array, at: number, end: number): void {
    const opcode = code[at] ?? 0;
    this.length = 1;
    if (opcode === 0x43) this.#plain = 4;
    else if (opcode === 0x44) this.#plain = 8;
    else if (opcode === 0xfd || opcode === 0xfc || opcode === 0xfe)
      this.#prefixed(opcode, code, at, end);
    else this.#operands = OPERANDS[opcode] ?? 0;
  }

  /** Opcodes of two parts: vectors, bulk memory, threads. */
  #prefixed(prefix: number, code: Uint8Array, at: number, end: number): void {
    if (at + 1 >= end) return;
    this.#number(code, at + 1, end);
    const second = this.value;
    this.length += 1;
    if (prefix === 0xfc) this.#operands = second >= 8 && second <= 17 ? bulkOperands(second) : 0;
    else if (prefix === 0xfe) this.#operands = second === 3 ? OTHER : OTHER | (OFFSET << 4);
    else if (second <= 11 || second === 92 || second === 93) this.#operands = OTHER | (OFFSET << 4);
    else if (second === 12 || second === 13) this.#plain = 16;
    else if (second >= 21 && second <= 34) this.#plain = 1;
    else if (second >= 84 && second <= 91) this.#operands = OTHER | (OFFSET << 4) | (OTHER << 8);
  }
}

function bulkOperands(second: number): number {
  return second === 8 || second === 10 || second === 12 || second === 14
    ? OTHER | (OTHER << 4)
    : OTHER;
}
