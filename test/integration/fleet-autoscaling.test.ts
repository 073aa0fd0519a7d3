import { afterAll, beforeAll, expect, test } from "vitest";
import { apply, deployment } from "./support/applications.ts";
import { cli } from "./support/cli.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { until } from "./support/until.ts";
import { nodesReady, World } from "./support/world.ts";

const TIMEOUT_MS = 150_000;
/** Two readings of the agent and one of the hub, 15 s apart, on a busy machine. */
const SCALED_TIMEOUT_MS = 120_000;

let world: World;
let hub: HubProcess;
beforeAll(async () => {
  world = new World({ seed: 4_711 });
  hub = await world.startHub();
  await Promise.all(["n1", "n2"].map((node) => world.startAgent(node, hub)));
  await nodesReady(hub, 2);
}, TIMEOUT_MS);
afterAll(() => world.end());

/** Uses a fifth of a core. */
const WORKS = "setInterval(() => { const end = Date.now() + 20; while (Date.now() < end); }, 100)";
/** Tells a queue of 30 in the Prometheus text format. */
const TELLS = `require("node:http").createServer((q, r) => r.end("jobs_waiting{kind=\\"a\\"} 10\\njobs_waiting{kind=\\"b\\"} 20\\n")).listen(23917, process.env.FLOTILLA_NODE_ADDRESS)`;

test(
  "real processes are measured, by their CPU and by what they tell, and replicas follow",
  async () => {
    const container = { resources: { requests: { cpu: "100m", memory: "8Mi" } } };
    const scaling = { minReplicas: 1, maxReplicas: 2 };
    await apply(hub, "load", [
      {
        ...deployment("busy", [process.execPath, "-e", WORKS], { container }),
        autoscaling: { ...scaling, metrics: [{ type: "CPU", averageUtilization: 50 }] },
      },
      {
        ...deployment("queue", [process.execPath, "-e", TELLS], {
          container: { ...container, ports: [{ containerPort: 23_917 }] },
        }),
        autoscaling: {
          ...scaling,
          endpoint: { port: 23_917 },
          metrics: [
            {
              type: "Pods",
              pods: {
                metric: { name: "jobs_waiting" },
                target: { type: "AverageValue", averageValue: 15 },
              },
            },
          ],
        },
      },
    ]);
    let seen: unknown;
    const scaled = await until(
      "both components to have two replicas",
      async () => {
        const { status } = await hub.api.get("Application", "load");
        seen = status?.autoscaling;
        const counts = (status?.components ?? []).map((c) => c.ready);
        return counts.join() === "2,2" && status;
      },
      { timeoutMs: SCALED_TIMEOUT_MS, seen: () => seen },
    );
    const [busy, queue] = scaled.autoscaling ?? [];
    expect(busy?.metrics[0]?.current).toBeGreaterThan(55);
    expect(queue?.metrics[0]).toMatchObject({ name: "jobs_waiting", current: 30, target: 15 });
    const { out } = await cli(hub.kubeconfig, ["application", "status", "load"]);
    expect(out).toMatch(/Autoscaling:\n[^\n]*\nbusy +2 +cpu [\d.]+\/50/);
  },
  TIMEOUT_MS,
);
