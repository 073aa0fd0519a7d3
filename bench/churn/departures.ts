/** Who leaves when: a binary heap by time; of equal times the lower id first. */
export class Departures {
  readonly #heap: { readonly id: number; readonly at: number }[] = [];

  add(id: number, at: number): void {
    const heap = this.#heap;
    heap.push({ id, at });
    for (let child = heap.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1;
      if (!this.#isBefore(child, parent)) return;
      this.#swap(child, parent);
      child = parent;
    }
  }

  /** Takes out everyone who leaves by then, in order. */
  *until(at: number): Generator<number> {
    for (let first = this.#heap[0]; first !== undefined && first.at <= at; first = this.#heap[0]) {
      this.#removeFirst();
      yield first.id;
    }
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    heap[0] = last;
    for (let parent = 0; ; ) {
      const [left, right] = [parent * 2 + 1, parent * 2 + 2];
      let least = parent;
      if (this.#isBefore(left, least)) least = left;
      if (this.#isBefore(right, least)) least = right;
      if (least === parent) return;
      this.#swap(parent, least);
      parent = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [x, y] = [this.#heap[a], this.#heap[b]];
    if (x === undefined || y === undefined) return false;
    return x.at < y.at || (x.at === y.at && x.id < y.id);
  }

  #swap(a: number, b: number): void {
    const [x, y] = [this.#heap[a], this.#heap[b]];
    if (x === undefined || y === undefined) return;
    this.#heap[a] = y;
    this.#heap[b] = x;
  }
}
