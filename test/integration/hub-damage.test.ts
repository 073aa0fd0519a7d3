import { rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { STORE_MIGRATIONS } from "@flotilla/hub/adapters/store/migrations";
import { openDatabase, saveLastGood } from "@flotilla/shared/platform/sqlite";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, converged, deployment, settled } from "./support/applications.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { until } from "./support/until.ts";
import { joinString, nodesReady, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 150_000;

/** The copy that a hub writes five minutes after its start, made now, while none uses the database. */
async function saveCopy(hub: HubProcess): Promise<void> {
  expect(await hub.process.terminate()).toBe(0);
  const { db } = openDatabase({
    path: hub.database,
    migrations: STORE_MIGRATIONS,
    log: silentLog(),
  });
  saveLastGood(db, hub.database);
  db.close();
  await hub.start();
}

function pidsOf(agents: readonly AgentProcess[]): ReadonlyMap<string, number> {
  return new Map(agents.flatMap((a) => a.copies().map((c) => [c.instance, c.pid] as const)));
}

async function revisionsOf(agents: readonly AgentProcess[]): Promise<readonly number[]> {
  const all = await Promise.all(agents.map((a) => a.status()));
  return all.map((s) => s.acceptedRevision);
}

/** Without its log the file alone has to do; with it SQLite may find every page there and nothing is lost. */
function overwrite(path: string): void {
  writeFileSync(path, Buffer.alloc(statSync(path).size, "garbage"));
  rmSync(`${path}-wal`, { force: true });
}

function cutInHalf(path: string): void {
  truncateSync(path, Math.floor(statSync(path).size / 2));
  rmSync(`${path}-wal`, { force: true });
}

test(
  "a hub whose database was damaged goes on from its last good copy: workloads stay, revisions only grow, versions jump",
  async () => {
    const world = worldOfTest(308);
    const hub = await world.startHub();
    const agents = await Promise.all(["n1", "n2"].map((node) => world.startAgent(node, hub)));
    await nodesReady(hub, 2);
    const shop = (replicas: number, marker = "") => [
      deployment("web", world.countingCommand(), { replicas }),
      deployment("late", world.countingCommand(marker)),
    ];
    await apply(hub, "shop", shop(2));
    await settled(hub, "shop");
    await saveCopy(hub);
    await settled(hub, "shop");
    await converged(hub);
    const kept = [...pidsOf(agents)].filter(([instance]) => instance.includes("web"));
    // Nodes accept revisions that the copy does not know.
    for (const marker of ["x", "y", "z"]) {
      await apply(hub, "shop", shop(2, marker));
      await settled(hub, "shop");
    }
    await converged(hub);
    const revisions = await revisionsOf(agents);
    const { revision } = await hub.api.list("Application");
    await hub.process.kill9();
    cutInHalf(hub.database);
    await hub.start();
    expect(hub.process.output).toContain("database restored from its last good copy");
    expect((await hub.api.list("Application")).revision).toBeGreaterThan(revision);
    await Promise.all(agents.map((a) => a.online()));
    await settled(hub, "shop");
    await converged(hub);
    const after = await revisionsOf(agents);
    for (const [n, before] of revisions.entries()) expect(after[n]).toBeGreaterThanOrEqual(before);
    for (const [instance, pid] of kept) expect(pidsOf(agents).get(instance)).toBe(pid);
    const watch = hub.api.watch("Application", revision);
    await until("the old watch to be sent back to a list", () =>
      watch.lines.some((l) => l.type === "ERROR" && l.object.code === 410),
    );
    watch.stop();
    const starts = [...world.starts()].filter(([instance]) => instance.includes("web"));
    expect(starts.map(([, count]) => count)).toEqual([1, 1]);
  },
  TIMEOUT_MS,
);

test(
  "a hub that lost everything but its keys serves, refuses its old nodes, and their workloads run until they are joined again",
  async () => {
    const world = worldOfTest(309);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    const components = [deployment("web", world.countingCommand(), { replicas: 2 })];
    await apply(hub, "shop", components);
    await settled(hub, "shop");
    const before = pidsOf([agent]);
    const [revision = 0] = await revisionsOf([agent]);
    await hub.process.kill9();
    overwrite(hub.database);
    await hub.start();
    expect(hub.process.output).toContain("database begun anew");
    await until("the node to be refused", async () => {
      const { link } = await agent.status();
      return !link.connected && /unauthorized|refused/.test(link.detail);
    });
    expect(pidsOf([agent])).toEqual(before);
    // An operator restores what is wanted first, then lets the node in again under its name, in its old state directory.
    await apply(hub, "shop", components);
    await agent.process.terminate();
    rmSync(`${agent.stateDir}/credentials.json`);
    await agent.join(await joinString(hub, { site: "plant", nodeName: "n1" }));
    agent.start();
    await agent.online();
    await settled(hub, "shop");
    await converged(hub);
    // The new hub may have counted as far as the old one; what the node has is replaced all the same.
    await until("the node to accept what the new hub has signed", async () => {
      const [now = 0] = await revisionsOf([agent]);
      return now > revision;
    });
    await converged(hub);
    expect(pidsOf([agent])).toEqual(before);
    expect([...world.starts().values()]).toEqual([1, 1]);
  },
  TIMEOUT_MS,
);
