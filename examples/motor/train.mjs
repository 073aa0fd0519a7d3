import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import "@tensorflow/tfjs-backend-cpu";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";

/**
 * `node examples/motor/train.mjs FOLDER`: makes two versions of a small model that tells from 64 samples of a motor's vibration
 * whether it is well, unbalanced, or has a worn bearing. FOLDER/1.0.0 is trained on motors of the maker; FOLDER/1.1.0 is the
 * same network with its last layer trained again on the motors of this plant. Seeded: the same files each time.
 */
const SAMPLES = 64;
const CLASSES = ["well", "unbalanced", "bearing"];
const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node examples/motor/train.mjs FOLDER");
  process.exit(2);
}

/** mulberry32, so that the data are the same on every machine. */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Vibration of so many motors: the turning frequency, its unbalance, and the ringing of a worn bearing, under noise. */
function measure(count, { seed, gain, noise }) {
  const next = random(seed);
  const waves = [];
  const labels = [];
  for (let i = 0; i < count; i++) {
    const kind = i % CLASSES.length;
    const phase = next() * 2 * Math.PI;
    const speed = 2 + next();
    for (let t = 0; t < SAMPLES; t++) {
      const angle = (2 * Math.PI * speed * t) / SAMPLES + phase;
      const unbalance = kind === 1 ? 1.5 * Math.sin(angle) : 0;
      const ringing = kind === 2 ? 0.8 * Math.sin(angle * 9.3) * Math.max(0, Math.sin(angle)) : 0;
      waves.push(gain * (0.3 * Math.sin(angle) + unbalance + ringing) + noise * (next() - 0.5));
    }
    labels.push(kind);
  }
  return {
    inputs: tf.tensor2d(waves, [count, SAMPLES]),
    labels: tf.cast(tf.oneHot(tf.tensor1d(labels, "int32"), CLASSES.length), "float32"),
  };
}

const dense = (units, seed, rest) =>
  layers.layers.dense({
    units,
    kernelInitializer: layers.initializers.glorotUniform({ seed }),
    ...rest,
  });
/** The network; with `trainable` false for the hidden layers, only the head learns. */
const network = (trainable) =>
  layers.sequential({
    name: "motor",
    layers: [
      dense(512, 1, { inputShape: [SAMPLES], activation: "relu", name: "hidden1", trainable }),
      dense(512, 2, { activation: "relu", name: "hidden2", trainable }),
      dense(CLASSES.length, 3, { activation: "softmax", name: "head" }),
    ],
  });

async function train(model, data, { epochs, rate }) {
  model.compile({
    optimizer: tf.train.adam(rate),
    loss: "categoricalCrossentropy",
    metrics: ["accuracy"],
  });
  const { history } = await model.fit(data.inputs, data.labels, {
    epochs,
    batchSize: 64,
    shuffle: false,
    verbose: 0,
  });
  return history.acc.at(-1);
}

/** tfjs' own form: model.json with the topology and the list of weights, and their bytes. */
async function save(model, version) {
  const target = join(folder, version);
  mkdirSync(target, { recursive: true });
  await model.save({
    save: (artifacts) => {
      const { modelTopology, weightSpecs, weightData } = artifacts;
      const manifest = [{ paths: ["weights.bin"], weights: weightSpecs }];
      writeFileSync(
        join(target, "model.json"),
        `${JSON.stringify({ format: "layers-model", modelTopology, weightsManifest: manifest })}\n`,
      );
      writeFileSync(join(target, "weights.bin"), new Uint8Array(weightData));
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
    },
  });
}

await tf.setBackend("cpu");
const maker = network(true);
const first = await train(maker, measure(192, { seed: 7, gain: 1, noise: 0.3 }), {
  epochs: 6,
  rate: 1e-3,
});
await save(maker, "1.0.0");
const plant = network(false);
for (const { name } of maker.layers)
  plant.getLayer(name).setWeights(maker.getLayer(name).getWeights());
const here = measure(192, { seed: 11, gain: 0.6, noise: 0.3 });
const second = await train(plant, here, { epochs: 10, rate: 3e-3 });
await save(plant, "1.1.0");
console.log(JSON.stringify({ accuracy: { "1.0.0": first, "1.1.0": second } }));
