import { readFileSync, realpathSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import "@tensorflow/tfjs-backend-cpu";
import * as tf from "@tensorflow/tfjs-core";
import * as layers from "@tensorflow/tfjs-layers";

/**
 * `node detector.mjs FOLDER PORT`: serves the model in FOLDER (model.json and weights.bin) with TensorFlow.js.
 * POST /predict with 64 samples as JSON → what the motor is; POST /reload reads the model again, without an interruption;
 * GET /health and /metrics.
 */
const CLASSES = ["well", "unbalanced", "bearing"];
const BODY_BYTES_MAX = 64 * 1024;
const [folder, port] = process.argv.slice(2);
if (folder === undefined || port === undefined) {
  console.error("usage: node detector.mjs FOLDER PORT");
  process.exit(2);
}

await tf.setBackend("cpu");
let model = await load();
let predictions = 0;

/** Both files out of one release: the link is followed once, for it may be switched between the two reads. */
async function load() {
  const release = realpathSync(folder);
  const { modelTopology, weightsManifest } = JSON.parse(
    readFileSync(join(release, "model.json"), "utf8"),
  );
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const bytes = Buffer.concat(
    weightsManifest.flatMap((group) =>
      group.paths.map((path) => readFileSync(join(release, path))),
    ),
  );
  // A copy of its own: tfjs wants a buffer that begins and ends with the weights.
  const weightData = Uint8Array.from(bytes).buffer;
  return layers.loadLayersModel(
    { load: async () => ({ modelTopology, weightSpecs, weightData }) },
    { strict: true },
  );
}

async function reload() {
  const next = await load();
  const before = model;
  model = next;
  before.dispose();
}

function predict(samples) {
  const wanted = model.inputs[0].shape[1];
  if (!Array.isArray(samples) || samples.length !== wanted || !samples.every(Number.isFinite))
    throw new Error(`send ${wanted} numbers as a JSON array`);
  const scores = tf.tidy(() => model.predict(tf.tensor2d([samples])).dataSync());
  predictions += 1;
  const best = scores.indexOf(Math.max(...scores));
  return { state: CLASSES[best], score: scores[best] };
}

async function bodyOf(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > BODY_BYTES_MAX) throw new Error(`at most ${BODY_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return JSON.parse(Buffer.concat(parts).toString("utf8"));
}

const ANSWERS = {
  "GET /health": async () => "ok\n",
  "GET /metrics": async () => `motor_predictions_total ${predictions}\n`,
  "POST /predict": async (request) => `${JSON.stringify(predict(await bodyOf(request)))}\n`,
  "POST /reload": async () => {
    await reload();
    return "reloaded\n";
  },
};

createServer(async (request, response) => {
  try {
    const answer = ANSWERS[`${request.method} ${request.url}`];
    response.writeHead(answer === undefined ? 404 : 200);
    response.end(answer === undefined ? "not here\n" : await answer(request));
  } catch (error) {
    response.writeHead(400);
    response.end(`${error.message}\n`);
  }
}).listen(Number(port), process.env.FLOTILLA_NODE_ADDRESS ?? "127.0.0.1");
