import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import type { AgentProcess } from "./support/agent-process.ts";
import { apply, converged, deployment, settled } from "./support/applications.ts";
import { RefusedError } from "./support/hub-api.ts";
import type { HubProcess } from "./support/hub-process.ts";
import { sleep, until } from "./support/until.ts";
import { nodesReady, type World, worldOfTest } from "./support/world.ts";

const TIMEOUT_MS = 120_000;

/** What one writer knows of its object. Nobody else writes it, so only the write under way is uncertain. */
interface Known {
  readonly name: string;
  /** Value that was acknowledged last; undefined: there is no such object. */
  acknowledged: string | undefined;
  /** Value of a write that got no answer. */
  uncertain: { readonly value: string | undefined } | undefined;
  /** Revisions of acknowledged writes, in order. */
  readonly revisions: number[];
}

/** Creates, edits and deletes its ConfigMap until the hub is gone. */
async function writeUntilKilled(world: World, hub: HubProcess, known: Known): Promise<void> {
  for (let n = 0; ; n++) {
    const value = `${known.revisions.length}-${n}`;
    const remove = known.acknowledged !== undefined && world.between(0, 4) === 0;
    known.uncertain = { value: remove ? undefined : value };
    try {
      known.revisions.push(await writeOnce(hub, known, remove ? undefined : value));
    } catch (error) {
      // A hub that stops may say so; any other refusal is a fault.
      if (error instanceof RefusedError && error.status !== 503) throw error;
      return;
    }
    known.acknowledged = remove ? undefined : value;
    known.uncertain = undefined;
  }
}

async function writeOnce(
  hub: HubProcess,
  known: Known,
  value: string | undefined,
): Promise<number> {
  const { name, acknowledged } = known;
  if (value === undefined) {
    await hub.api.remove("ConfigMap", name);
    // A deletion's own revision is only in the watch.
    return known.revisions.at(-1) ?? 0;
  }
  const written =
    acknowledged === undefined
      ? await hub.api.create("ConfigMap", name, { data: { value } })
      : await hub.api.patch("ConfigMap", name, { data: { value } });
  return Number(written.metadata.resourceVersion);
}

function check(known: Known, stored: ObjectOf<"ConfigMap"> | undefined): void {
  const value = stored?.data?.["value"];
  const possible = [
    known.acknowledged,
    ...(known.uncertain === undefined ? [] : [known.uncertain.value]),
  ];
  expect(possible, `${known.name} is ${value}`).toContain(value);
  known.acknowledged = value;
  known.uncertain = undefined;
}

test(
  "kill -9 of the hub at any moment loses no acknowledged write, versions only grow, and a watch gets what it missed",
  async () => {
    const world = worldOfTest(1601);
    const hub = await world.startHub();
    const writers: readonly Known[] = ["a", "b", "c", "d"].map((name) => ({
      name,
      acknowledged: undefined,
      uncertain: undefined,
      revisions: [],
    }));
    // Version 0 would ask for the present state instead of what came after it.
    const first = await hub.api.create("ConfigMap", "first", { data: {} });
    const beginning = Number(first.metadata.resourceVersion);
    const writes = (): number => writers.reduce((sum, w) => sum + w.revisions.length, 0);
    let highest = beginning;
    for (let round = 0; round < 6; round++) {
      const writing = writers.map((known) => writeUntilKilled(world, hub, known));
      const target = writes() + world.between(5, 60);
      await until("some writes", () => writes() >= target);
      await sleep(world.between(0, 20));
      await hub.process.kill9();
      await Promise.all(writing);
      await hub.start();
      const { revision, items } = await hub.api.list("ConfigMap");
      highest = Math.max(highest, ...writers.flatMap((w) => w.revisions.slice(-1)));
      expect(revision).toBeGreaterThanOrEqual(highest);
      for (const known of writers)
        check(
          known,
          items.find((o) => o.metadata.name === known.name),
        );
      highest = revision;
    }
    await seesAllThatItMissed(hub, beginning, writers);
    for (const { revisions } of writers)
      expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  },
  TIMEOUT_MS,
);

/** A watch from before the first kill shows every acknowledged revision, in order, each once. */
async function seesAllThatItMissed(
  hub: HubProcess,
  beginning: number,
  writers: readonly Known[],
): Promise<void> {
  const { revision } = await hub.api.list("ConfigMap");
  const watch = hub.api.watch("ConfigMap", beginning);
  const revisionsSeen = (): readonly number[] =>
    watch.lines
      .filter((l) => l.type !== "BOOKMARK")
      .map((l) => Number(l.object.metadata.resourceVersion));
  const last = await hub.api.create("ConfigMap", "last", { data: {} });
  expect(Number(last.metadata.resourceVersion)).toBeGreaterThan(revision);
  await until("the watch to catch up", () =>
    revisionsSeen().includes(Number(last.metadata.resourceVersion)),
  );
  watch.stop();
  const seen = revisionsSeen();
  expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b));
  const all = new Set(seen);
  for (const { revisions } of writers)
    for (const written of revisions) expect(all, `revision ${written}`).toContain(written);
}

function pidsOf(agents: readonly AgentProcess[]): ReadonlyMap<string, number> {
  return new Map(agents.flatMap((a) => a.copies().map((c) => [c.instance, c.pid] as const)));
}

test(
  "a hub that is killed while nodes report and an application is placed converges after its start, and no workload restarts",
  async () => {
    const world = worldOfTest(303);
    const hub = await world.startHub();
    const agents = await Promise.all(["n1", "n2", "n3"].map((node) => world.startAgent(node, hub)));
    await nodesReady(hub, 3);
    const components = (replicas: number) => [
      deployment("web", world.countingCommand(), { replicas }),
    ];
    await apply(hub, "shop", components(2));
    for (let replicas = 3; replicas <= 5; replicas++) {
      await sleep(world.between(0, 700));
      await hub.process.kill9();
      await hub.start();
      await apply(hub, "shop", components(replicas));
    }
    await settled(hub, "shop");
    await converged(hub);
    const before = pidsOf(agents);
    expect(before.size).toBe(5);
    await hub.process.kill9();
    await hub.start();
    await converged(hub);
    for (const agent of agents) await agent.online();
    expect(pidsOf(agents)).toEqual(before);
    expect([...world.starts().values()]).toEqual(Array.from({ length: 5 }, () => 1));
    for (const { status } of (await hub.api.list("Assignment")).items)
      expect(status?.reported).toMatchObject({ phase: "Running", restartCount: 0 });
  },
  TIMEOUT_MS,
);

test(
  "SIGTERM ends open watches in good order, answers or refuses what is under way, and loses nothing that was acknowledged",
  async () => {
    const world = worldOfTest(909);
    const hub = await world.startHub();
    const agent = await world.startAgent("n1", hub);
    await nodesReady(hub, 1);
    const { revision } = await hub.api.list("ConfigMap");
    const watches = [hub.api.watch("ConfigMap", revision), hub.api.watch("EdgeNode", revision)];
    const known: Known = {
      name: "w",
      acknowledged: undefined,
      uncertain: undefined,
      revisions: [],
    };
    const writing = writeUntilKilled(world, hub, known);
    await until("some writes", () => known.revisions.length > 5 && watches[0]?.lines.length);
    expect(await hub.process.terminate()).toBe(0);
    await writing;
    await Promise.all(watches.map((w) => w.ended));
    expect(hub.process.output).toContain("hub has stopped");
    await hub.start();
    const { items } = await hub.api.list("ConfigMap");
    check(
      known,
      items.find((o) => o.metadata.name === "w"),
    );
    await agent.online();
  },
  TIMEOUT_MS,
);
