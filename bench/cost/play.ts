import { must } from "@flotilla/shared/kernel/assert";
import {
  allocatable,
  type NodeFacts,
  type PlacementRequest,
  reserve,
} from "@flotilla/shared/scheduling/facts";
import { egressPerHour, hourlyCost, nodePrice } from "@flotilla/shared/scheduling/score/cost";
import { latency } from "@flotilla/shared/scheduling/score/latency";
import type { Demand } from "./demand.ts";
import type { Choose } from "./strategies.ts";
import type { CostWorld } from "./world.ts";

/** What came of placing a demand, one try for each instance. */
export interface CostOutcome {
  readonly asked: number;
  readonly placed: number;
  /** Instances for which a promised latency does not hold where they are. */
  readonly broken: number;
  /** What was placed, each for the share of its machine that it takes, and its traffic: US dollars an hour. */
  readonly costPerHour: number;
  /** Every machine that has something on it, whole, and all traffic: US dollars an hour. */
  readonly billPerHour: number;
  readonly nodesInUse: number;
  /** Of what can be given away, in the whole fleet and on the machines in use. */
  readonly cpuRatio: number;
  readonly gpuRatio: number;
  readonly cpuRatioInUse: number;
}

/** Places all instances in order. */
export function play(world: CostWorld, demands: readonly Demand[], choose: Choose): CostOutcome {
  const nodes = new Map(world.nodes);
  const placed: { readonly request: PlacementRequest; readonly node: NodeFacts }[] = [];
  let asked = 0;
  for (const { request, replicas } of demands) {
    const siblings = { byNode: new Map<string, number>(), bySite: new Map<string, number>() };
    for (let i = 0; i < replicas; i++) {
      asked += 1;
      const name = choose(request, nodes, siblings);
      if (name === undefined) continue;
      const node = must(nodes.get(name), "a node of the fleet was chosen");
      placed.push({ request, node });
      nodes.set(name, reserve(node, { ...request, devices: devicesFor(request, node) }));
      add(siblings.byNode, name);
      add(siblings.bySite, node.site.name);
    }
  }
  return { asked, ...outcomeOf([...nodes.values()], placed) };
}

function outcomeOf(
  nodes: readonly NodeFacts[],
  placed: readonly { readonly request: PlacementRequest; readonly node: NodeFacts }[],
): Omit<CostOutcome, "asked"> {
  const inUse = nodes.filter((node) => node.instanceCount > 0);
  const egress = sum(placed, ({ request, node }) => known(egressPerHour(node, request)));
  return {
    placed: placed.length,
    broken: placed.filter(({ request, node }) => latency(request, node) !== undefined).length,
    costPerHour: sum(placed, ({ request, node }) => known(hourlyCost(node, request))),
    billPerHour: sum(inUse, (node) => known(nodePrice(node, false))) + egress,
    nodesInUse: inUse.length,
    cpuRatio: ratio(nodes, "milliCpu"),
    gpuRatio: ratio(nodes, "gpuCount"),
    cpuRatioInUse: ratio(inUse, "milliCpu"),
  };
}

/** The first idle cards: they are all alike here. */
function devicesFor({ gpu }: PlacementRequest, { devices }: NodeFacts) {
  const idle = devices.filter((d) => d.freeMilli === 1_000).slice(0, gpu?.count ?? 0);
  return idle.map(({ uuid, index }) => ({ uuid, index, milli: 1_000 }));
}

function ratio(nodes: readonly NodeFacts[], name: "milliCpu" | "gpuCount"): number {
  const all = sum(nodes, (node) => allocatable(node)[name]);
  return all === 0 ? 0 : sum(nodes, (node) => node.allocated[name]) / all;
}

/** Every price of this fleet is known: one that is not is a fault of the bench. */
function known(price: number | undefined): number {
  return must(price, "every machine and every way has a price");
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
