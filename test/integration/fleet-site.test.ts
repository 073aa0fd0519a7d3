import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, deployment } from "./support/applications.ts";
import { cli } from "./support/cli.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { until } from "./support/until.ts";
import { joinString, nodesReady, type World, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 240_000;
const NODES = ["press-1", "press-2", "press-3"] as const;
/** What nothing compresses, so that a payload is as long as the file. */
const MODEL_BYTES = 3_000_000;

/** `flotilla`; `~` is the world's folder. */
async function flotilla(world: World, hub: HubProcess, line: string): Promise<string> {
  const argv = line.split(" ").map((word) => word.replace(/^~/, world.folder));
  const { status, out, err } = await cli(hub.kubeconfig, argv);
  if (status !== 0) throw new Error(`flotilla ${line}: ${err}`);
  return out;
}

/** Bytes of payloads that came to a node, by where from. */
async function receivedBytes(agent: AgentProcess, source: string): Promise<number> {
  const { out } = await agent.ask("metrics");
  const name = `flotilla_agent_artifact_received_bytes_total{source="${source}"}`;
  return Number(
    out
      .split("\n")
      .find((line) => line.startsWith(name))
      ?.split(" ")
      .at(-1) ?? 0,
  );
}

test(
  "three nodes of a site take a model of one over the uplink, and the others have it from them",
  async () => {
    const world = worldOfTest(77);
    const hub = await world.startHub();
    const agents = await Promise.all(
      NODES.map(async (node) => {
        const agent = world.makeAgent(node);
        await agent.join(await joinString(hub, { site: "plant", nodeName: node }));
        agent.start({ args: ["--peer-listen", "127.0.0.1:0"] });
        return agent;
      }),
    );
    await nodesReady(hub, NODES.length);
    const peers = async (): Promise<number> =>
      (await hub.api.list("EdgeNode")).items.filter((n) => n.status?.artifacts?.peer !== undefined)
        .length;
    await until("the nodes to say where they serve", async () => (await peers()) === NODES.length);
    const run = (line: string): Promise<string> => flotilla(world, hub, line);
    world.writeFile("hub.pub", await run("trust online-key"));
    await run("trust init ~/repo --keys ~/keys --online-key ~/hub.pub");
    writeFileSync(join(world.folder, "model.bin"), randomBytes(MODEL_BYTES));
    await run(
      "artifact push detector ~/model.bin --version 1.0.0 --format raw --sign ~/repo --key ~/keys/releases-1.key",
    );
    const artifacts = [{ name: "detector", version: "1.0.0", healthWindow: "1s" }];
    await apply(
      hub,
      "detector",
      NODES.map((node) => ({
        ...deployment(node, ["sleep", "1000"], {
          pod: { nodeSelector: { "kubernetes.io/hostname": node } },
        }),
        artifacts,
      })),
    );
    const active = async (): Promise<number> =>
      (await hub.api.list("Assignment")).items.filter(
        (a) => a.status?.reported?.artifacts?.[0]?.phase === "Active",
      ).length;
    await until("all to run with it", async () => (await active()) === NODES.length, {
      timeoutMs: 120_000,
    });
    const sum = async (source: string): Promise<number> =>
      (await Promise.all(agents.map((agent) => receivedBytes(agent, source)))).reduce(
        (total, bytes) => total + bytes,
        0,
      );
    const [fromHub, fromPeers] = [await sum("hub"), await sum("peer")];
    expect(fromHub + fromPeers).toBeGreaterThanOrEqual(NODES.length * MODEL_BYTES);
    // About once: a node that begins long before the others may be the second to fetch.
    expect(fromHub).toBeLessThan(2 * MODEL_BYTES);
    expect(fromPeers).toBeGreaterThan(MODEL_BYTES);
  },
  TIMEOUT_MS,
);
