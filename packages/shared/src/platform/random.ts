import { randomBytes } from "node:crypto";
import type { Random } from "../kernel/random.ts";

/** Entropy of the operating system; fit for keys and tokens. */
export function systemRandom(): Random {
  return {
    unit: () => {
      const bytes = randomBytes(8);
      const high = bytes.readUInt32BE(0) >>> 5;
      const low = bytes.readUInt32BE(4) >>> 6;
      return (high * 2 ** 26 + low) / 2 ** 53;
    },
    bytes: (count) => new Uint8Array(randomBytes(count)),
  };
}
