import { rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, converged, deployment, settled } from "./support/applications.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { sleep, until } from "./support/until.ts";
import { joinString, nodesReady, type World, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 150_000;

function pidsOf(agent: AgentProcess): ReadonlyMap<string, number> {
  return new Map(agent.copies().map((c) => [c.instance, c.pid]));
}

/** Starts the agent and kills it at a seeded moment. */
async function startAndKill(world: World, agent: AgentProcess, msMax: number): Promise<void> {
  const running = agent.start();
  await sleep(world.between(0, msMax));
  await running.kill9();
}

/** Kills `join` at seeded moments; each try has a token of its own, since the one before may have been spent. */
async function joinUnderKills(
  world: World,
  hub: HubProcess,
  { agent, kills }: { readonly agent: AgentProcess; readonly kills: number },
): Promise<void> {
  const token = (): Promise<string> => joinString(hub, { site: "plant", nodeName: agent.node });
  for (let n = 0; n < kills; n++) {
    const joining = agent.startJoin(await token());
    await sleep(world.between(100, 1_000));
    await joining.kill9();
  }
  await agent.join(await token());
}

test(
  "an agent that is killed while it enrols, starts, is given work and updates it ends with one copy of each workload, none restarted that was right",
  async () => {
    const world = worldOfTest(915);
    const hub = await world.startHub();
    const agent = world.makeAgent("n1");
    await joinUnderKills(world, hub, { agent, kills: 5 });
    for (let n = 0; n < 4; n++) await startAndKill(world, agent, 1_200);
    const stays = deployment("stays", world.countingCommand(), { replicas: 3 });
    const edited = (marker: string) =>
      deployment("edited", world.countingCommand(marker), { replicas: 2 });
    await apply(hub, "shop", [stays, edited("first")]);
    for (let n = 0; n < 6; n++) await startAndKill(world, agent, 1_800);
    agent.start();
    await settled(hub, "shop");
    await converged(hub);
    const before = pidsOf(agent);
    expect(before.size).toBe(5);
    expect([...world.starts().values()], "starts before the update").toEqual([1, 1, 1, 1, 1]);
    await apply(hub, "shop", [stays, edited("second")]);
    await sleep(world.between(0, 300));
    await agent.process.kill9();
    for (let n = 0; n < 6; n++) await startAndKill(world, agent, 2_500);
    agent.start();
    await settled(hub, "shop");
    await converged(hub);
    const after = pidsOf(agent);
    expect(agent.copies()).toHaveLength(5);
    expect([...after.keys()].toSorted()).toEqual([...before.keys()].toSorted());
    for (const [instance, starts] of world.starts()) {
      const isEdited = instance.includes("edited");
      expect(starts, `starts of ${instance}`).toBe(isEdited ? 2 : 1);
      expect(after.get(instance) === before.get(instance)).toBe(!isEdited);
    }
    for (const { status } of (await hub.api.list("Assignment")).items)
      expect(status?.reported).toMatchObject({ phase: "Running", restartCount: 0 });
    expect((await hub.api.list("EdgeNode")).items).toHaveLength(1);
  },
  TIMEOUT_MS,
);

/** Without its log the file alone has to do; with it SQLite may find every page there and nothing is lost. */
function overwrite(path: string): void {
  writeFileSync(path, Buffer.alloc(statSync(path).size, "garbage"));
  rmSync(`${path}-wal`, { force: true });
}

/** Damage that power cuts and bad flash leave behind, and what the agent's log says of it. */
const DAMAGES = [
  {
    name: "garbage over the whole file",
    damage: overwrite,
    said: "database restored from its last good copy",
  },
  {
    name: "garbage over the file, its log intact",
    damage: (path: string) => writeFileSync(path, Buffer.alloc(statSync(path).size, "garbage")),
    said: "agent is up",
  },
  {
    name: "a file cut in half",
    damage: (path: string) => {
      truncateSync(path, Math.floor(statSync(path).size / 2));
      rmSync(`${path}-wal`, { force: true });
    },
    said: "database restored from its last good copy",
  },
  {
    name: "garbage, and the last good copy is gone too",
    damage: (path: string) => {
      overwrite(path);
      rmSync(`${path}.last-good`, { force: true });
    },
    said: "database begun anew",
  },
  {
    name: "all files of the database are gone",
    damage: (path: string) => {
      for (const suffix of ["", "-wal", "-shm", ".last-good"])
        rmSync(`${path}${suffix}`, { force: true });
    },
    said: "agent is up",
  },
] as const;

test(
  "an agent whose database was damaged leaves its workloads alone, begins a new epoch and converges again",
  async () => {
    const world = worldOfTest(315);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    const shop = (replicas: number) => [deployment("web", world.countingCommand(), { replicas })];
    await apply(hub, "shop", shop(2));
    await settled(hub, "shop");
    let replicas = 2;
    for (const { name, damage, said } of DAMAGES) {
      await converged(hub);
      const before = pidsOf(agent);
      const node = await hub.api.get("EdgeNode", "n1");
      await agent.process.kill9();
      damage(agent.database);
      const { length } = agent.output;
      agent.start();
      await until(`a new epoch after: ${name}`, async () => {
        const { status } = await hub.api.get("EdgeNode", "n1");
        return (status?.epoch ?? 0) > (node.status?.epoch ?? 0);
      });
      await until(`the agent to converge after: ${name}`, async () => {
        const { convergedRevision, instances } = await agent.status();
        return (
          convergedRevision >= (node.status?.desiredRevision ?? 0) && instances.length === replicas
        );
      });
      expect(agent.output.slice(length), name).toContain(said);
      expect(pidsOf(agent), name).toEqual(before);
      replicas += 1;
      await apply(hub, "shop", shop(replicas));
      await settled(hub, "shop");
      const after = pidsOf(agent);
      expect(after.size, name).toBe(replicas);
      for (const [instance, pid] of before) expect(after.get(instance), name).toBe(pid);
    }
    expect([...world.starts().values()]).toEqual(Array.from({ length: replicas }, () => 1));
    for (const { status } of (await hub.api.list("Assignment")).items)
      expect(status?.reported).toMatchObject({ phase: "Running", restartCount: 0 });
  },
  TIMEOUT_MS,
);

test(
  "SIGTERM leaves workloads running and the next agent adopts them: same pids, no restart, no copy",
  async () => {
    const world = worldOfTest(910);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    await apply(hub, "shop", [deployment("web", world.countingCommand(), { replicas: 3 })]);
    await settled(hub, "shop");
    const before = pidsOf(agent);
    expect(await agent.process.terminate()).toBe(0);
    expect(agent.output).toContain("agent has stopped; workloads go on");
    expect(pidsOf(agent)).toEqual(before);
    agent.start();
    const { instances } = await agent.online();
    expect(new Map(instances.map((i) => [i.id, i.pid]))).toEqual(before);
    expect(instances.map((i) => i.restartCount)).toEqual([0, 0, 0]);
    await converged(hub);
    expect(pidsOf(agent)).toEqual(before);
    expect([...world.starts().values()]).toEqual([1, 1, 1]);
  },
  TIMEOUT_MS,
);
