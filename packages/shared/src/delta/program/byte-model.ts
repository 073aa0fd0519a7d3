import { BitModel } from "../adaptive.ts";
import type { BinaryCoder } from "../range-coder.ts";

/** Codes a byte, high bit first, by several contexts that the caller hashes; mixing weights are kept by `set`. */
export class ByteModel {
  readonly #model: BitModel;
  readonly #inputs: number;
  readonly #shift: number;

  /** `slotBits`: each input has 2^slotBits contexts of 16 counters. */
  constructor(inputs: number, sets: number, slotBits: number) {
    this.#inputs = inputs;
    this.#shift = 32 - slotBits;
    this.#model = new BitModel({
      slots: Array.from({ length: inputs }, () => 16 << slotBits),
      mixerSets: sets * 256,
      countLimit: 250,
      learningRate: 0.015,
    });
  }

  /** Everything forgotten, as new. */
  reset(): void {
    this.#model.reset();
  }

  /** `contexts[i]` is any whole number; equal numbers share what they learned. */
  code(coder: BinaryCoder, byte: number, contexts: Int32Array, set: number): number {
    const model = this.#model;
    let node = 1;
    for (let half = 0; half < 2; half++) {
      for (let i = 0; i < this.#inputs; i++) {
        const mixed = Math.imul(
          (contexts[i] ?? 0) + (half === 0 ? 0 : node * 0x3d4d51cb),
          0x9e3779b1,
        );
        model.base[i] = (model.offset[i] ?? 0) + ((mixed >>> this.#shift) << 4);
      }
      let nibble = 1;
      for (let k = 0; k < 4; k++) {
        const shift = 7 - 4 * half - k;
        const bit = model.code(coder, (byte >>> shift) & 1, nibble, set * 256 + node);
        nibble = nibble * 2 + bit;
        node = node * 2 + bit;
      }
    }
    return node & 255;
  }
}
