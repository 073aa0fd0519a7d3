import { f64, i32 } from "./columns.ts";

/**
 * The nodes that changed, the newest first, each once: a tree that was up to date at a time walks back to what changed after
 * it. The list is linked through columns, so that a node that changes again moves to the front and is looked at once, and
 * nothing ever falls out.
 */
export class ChangeLog {
  /** Time of each node's last change; 0: never. Times count changes, and are exact up to 2^53. */
  readonly changedAt: Float64Array;
  /** The node that changed last before this one. The entry behind the last node stands for both ends; its time is 0. */
  readonly older: Int32Array;
  readonly #newer: Int32Array;
  readonly #ends: number;
  #now = 0;

  constructor(nodeCount: number) {
    this.#ends = nodeCount;
    this.changedAt = new Float64Array(nodeCount + 1);
    this.older = new Int32Array(nodeCount + 1).fill(nodeCount);
    this.#newer = new Int32Array(nodeCount + 1).fill(nodeCount);
  }

  /** Changes so far, also of the same node; the time of the newest one. */
  get now(): number {
    return this.#now;
  }

  /** The node that changed last: follow `older` from it while `changedAt` is late enough. */
  get newest(): number {
    return i32(this.older, this.#ends);
  }

  /** Whether more nodes than this changed after that time, each counted once however often it changed. */
  changedMoreThan(count: number, seen: number): boolean {
    if (this.#now - seen <= count) return false;
    let changed = 0;
    for (let node = this.newest; f64(this.changedAt, node) > seen; node = i32(this.older, node)) {
      changed++;
      if (changed > count) return true;
    }
    return false;
  }

  push(node: number): void {
    this.#now++;
    if (this.newest !== node) {
      if (f64(this.changedAt, node) > 0) this.#link(i32(this.#newer, node), i32(this.older, node));
      this.#link(node, this.newest);
      this.#link(this.#ends, node);
    }
    this.changedAt[node] = this.#now;
  }

  #link(newer: number, older: number): void {
    this.older[newer] = older;
    this.#newer[older] = newer;
  }
}
