import type { OldToNew } from "./copy-map.ts";
import type { AddressSpace } from "./image.ts";
import { Learned } from "./learned.ts";

/** Foretells to which address of the new program an address of the old one went. */
export class AddressMap {
  readonly #old: AddressSpace;
  readonly #new: AddressSpace;
  readonly #places: OldToNew;
  readonly #learned = new Learned();

  constructor(
    spaces: { readonly old: AddressSpace; readonly new: AddressSpace },
    places: OldToNew,
  ) {
    this.#old = spaces.old;
    this.#new = spaces.new;
    this.#places = places;
  }

  /** True when the address belongs to the old program. */
  holds(address: number): boolean {
    return this.#old.segmentOf(address) !== undefined;
  }

  /** The new address; undefined when the old program has no such address. */
  at(address: number): number | undefined {
    const learned = this.#learned.get(address);
    if (learned !== undefined) return learned;
    const segment = this.#old.segmentOf(address);
    if (segment === undefined) return undefined;
    const inside = address - segment.address;
    if (inside < segment.length)
      return this.#new.addressAt(this.#places.at(segment.offset + inside));
    // Zeroed memory has no place in the file: it is counted from the segment's end.
    const twin = this.#new.segments[this.#old.segments.indexOf(segment)];
    return twin && twin.address + twin.length + (inside - segment.length);
  }

  /** What turned out: the next reference to the same address is foretold by it. */
  learn(address: number, found: number): void {
    this.#learned.set(address, found);
  }
}
