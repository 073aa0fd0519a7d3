import { corrupt } from "./errors.ts";

/** Bytes that grow as they are written. Numbers are little endian or LEB128. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacityBytes = 256) {
    this.#bytes = new Uint8Array(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  bytes(value: Uint8Array): void {
    if (this.#length + value.length > this.#bytes.length) this.#grow(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** A whole number from 0 to 2^53 - 1, seven bits a byte, low bits first. */
  varint(value: number): void {
    let rest = value;
    while (rest >= 128) {
      this.u8((rest % 128) | 128);
      rest = Math.floor(rest / 128);
    }
    this.u8(rest);
  }

  /** A whole number with sign: 0, -1, 1, -2 … become 0, 1, 2, 3 … */
  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** A length and then that many bytes. */
  blob(value: Uint8Array): void {
    this.varint(value.length);
    this.bytes(value);
  }

  /** What was written; shares memory with the writer. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(needed: number): void {
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + needed));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Reads untrusted bytes. Every read is checked; what is missing or too large throws `delta-corrupt` with the field's name. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  get offset(): number {
    return this.#at;
  }

  u8(field: string): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw corrupt(`${field} is cut off`);
    this.#at += 1;
    return value;
  }

  /** Shares memory with what is read. */
  bytes(length: number, field: string): Uint8Array {
    if (length > this.remaining) throw corrupt(`${field} is longer than what is there`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** At most `max`, which is at most 2^53 - 1; the shortest form is the only one. */
  varint(field: string, max: number): number {
    let value = 0;
    let weight = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8(field);
      value += (byte & 127) * weight;
      if (byte < 128) {
        if (byte === 0 && i > 0) throw corrupt(`${field} is not in its shortest form`);
        if (value > max) throw corrupt(`${field} is ${value}, more than ${max}`);
        return value;
      }
      weight *= 128;
    }
    throw corrupt(`${field} is longer than 8 bytes`);
  }

  signed(field: string, maxMagnitude: number): number {
    const value = this.varint(field, 2 * maxMagnitude + 1);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  blob(field: string, maxLength: number): Uint8Array {
    return this.bytes(this.varint(`length of ${field}`, maxLength), field);
  }

  /** Nothing may follow. */
  end(field: string): void {
    if (this.remaining > 0) throw corrupt(`${this.remaining} bytes follow ${field}`);
  }
}
