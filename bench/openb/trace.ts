import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { gunzipSync } from "node:zlib";

/** The public trace format cluster-trace-gpu-v2023 and recorded orders of arrival. */

/** A node of the trace. */
export interface TraceNode {
  readonly name: string;
  readonly milliCpu: number;
  readonly memoryMib: number;
  readonly gpuCount: number;
  readonly model: string;
}

/** A pod of the trace. `gpuMilli` is of each of its devices. */
export interface TracePod {
  readonly name: string;
  readonly milliCpu: number;
  readonly memoryMib: number;
  readonly gpuCount: number;
  readonly gpuMilli: number;
  /** Models allowed; empty: any. */
  readonly models: readonly string[];
}

/** One recorded order: rows of pods in the order in which they come, and the order of ties among nodes. */
export interface Arrivals {
  /** File name without `.u16.gz`. */
  readonly name: string;
  readonly pods: Uint16Array;
  /** Rank of node i (nodes sorted by name); of equal scores the lowest rank wins. */
  readonly ranks: Uint16Array;
}

/** Nodes sorted by name. */
export function readNodes(path: string): readonly TraceNode[] {
  return rowsOf(path, ["sn", "cpu_milli", "memory_mib", "gpu", "model"])
    .map((cell) => ({
      name: cell("sn"),
      milliCpu: numberOf(cell, "cpu_milli"),
      memoryMib: numberOf(cell, "memory_mib"),
      gpuCount: numberOf(cell, "gpu"),
      model: cell("model"),
    }))
    .toSorted(byName);
}

/** Pods sorted by name. Traces without `gpu_spec` allow any model. */
export function readPods(path: string): readonly TracePod[] {
  return rowsOf(path, ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"])
    .map((cell) => ({
      name: cell("name"),
      milliCpu: numberOf(cell, "cpu_milli"),
      memoryMib: numberOf(cell, "memory_mib"),
      gpuCount: numberOf(cell, "num_gpu"),
      gpuMilli: numberOf(cell, "num_gpu") === 0 ? 0 : numberOf(cell, "gpu_milli"),
      models: cell("gpu_spec")
        .split("|")
        .filter((model) => model !== ""),
    }))
    .toSorted(byName);
}

/** gzip of Uint16LE `[n, podRow × n, rank × nodes]`. */
export function readArrivals(path: string, counts: { nodes: number; pods: number }): Arrivals {
  const bytes = gunzipSync(readFileSync(path));
  const values = new Uint16Array(Math.floor(bytes.length / 2)).map((_, i) =>
    bytes.readUInt16LE(i * 2),
  );
  const count = values[0] ?? 0;
  if (values.length !== 1 + count + counts.nodes)
    throw new Error(
      `${path}: ${values.length} numbers, but 1 + ${count} arrivals + ${counts.nodes} nodes expected; do nodes and arrivals belong together?`,
    );
  const pods = values.slice(1, 1 + count);
  const ranks = values.slice(1 + count);
  if (pods.some((row) => row >= counts.pods))
    throw new Error(`${path}: names a pod that the pod list does not have`);
  if (new Set(ranks).size !== counts.nodes || ranks.some((r) => r >= counts.nodes))
    throw new Error(`${path}: ranks are no order of the nodes`);
  return { name: basename(path).replace(/\.u16\.gz$/, ""), pods, ranks };
}

type Cell = (column: string) => string;

function rowsOf(path: string, needed: readonly string[]): readonly Cell[] {
  const [head = "", ...lines] = readFileSync(path, "utf8").trim().split(/\r?\n/);
  const columns = new Map(head.split(",").map((name, i) => [name, i]));
  const missing = needed.find((name) => !columns.has(name));
  if (missing !== undefined) throw new Error(`${path}: no column ${missing} in its first line`);
  return lines.map((line) => {
    const cells = line.split(",");
    return (column) => cells[columns.get(column) ?? -1] ?? "";
  });
}

function numberOf(cell: Cell, column: string): number {
  const value = Number(cell(column));
  if (!Number.isInteger(value) || value < 0)
    throw new Error(`${column} is ${JSON.stringify(cell(column))}; a whole number is expected`);
  return value;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
