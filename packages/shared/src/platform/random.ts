import { randomBytes, randomFillSync } from "node:crypto";
import type { Random } from "../kernel/random.ts";

/** Asked of the operating system at a time; a question costs as much for 16 bytes as for these. */
const BLOCK_BYTES = 4096;

/** Entropy of the operating system; fit for keys and tokens. Small draws share a question; none is given or kept twice. */
export function systemRandom(): Random {
  const block = new Uint8Array(BLOCK_BYTES);
  let used = BLOCK_BYTES;
  const bytes = (count: number): Uint8Array => {
    if (count > BLOCK_BYTES) return new Uint8Array(randomBytes(count));
    if (used + count > BLOCK_BYTES) {
      randomFillSync(block);
      used = 0;
    }
    const drawn = block.slice(used, used + count);
    block.fill(0, used, used + count);
    used += count;
    return drawn;
  };
  return { unit: () => unitOf(bytes(8)), bytes };
}

/** 53 bits of 8 bytes as a fraction. */
function unitOf(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer);
  const high = view.getUint32(0) >>> 5;
  const low = view.getUint32(4) >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}
