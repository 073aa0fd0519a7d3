/**
 * Watches the lengths of MQTT packets as they come in (MQTT 3.1.1 §2.2.3), so that a broker that announces a packet of
 * 256 MB is cut off at its header: the parser behind it would collect the bytes.
 */
export class FrameLimit {
  readonly #bytesMax: number;
  /** Bytes of the present packet's body still to come. */
  #skip = 0;
  /** Inside the length field: its value so far and the weight of the next digit; undefined elsewhere. */
  #length: { value: number; weight: number } | undefined;

  constructor(options: { readonly bytesMax: number }) {
    this.#bytesMax = options.bytesMax;
  }

  /** False once a packet announces more than the limit, or a length of more than four digits. */
  accepts(chunk: Uint8Array): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - at);
        this.#skip -= step;
        at += step;
      } else if (!this.#header(chunk[at++] ?? 0)) return false;
    }
    return true;
  }

  #header(byte: number): boolean {
    if (this.#length === undefined) {
      this.#length = { value: 0, weight: 1 };
      return true;
    }
    const { value, weight } = this.#length;
    const next = value + (byte & 0x7f) * weight;
    if (next > this.#bytesMax) return false;
    if (byte >= 0x80) {
      this.#length = { value: next, weight: weight * 128 };
      return weight < 128 ** 3;
    }
    this.#length = undefined;
    this.#skip = next;
    return true;
  }
}
