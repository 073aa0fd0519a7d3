import { formatBytes } from "@flotilla/shared/kernel/quantity";
import type { Gpu } from "@flotilla/shared/model/capacity";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { formatTable } from "../output/table.ts";

/** Thousandths that a device has. */
const MILLI_PER_DEVICE = 1_000;

type Assignment = ObjectOf<"Assignment">;

interface Row {
  readonly uuid: string;
  readonly kind: string;
  readonly memoryBytes: number | undefined;
  readonly numaNode: number | undefined;
  readonly links: string;
}

/** Devices of a node with what is free of each, and the devices that instances have and the node does not report. */
export function deviceTable(gpus: readonly Gpu[], assignments: readonly Assignment[]): string {
  const used = usedMilli(assignments);
  const rows = gpus
    .flatMap(rowsOf)
    .map((row) => [
      row.uuid,
      row.kind,
      row.memoryBytes === undefined ? "" : formatBytes(row.memoryBytes),
      row.numaNode === undefined ? "" : String(row.numaNode),
      row.links,
      `${Math.max(0, MILLI_PER_DEVICE - (used.get(row.uuid) ?? 0))}`,
    ]);
  const reported = new Set(rows.map(([uuid]) => uuid));
  const missing = [...used.keys()]
    .filter((uuid) => !reported.has(uuid))
    .map((uuid) => [uuid, "not reported any more", "", "", "", "-"]);
  if (rows.length + missing.length === 0) return "";
  const header = ["DEVICE", "MODEL", "MEMORY", "NUMA", "LINKS", "FREE MILLI"];
  return `\nDevices:\n${formatTable(header, [...rows, ...missing])}`;
}

/** A card in MIG mode is its MIG devices. */
function rowsOf(gpu: Gpu): readonly Row[] {
  const { migDevices = [], model, numaNode } = gpu;
  if (gpu.migEnabled !== true && migDevices.length === 0)
    return [
      { uuid: gpu.uuid, kind: model, memoryBytes: gpu.memoryBytes, numaNode, links: linksOf(gpu) },
    ];
  return migDevices.map((d) => ({
    uuid: d.uuid,
    kind: `${model} MIG ${d.profile}`,
    memoryBytes: d.memoryBytes,
    numaNode,
    links: "",
  }));
}

/** `nvlink 1,2,3; numa 4`: to cards of a higher index, by tier. */
function linksOf({ links = [] }: Gpu): string {
  return [...Map.groupBy(links, (l) => l.tier)]
    .map(([tier, of]) => `${tier} ${of.map((l) => l.index).join(",")}`)
    .join("; ");
}

function usedMilli(assignments: readonly Assignment[]): ReadonlyMap<string, number> {
  const used = new Map<string, number>();
  for (const { spec, status } of assignments) {
    const phase = status?.reported?.phase;
    const finished = spec.desired.kind === "Job" && (phase === "Succeeded" || phase === "Failed");
    if (finished) continue;
    for (const { uuid, milli } of spec.devices ?? []) used.set(uuid, (used.get(uuid) ?? 0) + milli);
  }
  return used;
}

/** Why an instance's devices are not there; undefined when they are. */
export function deviceProblem({ status }: Assignment): string | undefined {
  const condition = status?.conditions?.find((c) => c.type === "DevicesReady");
  return condition?.status === "False" ? condition.message : undefined;
}
