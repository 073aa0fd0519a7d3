import { encodeDelta } from "@flotilla/shared/delta/encode";
import { inMemory } from "@flotilla/shared/delta/random-access";
import type { TensorPlace } from "@flotilla/shared/delta/weights/layout";
import { nodeCompressor, nodeDigests } from "@flotilla/shared/platform/delta/node-compressor";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import type { Encoded } from "../../packages/edge-agent/test/support/artifact-hub.ts";

/** Values in a row of the made-up model. */
const COLUMNS = 1_024;
const FLOAT_BYTES = 4;
/** Of a fine-tune: the last tensors are trained, the others stay. */
const TRAINED_SHARE = 0.2;
/** Deviation of weights, and of what training adds to them. */
const WEIGHT_SCALE = 0.05;
const STEP_SCALE = 0.001;
const TENSORS = 10;

export interface ModelPair {
  readonly base: Uint8Array;
  readonly target: Uint8Array;
  readonly layout: readonly TensorPlace[];
}

/** Float weights of a normal distribution and a fine-tune of them, the same for the same seed. */
export function makeModels(bytes: number, seed: number): ModelPair {
  const random = new SeededRandom(seed);
  const rows = Math.floor(bytes / TENSORS / COLUMNS / FLOAT_BYTES);
  const count = rows * COLUMNS;
  const base = new Float32Array(count * TENSORS);
  for (let i = 0; i < base.length; i++) base[i] = normal(random) * WEIGHT_SCALE;
  const target = base.slice();
  for (let i = Math.floor(base.length * (1 - TRAINED_SHARE)); i < base.length; i++)
    target[i] = (target[i] ?? 0) + normal(random) * STEP_SCALE;
  return {
    base: new Uint8Array(base.buffer),
    target: new Uint8Array(target.buffer),
    layout: Array.from({ length: TENSORS }, (_, i) => ({
      name: `layer${i}`,
      type: "f32",
      shape: [rows, COLUMNS],
      offset: i * count * FLOAT_BYTES,
      count,
    })),
  };
}

/** Box and Muller. */
function normal(random: SeededRandom): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.unit("model.radius")));
  return radius * Math.cos(2 * Math.PI * random.unit("model.angle"));
}

/** By the product's encoder. A whole file goes in byte planes, which decode fast: the bench is of ways, not of codecs. */
export function encodeModel({ base, target, layout }: ModelPair, kind: "full" | "delta"): Encoded {
  const parts: Uint8Array[] = [];
  const isDelta = kind === "delta";
  const coding = encodeDelta(
    {
      base: isDelta ? inMemory(base) : undefined,
      target: inMemory(target),
      layouts: { old: isDelta ? layout : [], new: layout },
      profile: "fast",
      codecs: isDelta ? undefined : ["planes", "zstd"],
    },
    { compressor: nodeCompressor, digests: nodeDigests },
    (bytes) => parts.push(bytes.slice()),
  );
  return { manifest: coding, payload: Buffer.concat(parts) };
}
