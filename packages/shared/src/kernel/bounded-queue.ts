/** A first-in first-out queue with a limit. At the limit `push` refuses, and says so; nothing is dropped silently. */
export class BoundedQueue<T> {
  readonly #lengthMax: number;
  #items: T[] = [];
  #refusedCount = 0;

  constructor(options: { readonly lengthMax: number }) {
    this.#lengthMax = options.lengthMax;
  }

  get length(): number {
    return this.#items.length;
  }

  /** How many pushes were refused since the start. */
  get refusedCount(): number {
    return this.#refusedCount;
  }

  /** False, and counted, when the queue is full. */
  push(item: T): boolean {
    if (this.#items.length >= this.#lengthMax) {
      this.#refusedCount++;
      return false;
    }
    this.#items.push(item);
    return true;
  }

  /** Takes up to `countMax` items from the front. */
  take(countMax: number): T[] {
    return this.#items.splice(0, countMax);
  }
}
