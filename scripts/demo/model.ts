import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type DemoFleet, type DemoNode, NODES } from "./fleet.ts";
import { until } from "./processes.ts";
import type { Story } from "./story.ts";
import { MODEL_PORT } from "./workloads.ts";

/** How long the model may take to be trained, and to be on every node. */
const MODEL_TIMEOUT_MS = 180_000;

/** What the model chapter found: for the JSON line. */
export interface ModelResult {
  /** Bytes of the new version's files, and what the delta to them has. */
  readonly fullBytes: number;
  readonly deltaBytes: number;
  /** Processes that served the model before and after are the same. */
  readonly interrupted: number;
}

/** A real model, trained here, released under keys of its own, served on every node, and updated by a delta. */
export async function model({ fleet, narrator }: Story, folder: string): Promise<ModelResult> {
  narrator.heading("5. A model is released, served on every node, and updated by a delta");
  const models = join(folder, "models");
  const trained = JSON.parse(lastLine(await fleet.script("examples/motor/train.mjs", models)));
  narrator.event(`two versions of a model were trained here: ${JSON.stringify(trained)}`);
  const repository = await ceremony(fleet, folder);
  narrator.event(
    "trust ceremony done: root, targets and releases are offline keys, snapshot and timestamp the hub's",
  );
  const push = (version: string): Promise<string> =>
    fleet.cli(
      "artifact",
      "push",
      "motor",
      join(models, version),
      "--version",
      version,
      "--format",
      "tfjs",
      "--sign",
      repository.folder,
      "--key",
      repository.releaseKey,
    );
  narrator.quote(await push("1.0.0"));
  narrator.quote(await fleet.cli("apply", "-f", "examples/motor/application.yaml"));
  await until("the model to be served", () => servedEverywhere(fleet, "1.0.0"), MODEL_TIMEOUT_MS);
  for (const node of NODES)
    narrator.event(`${node.name} says of an unbalanced motor: ${await predict(node)}`);
  const before = await pidsOf(fleet);
  narrator.quote(await push("1.1.0"));
  await applyEdited(fleet, folder);
  await until(
    "the new version everywhere",
    () => servedEverywhere(fleet, "1.1.0"),
    MODEL_TIMEOUT_MS,
  );
  for (const node of NODES) narrator.event(`${node.name} says now: ${await predict(node)}`);
  const after = await pidsOf(fleet);
  const interrupted = [...before].filter(([name, pid]) => after.get(name) !== pid).length;
  const sizes = await sizesOf(fleet);
  const saved = (1 - sizes.deltaBytes / sizes.fullBytes) * 100;
  narrator.event(
    `the update was ${sizes.deltaBytes} bytes in place of ${sizes.fullBytes} (${saved.toFixed(1)} % saved); interrupted services: ${interrupted}`,
  );
  const received = await fleet.agentMetric(
    "flotilla_agent_artifact_received_bytes_total",
    "source",
  );
  narrator.event(
    `payloads of both versions, all nodes: ${[...received].map(([source, bytes]) => `${bytes} bytes from ${source}`).join(", ")}`,
  );
  narrator.quote(await fleet.cli("artifact", "describe", "motor"));
  if (interrupted > 0) throw new Error("a service was restarted to read a model");
  return { ...sizes, interrupted };
}

/** Keys and first metadata; the hub signs what is its own. */
async function ceremony(
  fleet: DemoFleet,
  folder: string,
): Promise<{ readonly folder: string; readonly releaseKey: string }> {
  const [repository, keys] = [join(folder, "trust"), join(folder, "keys")];
  const onlineKey = join(folder, "hub.pub");
  writeFileSync(onlineKey, await fleet.cli("trust", "online-key"));
  await fleet.cli("trust", "init", repository, "--keys", keys, "--online-key", onlineKey);
  await fleet.cli("trust", "publish", repository);
  return { folder: repository, releaseKey: join(keys, "releases-1.key") };
}

async function applyEdited(fleet: DemoFleet, folder: string): Promise<void> {
  const edited = join(folder, "motor-edited.yaml");
  const text = readFileSync("examples/motor/application.yaml", "utf8");
  writeFileSync(edited, text.replace("version: 1.0.0", "version: 1.1.0"));
  await fleet.cli("apply", "-f", edited);
}

async function detectors(fleet: DemoFleet): Promise<readonly ObjectOf<"Assignment">[]> {
  return (await fleet.assignments()).filter((a) => a.spec.application === "motor");
}

/** True when every instance is ready and has committed this version. */
async function servedEverywhere(fleet: DemoFleet, version: string): Promise<true | undefined> {
  const instances = await detectors(fleet);
  const isDone = instances.every(({ status }) => {
    const [artifact] = status?.reported?.artifacts ?? [];
    return (
      status?.reported?.ready === true &&
      artifact?.phase === "Active" &&
      artifact.activeVersion === version
    );
  });
  return instances.length === NODES.length && isDone ? true : undefined;
}

async function pidsOf(fleet: DemoFleet): Promise<ReadonlyMap<string, number | undefined>> {
  const instances = await detectors(fleet);
  return new Map(instances.map((a) => [a.metadata.name, a.status?.reported?.pid]));
}

/** Bytes of the release and of the delta to it, as the hub has them. */
async function sizesOf(
  fleet: DemoFleet,
): Promise<{ readonly fullBytes: number; readonly deltaBytes: number }> {
  const release: ObjectOf<"Release"> = JSON.parse(
    await fleet.cli("get", "release", "motor-1.1.0", "-o", "json"),
  );
  const fullBytes = release.spec.files.reduce((sum, file) => sum + file.length, 0);
  const delta = release.status?.deltas?.find((d) => d.from === "1.0.0");
  if (delta === undefined) throw new Error("the hub made no delta from 1.0.0 to 1.1.0");
  return { fullBytes, deltaBytes: delta.bytes };
}

/** A window of an unbalanced motor's vibration: one strong wave of the turning frequency. */
function predict(node: DemoNode): Promise<string> {
  const samples = Array.from(
    { length: 64 },
    (_, t) => 1.8 * Math.sin((2 * Math.PI * 2.4 * t) / 64),
  );
  return new Promise((resolve, reject) => {
    const asked = request(
      { host: node.address, port: MODEL_PORT, path: "/predict", method: "POST", timeout: 5_000 },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve(text.trim()));
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", reject);
    asked.end(JSON.stringify(samples));
  });
}

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}
