import { expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, converged, deployment, settled } from "./support/applications.ts";
import { pathOf } from "./support/hub-api.ts";
import { SmallDisk } from "./support/small-disk.ts";
import { until } from "./support/until.ts";
import { joinString, nodesReady, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 180_000;
const DISK_BYTES = 24 * 1024 * 1024;

function pidsOf(agent: AgentProcess): ReadonlyMap<string, number> {
  return new Map(agent.copies().map((c) => [c.instance, c.pid]));
}

test(
  "a hub whose disk is full refuses writes, says that it is not ready, answers reads, and goes on by itself when there is space",
  async () => {
    const world = worldOfTest(501);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 2 })]);
    await settled(hub, "shop");
    const pids = pidsOf(agent);
    expect(await hub.process.terminate()).toBe(0);
    const disk = await SmallDisk.over(hub.dataDir, { bytes: DISK_BYTES });
    hub.spawn(disk.prefix);
    await hub.ready();
    await agent.online();
    await disk.fill(hub.process.pid);
    const write = (n: number) =>
      hub.api.request("POST", pathOf("ConfigMap"), {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: `large-${n}` },
        data: { text: "x".repeat(300_000) },
      });
    const acknowledged: string[] = [];
    let answer = await write(0);
    for (let n = 1; answer.status === 201; n++) {
      acknowledged.push(`large-${n - 1}`);
      expect(n).toBeLessThan(100);
      answer = await write(n);
    }
    expect(answer.status).toBe(503);
    expect(answer.text).toMatch(/disk|full|space/i);
    await until("readiness to be withdrawn", async () => {
      await write(1_000);
      return (await hub.api.request("GET", "/readyz")).status === 503;
    });
    expect((await hub.api.request("GET", "/healthz")).status).toBe(200);
    expect((await hub.api.list("Application")).items).toHaveLength(1);
    expect(pidsOf(agent)).toEqual(pids);

    await disk.free(hub.process.pid);
    await until("readiness to come back", async () => {
      return (await hub.api.request("GET", "/readyz")).status === 200;
    });
    expect((await write(2_000)).status).toBe(201);
    await agent.online();
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 3 })]);
    await settled(hub, "shop");
    const names = (await hub.api.list("ConfigMap")).items.map((o) => o.metadata.name);
    for (const name of acknowledged) expect(names).toContain(name);
    for (const [instance, pid] of pids) expect(pidsOf(agent).get(instance)).toBe(pid);
    expect(hub.process.isRunning).toBe(true);
  },
  TIMEOUT_MS,
);

test(
  "an agent whose disk is full stops nothing and does not crash; when there is space it carries out what it was told meanwhile",
  async () => {
    const world = worldOfTest(502);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    const web = deployment("web", world.countingCommand(), { replicas: 2 });
    await apply(hub, "shop", [web]);
    await settled(hub, "shop");
    await agent.process.terminate();
    const before = pidsOf(agent);
    const disk = await SmallDisk.over(agent.stateDir, { bytes: DISK_BYTES });
    agent.start({ prefix: disk.prefix });
    await until(
      "the agent to be back",
      async () => (await hub.api.metric("flotilla_hub_broker_sessions")) === 1,
    );
    await converged(hub);
    await disk.fill(agent.process.pid);
    await apply(hub, "shop", [web, deployment("late", world.countingCommand())]);
    await until("the agent to feel it", () => /full|ENOSPC|no space|disk/i.test(agent.output));
    expect(agent.process.isRunning).toBe(true);
    expect(pidsOf(agent)).toEqual(before);
    await disk.free(agent.process.pid);
    // It asks again after a minute; the next change is sooner.
    await apply(hub, "shop", [
      web,
      deployment("late", world.countingCommand()),
      deployment("later", world.countingCommand()),
    ]);
    await settled(hub, "shop");
    await converged(hub);
    expect(agent.process.isRunning).toBe(true);
    for (const [instance, pid] of before) expect(pidsOf(agent).get(instance)).toBe(pid);
    expect([...world.starts().values()]).toEqual([1, 1, 1, 1]);
  },
  TIMEOUT_MS,
);

test(
  "hub and agent whose log cannot be written serve as ever and stop in good order",
  async () => {
    const world = worldOfTest(503);
    const hub = await world.makeHub();
    hub.spawn([], "/dev/full");
    await hub.ready();
    const agent = world.makeAgent("n1");
    await agent.join(await joinString(hub, { site: "plant" }));
    agent.start({ logFile: "/dev/full" });
    await nodesReady(hub, 1);
    await apply(hub, "shop", [deployment("web", world.countingCommand())]);
    await settled(hub, "shop");
    expect(await agent.process.terminate()).toBe(0);
    expect(await hub.process.terminate()).toBe(0);
    expect(agent.copies()).toHaveLength(1);
  },
  TIMEOUT_MS,
);
