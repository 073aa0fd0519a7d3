/**
 * The nodes that changed, in order, as a ring: a tree that was up to date at a position reads on from there. What fell out
 * of the ring is not known any more, and a tree that would need it is built anew.
 */
export class ChangeLog {
  readonly #ring: Int32Array;
  readonly #mask: number;
  /** Changes so far; also the position after the newest one. */
  #end = 0;

  /** `length` is a power of two. */
  constructor(length: number) {
    this.#ring = new Int32Array(length);
    this.#mask = length - 1;
  }

  get end(): number {
    return this.#end;
  }

  /** Most changes that can be read back. */
  get length(): number {
    return this.#ring.length;
  }

  push(node: number): void {
    this.#ring[this.#end & this.#mask] = node;
    this.#end++;
  }

  /** The node of a change at most `length` back. */
  nodeAt(position: number): number {
    return this.#ring[position & this.#mask] ?? 0;
  }
}
