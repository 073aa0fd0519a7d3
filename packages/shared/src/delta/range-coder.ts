import { ByteWriter } from "./bytes.ts";
import { corrupt } from "./errors.ts";

/**
 * A binary range coder (as in LZMA: 32 bits of range, carries resolved in the encoder), with probabilities of 16 bits.
 * Encoder and decoder have one interface, so that one model serves both: `bit` is what the encoder is told and what the
 * decoder answers. Only whole numbers are used: every machine decodes the same.
 */
export interface BinaryCoder {
  /** `p` of 65,536 is how likely a 1 is, 1 … 65,535. The decoder ignores `bit`. */
  code(bit: number, p: number): number;
  /** `count` equally likely bits, 0 … 24. */
  raw(value: number, count: number): number;
}

const TOP = 0x1000000;

export class RangeEncoder implements BinaryCoder {
  readonly #out: ByteWriter;
  readonly #range = new Uint32Array([0xffffffff]);
  readonly #low = new Float64Array(1);
  #cache = 0;
  #pending = 0;
  #started = false;

  constructor(capacityBytes = 4096) {
    this.#out = new ByteWriter(capacityBytes);
  }

  get length(): number {
    return this.#out.length;
  }

  code(bit: number, p: number): number {
    const state = this.#range;
    const range = state[0] ?? 0;
    const bound = Math.imul(range >>> 16, p) >>> 0;
    if (bit !== 0) state[0] = bound;
    else {
      this.#low[0] = (this.#low[0] ?? 0) + bound;
      state[0] = range - bound;
    }
    while ((state[0] ?? 0) < TOP) this.#shift();
    return bit;
  }

  raw(value: number, count: number): number {
    if (count > 12) {
      this.#rawPart(value >>> 12, count - 12);
      this.#rawPart(value & 4095, 12);
    } else this.#rawPart(value, count);
    return value;
  }

  /** The bytes; the encoder is of no use afterwards. Zeros at the end are left out: the decoder reads them on its own. */
  finish(): Uint8Array {
    for (let i = 0; i < 5; i++) this.#shift();
    const bytes = this.#out.view();
    let length = bytes.length;
    while (length > 0 && bytes[length - 1] === 0) length--;
    return bytes.slice(0, length);
  }

  #rawPart(value: number, count: number): void {
    const state = this.#range;
    const unit = (state[0] ?? 0) >>> count;
    this.#low[0] = (this.#low[0] ?? 0) + unit * value;
    state[0] = unit;
    while ((state[0] ?? 0) < TOP) this.#shift();
  }

  #shift(): void {
    const low = this.#low[0] ?? 0;
    if (low < 0xff000000 || low >= 0x100000000) {
      const carry = low >= 0x100000000 ? 1 : 0;
      if (this.#started) this.#out.u8((this.#cache + carry) & 255);
      for (; this.#pending > 0; this.#pending--) this.#out.u8((255 + carry) & 255);
      this.#started = true;
      this.#cache = Math.floor(low / TOP) & 255;
    } else this.#pending += 1;
    this.#low[0] = (low % TOP) * 256;
    this.#range[0] = (this.#range[0] ?? 0) << 8;
  }
}

export class RangeDecoder implements BinaryCoder {
  /** Zeros that may be read behind the end: those that `finish` leaves out, never a stream without end. */
  static readonly MAX_ZEROS_BEHIND_END = 1 << 16;

  readonly #bytes: Uint8Array;
  /** Range and code. */
  readonly #state = new Uint32Array(2);
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#state[0] = 0xffffffff;
    for (let i = 0; i < 4; i++) this.#state[1] = ((this.#state[1] ?? 0) << 8) | this.#next();
  }

  code(_bit: number, p: number): number {
    const state = this.#state;
    const range = state[0] ?? 0;
    const code = state[1] ?? 0;
    const bound = Math.imul(range >>> 16, p) >>> 0;
    let bit = 0;
    if (code < bound) {
      state[0] = bound;
      bit = 1;
    } else {
      state[0] = range - bound;
      state[1] = code - bound;
    }
    while ((state[0] ?? 0) < TOP) this.#shift();
    return bit;
  }

  raw(_value: number, count: number): number {
    if (count > 12) {
      const high = this.#rawPart(count - 12);
      return (high << 12) | this.#rawPart(12);
    }
    return this.#rawPart(count);
  }

  #rawPart(count: number): number {
    const state = this.#state;
    const unit = (state[0] ?? 0) >>> count;
    const code = state[1] ?? 0;
    // A damaged stream can name a value behind the last: it is held inside, the digest refuses the block.
    const value = Math.min(Math.floor(code / unit), (1 << count) - 1);
    state[0] = unit;
    state[1] = code - value * unit;
    while ((state[0] ?? 0) < TOP) this.#shift();
    return value;
  }

  #shift(): void {
    const state = this.#state;
    state[0] = (state[0] ?? 0) << 8;
    state[1] = ((state[1] ?? 0) << 8) | this.#next();
  }

  #next(): number {
    const at = this.#at++;
    if (at < this.#bytes.length) return this.#bytes[at] ?? 0;
    if (at - this.#bytes.length > RangeDecoder.MAX_ZEROS_BEHIND_END)
      throw corrupt("a coded stream ends too early");
    return 0;
  }
}
