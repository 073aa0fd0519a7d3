import type { Random } from "@flotilla/shared/kernel/random";
import type { Placement } from "@flotilla/shared/model/resources/placement";
import { NO_CAPACITY, type PlacementRequest } from "@flotilla/shared/scheduling/facts";
import type { CostWorld } from "./world.ts";

const GI = 2 ** 30;

/** One component: its instances are alike. */
export interface Demand {
  readonly request: PlacementRequest;
  readonly replicas: number;
}

/** A kind of work: how often it comes, and what an instance asks for; ranges are drawn from evenly. */
interface Work {
  readonly weight: number;
  readonly kind: PlacementRequest["kind"];
  readonly cores: readonly number[];
  readonly memoryGiPerCore: number;
  readonly gpus: readonly number[];
  readonly replicas: readonly number[];
  /** Promised round trip to the region that it belongs to, milliseconds; empty: none. */
  readonly latencyMaxMs: readonly number[];
  /** What comes from that region for each instance; empty: nothing. */
  readonly gbPerDay: readonly number[];
}

const WORKS: readonly Work[] = [
  {
    weight: 35,
    kind: "Deployment",
    cores: [1, 2, 4],
    memoryGiPerCore: 2,
    gpus: [0],
    replicas: [1, 2, 3, 6],
    latencyMaxMs: [25, 50, 100],
    gbPerDay: [],
  },
  {
    weight: 25,
    kind: "Deployment",
    cores: [2, 4, 8],
    memoryGiPerCore: 4,
    gpus: [0],
    replicas: [1, 2, 3],
    latencyMaxMs: [100, 200],
    gbPerDay: [1, 10, 50],
  },
  {
    weight: 20,
    kind: "Job",
    cores: [4, 8, 16],
    memoryGiPerCore: 6,
    gpus: [0],
    replicas: [1, 4, 8],
    latencyMaxMs: [],
    gbPerDay: [10, 100, 500],
  },
  {
    weight: 12,
    kind: "Deployment",
    cores: [4, 8],
    memoryGiPerCore: 6,
    gpus: [1],
    replicas: [1, 2],
    latencyMaxMs: [50, 100, 200],
    gbPerDay: [1, 10],
  },
  {
    weight: 5,
    kind: "Job",
    cores: [16, 40],
    memoryGiPerCore: 8,
    gpus: [2, 4],
    replicas: [1],
    latencyMaxMs: [],
    gbPerDay: [100, 1_000],
  },
  {
    weight: 3,
    kind: "Job",
    cores: [80],
    memoryGiPerCore: 10,
    gpus: [8],
    replicas: [1],
    latencyMaxMs: [],
    gbPerDay: [100, 1_000],
  },
];

/** Components until they ask for this share of the fleet's cores; each belongs to a region that is drawn. */
export function demandOf(world: CostWorld, load: number, random: Random): readonly Demand[] {
  const milliCpu = [...world.nodes.values()].reduce((sum, n) => sum + n.capacity.milliCpu, 0);
  const demands: Demand[] = [];
  for (let asked = 0; asked < load * milliCpu; ) {
    const demand = draw(world.regions, random);
    demands.push(demand);
    asked += demand.request.amounts.milliCpu * demand.replicas;
  }
  return demands;
}

function draw(regions: readonly string[], random: Random): Demand {
  const work = drawnWork(random);
  const region = pick(regions, random) ?? "";
  const cores = pick(work.cores, random) ?? 1;
  const gpuCount = pick(work.gpus, random) ?? 0;
  const maxMs = pick(work.latencyMaxMs, random);
  const gbPerDay = pick(work.gbPerDay, random);
  const placement: Placement = {
    ...(maxMs === undefined ? {} : { latency: { to: region, maxMs } }),
    ...(gbPerDay === undefined ? {} : { data: { region, gbPerDay } }),
  };
  const request: PlacementRequest = {
    kind: work.kind,
    amounts: {
      ...NO_CAPACITY,
      milliCpu: cores * 1_000,
      memoryBytes: cores * work.memoryGiPerCore * GI,
      gpuCount,
    },
    ...(gpuCount === 0
      ? {}
      : { gpu: { count: gpuCount, milli: 1_000, memoryBytes: 0, topologyRequired: false } }),
    otherAmounts: {},
    runtime: "process",
    ports: [],
    placements: [placement],
    nodeSelector: {},
    tolerations: [],
  };
  return { request, replicas: pick(work.replicas, random) ?? 1 };
}

function drawnWork(random: Random): Work {
  const total = WORKS.reduce((sum, work) => sum + work.weight, 0);
  let rest = random.unit("cost.work") * total;
  const found = WORKS.find((work) => {
    rest -= work.weight;
    return rest < 0;
  });
  return found ?? (WORKS[0] as Work);
}

function pick<T>(list: readonly T[], random: Random): T | undefined {
  return list[Math.floor(random.unit("cost.pick") * list.length)];
}
