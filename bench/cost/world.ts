import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCsv } from "@flotilla/hub/domain/pricing/csv";
import { readDocument } from "@flotilla/hub/domain/pricing/document";
import {
  type DeviceFacts,
  NO_CAPACITY,
  type NodeFacts,
  type SiteFacts,
} from "@flotilla/shared/scheduling/facts";
import { PriceBook } from "@flotilla/shared/scheduling/prices/price-book";

const GI = 2 ** 30;

/** One machine type, and how many of it each region has that sells it. */
interface MachineType {
  readonly cores: number;
  readonly memoryGi: number;
  readonly gpus: number;
  readonly perRegion: number;
}

/** Sizes as Azure states them. */
const TYPES: Readonly<Record<string, MachineType>> = {
  Standard_D16s_v5: { cores: 16, memoryGi: 64, gpus: 0, perRegion: 4 },
  Standard_D32s_v5: { cores: 32, memoryGi: 128, gpus: 0, perRegion: 3 },
  Standard_D64s_v5: { cores: 64, memoryGi: 256, gpus: 0, perRegion: 2 },
  Standard_D16as_v5: { cores: 16, memoryGi: 64, gpus: 0, perRegion: 3 },
  Standard_D32as_v5: { cores: 32, memoryGi: 128, gpus: 0, perRegion: 2 },
  Standard_E16s_v5: { cores: 16, memoryGi: 128, gpus: 0, perRegion: 2 },
  Standard_E32s_v5: { cores: 32, memoryGi: 256, gpus: 0, perRegion: 2 },
  Standard_NC16as_T4_v3: { cores: 16, memoryGi: 110, gpus: 1, perRegion: 3 },
  Standard_NC64as_T4_v3: { cores: 64, memoryGi: 440, gpus: 4, perRegion: 1 },
  Standard_NC24ads_A100_v4: { cores: 24, memoryGi: 220, gpus: 1, perRegion: 2 },
  Standard_NC48ads_A100_v4: { cores: 48, memoryGi: 440, gpus: 2, perRegion: 1 },
  Standard_NC96ads_A100_v4: { cores: 96, memoryGi: 880, gpus: 4, perRegion: 1 },
  Standard_NC40ads_H100_v5: { cores: 40, memoryGi: 320, gpus: 1, perRegion: 1 },
  Standard_ND96amsr_A100_v4: { cores: 96, memoryGi: 1_900, gpus: 8, perRegion: 1 },
};

/** Disk of every machine; nothing asks for much of it. */
const DISK_BYTES = 1_000 * GI;

/** The fleet before anything is placed. */
export interface CostWorld {
  readonly regions: readonly string[];
  readonly nodes: ReadonlyMap<string, NodeFacts>;
}

/** Regions, machines, prices and latencies of `data/`, through the readers of the product. */
export function readWorld(folder: string = join(import.meta.dirname, "data")): CostWorld {
  const list = readDocument(readFileSync(join(folder, "prices.csv"), "utf8"), "csv");
  if (list.kind === "wrong") throw new Error(`prices.csv: ${list.message}`);
  const { document } = list;
  const prices = new PriceBook([{ name: "bench", createdAt: "", spec: document }]);
  const latencies = readLatencies(join(folder, "latency.csv"));
  const regions = [...latencies.keys()].toSorted();
  const nodes = regions.flatMap((region) => {
    const site: SiteFacts = {
      name: `site-${region}`,
      known: true,
      labels: { region },
      taints: [],
      region,
      egressPricePerGb: prices.egressTo(region),
      latencies: latencies.get(region) ?? new Map(),
    };
    return Object.entries(TYPES).flatMap(([instanceType, type]) => {
      const price = prices.priceOf({ region, instanceType });
      if (price === undefined) return [];
      return Array.from({ length: type.perRegion }, (_, i) =>
        nodeOf({ name: `${region}-${instanceType}-${i}`, site, price }, type),
      );
    });
  });
  return { regions, nodes: new Map(nodes.map((node) => [node.name, node])) };
}

function nodeOf(
  what: Required<Pick<NodeFacts, "name" | "site" | "price">>,
  { cores, memoryGi, gpus }: MachineType,
): NodeFacts {
  return {
    ...what,
    life: "ready",
    unschedulable: false,
    labels: {},
    taints: [],
    runtimes: ["process"],
    capacity: {
      milliCpu: cores * 1_000,
      memoryBytes: memoryGi * GI,
      diskBytes: DISK_BYTES,
      gpuCount: gpus,
    },
    devices: Array.from({ length: gpus }, (_, index) => cardOf(what.name, index)),
    allocated: NO_CAPACITY,
    instanceCount: 0,
    ports: new Set(),
  };
}

function cardOf(node: string, index: number): DeviceFacts {
  return {
    uuid: `${node}/${index}`,
    index,
    model: "any",
    memoryBytes: 0,
    freeMilli: 1_000,
    links: new Map(),
  };
}

/** From region → to region → milliseconds. */
function readLatencies(path: string): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const csv = parseCsv(readFileSync(path, "utf8"));
  if (csv.kind === "wrong") throw new Error(`${path}: line ${csv.line}: ${csv.message}`);
  const rows = new Map<string, Map<string, number>>();
  for (const [from = "", to = "", ms = ""] of csv.rows.slice(1)) {
    const row = rows.get(from) ?? new Map<string, number>();
    rows.set(from, row.set(to, Number(ms)));
  }
  return rows;
}
