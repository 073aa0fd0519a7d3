import { LRUCache } from "lru-cache";
import type { ServedFile } from "../artifact-store/served-file.ts";
import { PIECE_BYTES } from "./limits.ts";

/**
 * Pieces of files that were read lately. When a release begins, many nodes ask for the same bytes: they are read once, by the
 * first who asks. Contents never change under their name, so a piece is never stale.
 */
export class PieceCache {
  readonly #pieces: LRUCache<string, Promise<Uint8Array>>;

  constructor(options: { readonly bytesMax: number }) {
    this.#pieces = new LRUCache({
      maxSize: Math.max(PIECE_BYTES, options.bytesMax),
      // The last piece of a file is shorter; it counts as a whole one.
      sizeCalculation: () => PIECE_BYTES,
    });
  }

  /** The piece with this number. `name` says which file it is, for ever. */
  async piece(name: string, number: number, file: ServedFile): Promise<Uint8Array> {
    const key = `${name} ${number}`;
    const known = this.#pieces.get(key);
    if (known !== undefined) return known;
    const reading = file.read(Buffer.allocUnsafeSlow(PIECE_BYTES), number * PIECE_BYTES);
    this.#pieces.set(key, reading);
    // A failure is nobody's but who asked now.
    reading.catch(() => this.#pieces.delete(key));
    return reading;
  }
}
