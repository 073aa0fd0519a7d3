import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { rawLayout } from "@flotilla/shared/delta/weights/detect";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import type { Layouts } from "./layouts.ts";

const CHUNK_BYTES = 4 * 1024 * 1024;
/** Of so many chunks one is changed: the time goes into the codec, not into a thousand megabytes of noise. */
const CHANGED_EVERY = 8;
const SEED = 1;

/** Writes a model of `megabytes` and a fine-tune of it, piece by piece. */
export function makeBigPair(
  megabytes: number,
  folder: string,
): { old: string; new: string; layouts: Layouts } {
  mkdirSync(folder, { recursive: true });
  const paths = { old: join(folder, "old"), new: join(folder, "new") };
  const random = new SeededRandom(SEED);
  const weights = Float32Array.from({ length: CHUNK_BYTES / 4 }, () => random.unit("weight") - 0.5);
  const tuned = weights.map((w) => w + (random.unit("step") - 0.5) * 1e-5);
  const [old, fresh] = [openSync(paths.old, "w"), openSync(paths.new, "w")];
  const chunks = Math.ceil((megabytes * 1e6) / CHUNK_BYTES);
  for (let i = 0; i < chunks; i++) {
    writeSync(old, new Uint8Array(weights.buffer));
    writeSync(fresh, new Uint8Array((i % CHANGED_EVERY === 0 ? tuned : weights).buffer));
  }
  closeSync(old);
  closeSync(fresh);
  const layout = rawLayout("f32", chunks * CHUNK_BYTES);
  return { ...paths, layouts: { old: layout, new: layout } };
}
