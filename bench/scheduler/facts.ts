import type { Random } from "@flotilla/shared/kernel/random";
import type { NodeRow } from "@flotilla/shared/scheduling/engine/node-table";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import {
  type DeviceFacts,
  NO_CAPACITY,
  type NodeFacts,
  type PlacementRequest,
  RESERVE_RATIO,
  type SiteFacts,
} from "@flotilla/shared/scheduling/facts";

/** A generated fleet as the hub knows it: sites with latencies and prices, nodes that are busy or not, placements that filter. */

/** Sites are of so many zones, and every request keeps out of one of them. */
const ZONES = 5;
const JURISDICTIONS = 3;

/** Sites that differ in all that a score asks of them. */
export function drawnSites(random: Random, count: number): readonly SiteFacts[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `site-${i}`,
    known: true,
    labels: {
      zone: `z${i % ZONES}`,
      "data-residency": `j${Math.floor(random.unit("site") * JURISDICTIONS)}`,
    },
    taints: random.unit("site") < 0.2 ? [{ key: "spot", effect: "PreferNoSchedule" as const }] : [],
    latencyMs: 1 + Math.floor(random.unit("site") * 100),
  }));
}

/** Nodes of these rows; a row's class is its site. */
export function drawnFacts(
  random: Random,
  rows: readonly NodeRow[],
  sites: readonly SiteFacts[],
): readonly NodeFacts[] {
  const links: DeviceFacts["links"] = new Map();
  const ports: NodeFacts["ports"] = new Set();
  return rows.map((row, i) => {
    const name = `node-${String(i).padStart(6, "0")}`;
    const site = sites[row.nodeClass ?? 0];
    if (site === undefined) throw new Error(`there is no site ${row.nodeClass}`);
    return {
      name,
      site,
      life: "ready",
      unschedulable: false,
      labels: {},
      taints: [],
      runtimes: ["process"],
      capacity: {
        milliCpu: withReserve(row.milliCpu),
        memoryBytes: withReserve(row.memoryBytes),
        diskBytes: withReserve(row.diskBytes),
        gpuCount: row.gpuCount,
      },
      devices: Array.from({ length: row.gpuCount }, (_, index) => ({
        uuid: `${name}-${index}`,
        index,
        model: "NVIDIA A100",
        memoryBytes: 0,
        freeMilli: 1_000,
        links,
      })),
      allocated: NO_CAPACITY,
      instanceCount: 0,
      ports,
      usage: { cpuRatio: random.unit("load"), memoryUsedBytes: 0, diskUsedBytes: 0 },
      price: { perHour: (row.gpuCount + row.milliCpu / 32_000) * (0.5 + random.unit("price")) },
    };
  });
}

/** A request for what the shape asks, kept out of one zone, for one jurisdiction. */
export function drawnRequest(random: Random, shape: Shape): PlacementRequest {
  const { milliCpu, memoryBytes, diskBytes, gpuCount, gpuMilli } = shape;
  const zone = `z${Math.floor(random.unit("zone") * ZONES)}`;
  const jurisdiction = `j${Math.floor(random.unit("jurisdiction") * JURISDICTIONS)}`;
  const gpu = { count: gpuCount, milli: gpuMilli, memoryBytes: 0, topologyRequired: false };
  return {
    kind: "Deployment",
    amounts: { milliCpu, memoryBytes, diskBytes, gpuCount: gpuMilli === 1_000 ? gpuCount : 0 },
    otherAmounts: {},
    runtime: "process",
    ports: [],
    placements: [
      {
        siteSelector: { matchExpressions: [{ key: "zone", operator: "NotIn", values: [zone] }] },
        ...(random.unit("compliance") < 0.3
          ? { compliance: { "data-residency": jurisdiction } }
          : {}),
      },
    ],
    nodeSelector: {},
    tolerations: [],
    ...(gpuCount === 0 ? {} : { gpu }),
  };
}

function withReserve(allocatable: number): number {
  return Math.ceil(allocatable / (1 - RESERVE_RATIO));
}
