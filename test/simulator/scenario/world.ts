import type { Capacity, Gpu } from "@flotilla/shared/model/capacity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Codec } from "@flotilla/shared/protocol/codec";
import type { Bugs } from "../bugs.ts";
import { Auditor } from "../check/auditor.ts";
import { CERTIFICATE_SERIAL, HubHost } from "../hub/hub.ts";
import { Road } from "../net/network.ts";
import { AgentHost } from "../node/agent.ts";
import { Machine } from "../node/machine.ts";
import { EventLoop } from "../world/event-loop.ts";
import { Dice, streamOf } from "../world/seeds.ts";
import { Operator } from "./operator.ts";
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
const NODES_MIN = 2;
const NODES_MAX = 4;

/** One fleet: a hub, its nodes, the roads between them and the person in front of it. */
export interface World {
  readonly loop: EventLoop;
  readonly hub: HubHost;
  readonly agents: readonly AgentHost[];
  readonly machines: readonly Machine[];
  readonly operator: Operator;
  readonly auditor: Auditor;
  readonly tape: Tape;
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
  const size = new Dice(streamOf(seed, "size"));
  const names = Array.from({ length: size.whole(NODES_MIN, NODES_MAX) }, (_, i) => `node-${i + 1}`);
  const codec = deps.codec;
  const parts: { auditor?: Auditor } = {};
  const auditorNow = (): Auditor => {
    if (parts.auditor === undefined) throw new Error("the auditor is made below");
    return parts.auditor;
  };
  const onBug = (message: string): void => auditorNow().broken("no bug", message);
  const hub = new HubHost({
    loop,
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
  const auditor = new Auditor({ codec, hub: hub.disk.state, nowMs: () => loop.nowMs });
  hub.disk.onCommit = (entries) => auditor.placements.committed(entries);
  parts.auditor = auditor;
  const roads = new Dice(streamOf(seed, "roads"));
  const hardware = new Dice(streamOf(seed, "hardware"));
  const machines = names.map((name, i) => {
    const cards = i > 0 && hardware.chance(BARE_SHARE) ? [] : cardsOf(name, hardware);
    const capacity = { ...CAPACITY, gpuCount: cards.length };
    const road = new Road(name, loop, roads);
    const random = streamOf(seed, `machine ${name}`);
    const machine = new Machine(name, { road, loop, random, witness: auditor, capacity, cards });
    auditor.watch(machine);
    return machine;
  });
  const agents = machines.map(
    (machine) =>
      new AgentHost({
        machine,
        codec,
        seed,
        bugs,
        onBug,
        accept: (name, connection) => hub.accept(name, connection),
        published: (topic, payload) => {
          auditor.published(machine.name, payload);
          tape.recordUp({ node: machine.name, kind: topic.split("/").at(-1) ?? "", payload });
        },
        storeWitness: auditor.storeWitness(machine.name),
      }),
  );
  const dice = new Dice(streamOf(seed, "operator"));
  const operator = new Operator({ hub, dice, trace: loop.trace, auditor, nodes: names });
  enrol(hub, names);
  return { loop, hub, agents, machines, operator, auditor, tape };
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

/** Enrolment is over when the world begins. */
function enrol(hub: HubHost, names: readonly string[]): void {
  const site: ObjectOf<"Site"> = {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "Site",
    metadata: { name: "site-1", uid: "uid-site-1", generation: 1, resourceVersion: "1" },
    spec: {},
  };
  hub.disk.state.write(
    [
      {
        revision: 1,
        type: "ADDED",
        key: { kind: "Site", namespace: "", name: "site-1" },
        object: site,
      },
    ],
    { changes: [] },
  );
  for (const [index, name] of names.entries()) {
    const revision = index + 2;
    const object: ObjectOf<"EdgeNode"> = {
      apiVersion: "edge.kurator.dev/v1alpha1",
      kind: "EdgeNode",
      metadata: { name, uid: `uid-${name}`, generation: 1, resourceVersion: String(revision) },
      spec: { site: "site-1" },
      status: { life: "registered", certificateSerial: CERTIFICATE_SERIAL },
    };
    const key = { kind: "EdgeNode", namespace: "", name } as const;
    hub.disk.state.write([{ revision, type: "ADDED", key, object }], { changes: [] });
  }
}
