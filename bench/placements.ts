import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { openBenchHub } from "./placements/hub.ts";
import { addApplications, addNodes } from "./placements/scene.ts";
import { tableText } from "./support/table.ts";

/** Placements a second through the hub: from the API's store over the scheduler to signed desired states on disk. */
const USAGE = `npm run bench:placements -- [options]
  --nodes N        ready nodes (default 2000)
  --instances N    instances in all (default 10000)
  --applications A,…  Applications that they are of, one run each (default 100,10000)
  --live           the hub places while the Applications still come in, all at once, instead of afterwards
  --json           prints JSON instead of a table`;

/** A run that takes longer has failed, milliseconds. */
const RUN_MS_MAX = 300_000;

interface Run {
  readonly nodes: number;
  readonly applications: number;
  readonly instances: number;
  /** From the first request until all Applications are stored. */
  readonly acceptSeconds: number;
  /** From the scheduler's start until every instance has a node on disk. */
  readonly placeSeconds: number;
  /** Until the desired state of every node is signed, on disk and told. */
  readonly publishSeconds: number;
  readonly cpuSeconds: number;
  /** Longest time that nothing else of the hub had a turn, milliseconds. */
  readonly pauseMsMax: number;
  readonly placementsPerSecond: number;
  readonly nodesTold: number;
}

interface Scene {
  readonly nodes: number;
  readonly applications: number;
  readonly instances: number;
  readonly isLive: boolean;
}

async function run({ nodes, applications, instances, isLive }: Scene): Promise<Run> {
  const hub = openBenchHub();
  const stop = new AbortController();
  try {
    await addNodes(hub, nodes);
    const pauses = monitorEventLoopDelay({ resolution: 1 });
    const runAll = () => {
      pauses.enable();
      return hub.services.map((service) => service.run(stop.signal));
    };
    const early = isLive ? runAll() : [];
    let cpu = process.cpuUsage();
    const start = performance.now();
    await addApplications(hub, { applications, replicas: Math.ceil(instances / applications) });
    const accepted = performance.now();
    if (!isLive) cpu = process.cpuUsage();
    const running = isLive ? early : runAll();
    const total = Math.ceil(instances / applications) * applications;
    await until(() => hub.placedCount() === total, 5);
    const placed = performance.now();
    await until(() => publishedCount(hub) === total, 100);
    const published = performance.now();
    const { user, system } = process.cpuUsage(cpu);
    pauses.disable();
    stop.abort();
    await Promise.all(running);
    return {
      nodes,
      applications,
      instances: total,
      acceptSeconds: (accepted - start) / 1000,
      placeSeconds: (placed - accepted) / 1000,
      publishSeconds: (published - accepted) / 1000,
      cpuSeconds: (user + system) / 1e6,
      pauseMsMax: pauses.max / 1e6,
      placementsPerSecond: total / ((published - accepted) / 1000),
      nodesTold: hub.link.notifiedCount,
    };
  } finally {
    stop.abort();
    hub.close();
  }
}

type Hub = ReturnType<typeof openBenchHub>;

/** Instances in the signed desired states. */
function publishedCount({ store }: Hub): number {
  let count = 0;
  for (const { metadata } of store.list("EdgeNode")) {
    const payload = store.desired(metadata.name)?.payload;
    if (payload !== undefined) count += payload.split('"specDigest"').length - 1;
  }
  return count;
}

/** Looks every so often: looking costs little of what is measured. */
async function until(isSo: () => boolean, everyMs: number): Promise<void> {
  const deadline = performance.now() + RUN_MS_MAX;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not done after ${RUN_MS_MAX} ms`);
    await setTimeout(everyMs);
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string", default: "2000" },
      instances: { type: "string", default: "10000" },
      applications: { type: "string", default: "100,10000" },
      live: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const runs: Run[] = [];
  for (const applications of values.applications.split(",").map(Number))
    runs.push(
      await run({
        nodes: Number(values.nodes),
        applications,
        instances: Number(values.instances),
        isLive: values.live,
      }),
    );
  console.log(values.json ? JSON.stringify(runs, undefined, 2) : text(runs));
}

function text(runs: readonly Run[]): string {
  const head = [
    "nodes",
    "applications",
    "instances",
    "accepted s",
    "placed s",
    "published s",
    "CPU s",
    "pause ms",
    "placements/s",
    "nodes told",
  ];
  const rows = runs.map((r) => [
    String(r.nodes),
    String(r.applications),
    String(r.instances),
    r.acceptSeconds.toFixed(2),
    r.placeSeconds.toFixed(2),
    r.publishSeconds.toFixed(2),
    r.cpuSeconds.toFixed(2),
    r.pauseMsMax.toFixed(0),
    Math.round(r.placementsPerSecond).toString(),
    String(r.nodesTold),
  ]);
  return `${tableText([head, ...rows])}\ngoal: 5,000 placements a second on two cores`;
}

main().catch((error: unknown) => {
  console.error(`${messageOf(error)}\n${USAGE}`);
  process.exitCode = 1;
});
