import type { Capacity, Gpu } from "@flotilla/shared/model/capacity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import type { Codec } from "@flotilla/shared/protocol/codec";
import { Depot, type SimRelease } from "../artifact/depot.ts";
import { ARTIFACT_BUGS, type Bugs } from "../bugs.ts";
import { Auditor } from "../check/auditor.ts";
import { CERTIFICATE_SERIAL, HubHost } from "../hub/hub.ts";
import { Road } from "../net/network.ts";
import { AgentHost } from "../node/agent.ts";
import { Machine } from "../node/machine.ts";
import { EventLoop } from "../world/event-loop.ts";
import { Dice, streamOf } from "../world/seeds.ts";
import { Operator } from "./operator.ts";
import { ARTIFACTS, Publisher, releaseSpec } from "./publisher.ts";
import { Tape } from "./tape.ts";

const GIB = 2 ** 30;
const CAPACITY: Capacity = {
  milliCpu: 4_000,
  memoryBytes: 4 * GIB,
  diskBytes: 64 * GIB,
  gpuCount: 0,
};
/** Cards of a machine that has any. */
const CARDS_MIN = 2;
const CARDS_MAX = 4;
/** Share of the machines without cards; the first has some. */
const BARE_SHARE = 0.3;
const MODELS = ["NVIDIA A100-SXM4-40GB", "NVIDIA L4"] as const;
/** Share of the worlds in which there are artifacts. */
const ARTIFACTS_SHARE = 0.5;
const NODES = [2, 4] as const;
/** Fewer nodes: more happens to each instance in as many events. */
const ARTIFACT_NODES = [1, 2] as const;

/** One fleet: a hub, its nodes, the roads between them and the person in front of it. */
export interface World {
  readonly loop: EventLoop;
  readonly hub: HubHost;
  readonly agents: readonly AgentHost[];
  readonly machines: readonly Machine[];
  readonly operator: Operator;
  readonly auditor: Auditor;
  readonly tape: Tape;
  /** Absent: nobody in this world has artifacts. */
  readonly depot: Depot | undefined;
}

/** Compiled schemas, which hold no state: one set for all runs. */
export interface WorldDeps {
  readonly codec: Codec;
}

/** Makes a world in which nothing has happened yet. */
export function makeWorld(
  options: { readonly seed: number; readonly bugs: Bugs },
  deps: WorldDeps,
): World {
  const { seed, bugs } = options;
  const loop = new EventLoop();
  const tape = new Tape();
  const released = new Dice(streamOf(seed, "artifacts"));
  // A planted bug gets worlds that can show it.
  const hasArtifacts =
    bugs.size === 0 ? released.chance(ARTIFACTS_SHARE) : ARTIFACT_BUGS.some((bug) => bugs.has(bug));
  const depot = hasArtifacts ? new Depot() : undefined;
  const size = new Dice(streamOf(seed, "size"));
  const [least, most] = hasArtifacts ? ARTIFACT_NODES : NODES;
  const names = Array.from({ length: size.whole(least, most) }, (_, i) => `node-${i + 1}`);
  const { codec } = deps;
  const parts: { auditor?: Auditor } = {};
  const auditorNow = (): Auditor => {
    if (parts.auditor === undefined) throw new Error("the auditor is made below");
    return parts.auditor;
  };
  const onBug = (message: string): void => auditorNow().broken("no bug", message);
  const hub = new HubHost({
    loop,
    depot,
    codec,
    seed,
    bugs,
    onBug,
    witness: {
      acknowledged: (nodeId, kind, payload) => auditorNow().acknowledged(nodeId, kind, payload),
      sentDown: (nodeId, message, payload) => {
        auditorNow().sentDown(nodeId, message);
        tape.recordDown({ node: nodeId, kind: message.kind, payload });
      },
    },
  });
  const auditor = new Auditor({ codec, hub: hub.disk.state, nowMs: () => loop.nowMs, depot });
  hub.disk.onCommit = (entries) => auditor.placements.committed(entries);
  parts.auditor = auditor;
  const machines = makeMachines(names, seed, { loop, auditor });
  const agents = machines.map(
    (machine) =>
      new AgentHost({
        machine,
        codec,
        seed,
        bugs,
        onBug,
        depot,
        isHubUp: () => hub.running !== undefined,
        accept: (name, connection) => hub.accept(name, connection),
        published: (topic, payload) => {
          auditor.published(machine.name, payload);
          tape.recordUp({ node: machine.name, kind: topic.split("/").at(-1) ?? "", payload });
        },
        storeWitness: auditor.storeWitness(machine.name),
      }),
  );
  enrol(hub, names);
  const publisher = depot && makePublisher(depot, released, { hub, loop });
  const operator = new Operator({
    hub,
    dice: new Dice(streamOf(seed, "operator")),
    trace: loop.trace,
    auditor,
    nodes: names,
    publisher,
  });
  return { loop, hub, agents, machines, operator, auditor, tape, depot };
}

function makeMachines(
  names: readonly string[],
  seed: number,
  { loop, auditor }: Pick<World, "loop" | "auditor">,
): readonly Machine[] {
  const roads = new Dice(streamOf(seed, "roads"));
  const hardware = new Dice(streamOf(seed, "hardware"));
  return names.map((name, i) => {
    const cards = i > 0 && hardware.chance(BARE_SHARE) ? [] : cardsOf(name, hardware);
    const capacity = { ...CAPACITY, gpuCount: cards.length };
    const road = new Road(name, loop, roads);
    const random = streamOf(seed, `machine ${name}`);
    const machine = new Machine(name, { road, loop, random, witness: auditor, capacity, cards });
    auditor.watch(machine);
    return machine;
  });
}

function cardsOf(name: string, dice: Dice): readonly Gpu[] {
  const model = dice.pick(MODELS) ?? MODELS[0];
  return Array.from({ length: dice.whole(CARDS_MIN, CARDS_MAX) }, (_, index) => ({
    uuid: `GPU-${name}-${index}`,
    index,
    vendor: "nvidia",
    model,
    memoryBytes: 40 * GIB,
  }));
}

/** Whoever releases things; the first releases were there before the world begins, stored and signed. */
function makePublisher(
  depot: Depot,
  dice: Dice,
  { hub, loop }: Pick<World, "hub" | "loop">,
): Publisher {
  const known = ARTIFACTS.map((artifact) => depot.make(artifact, dice, { isFine: true }));
  depot.finish();
  publishFirst(hub, known);
  return new Publisher({ depot, dice, loop, known });
}

function publishFirst(hub: HubHost, releases: readonly SimRelease[]): void {
  for (const release of releases) {
    const { artifact } = release;
    const name = releaseName(artifact, release.version);
    seed(
      hub,
      "Artifact",
      (metadata): ObjectOf<"Artifact"> => ({
        apiVersion: "artifacts.kurator.dev/v1alpha1",
        kind: "Artifact",
        metadata: { ...metadata, name: artifact, uid: `uid-${artifact}` },
        spec: { format: "raw" },
      }),
    );
    seed(
      hub,
      "Release",
      (metadata): ObjectOf<"Release"> => ({
        apiVersion: "artifacts.kurator.dev/v1alpha1",
        kind: "Release",
        metadata: { ...metadata, name, uid: `uid-${name}` },
        spec: releaseSpec(release),
      }),
    );
  }
}

/** Writes an object that was there before the world began. */
function seed<K extends "Artifact" | "Release" | "Site" | "EdgeNode">(
  hub: HubHost,
  kind: K,
  make: (metadata: {
    readonly generation: number;
    readonly resourceVersion: string;
  }) => ObjectOf<K>,
): void {
  const { state } = hub.disk;
  const revision = state.revision + 1;
  const object = make({ generation: 1, resourceVersion: String(revision) });
  const key = { kind, namespace: "", name: object.metadata.name };
  state.write([{ revision, type: "ADDED", key, object }], { changes: [] });
}

/** Enrolment is over when the world begins. */
function enrol(hub: HubHost, names: readonly string[]): void {
  seed(
    hub,
    "Site",
    (metadata): ObjectOf<"Site"> => ({
      apiVersion: "edge.kurator.dev/v1alpha1",
      kind: "Site",
      metadata: { ...metadata, name: "site-1", uid: "uid-site-1" },
      spec: {},
    }),
  );
  for (const name of names)
    seed(
      hub,
      "EdgeNode",
      (metadata): ObjectOf<"EdgeNode"> => ({
        apiVersion: "edge.kurator.dev/v1alpha1",
        kind: "EdgeNode",
        metadata: { ...metadata, name, uid: `uid-${name}` },
        spec: { site: "site-1" },
        status: { life: "registered", certificateSerial: CERTIFICATE_SERIAL },
      }),
    );
}
