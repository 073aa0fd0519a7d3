import { i16, i32 } from "../engine/columns.ts";
import type { NodeTable } from "../engine/node-table.ts";
import type { Shape } from "../engine/shape.ts";

/** Whether the whole fleet has as much free as the shape asks for, on whatever nodes: if not, moves make no room. */
export function hasInTotal(nodes: NodeTable, shape: Shape): boolean {
  const total = (column: Float64Array | Int16Array): number => {
    let sum = 0;
    for (const free of column) sum += free;
    return sum;
  };
  return (
    shape.milliCpu <= total(nodes.milliCpuFree) &&
    shape.memoryBytes <= total(nodes.memoryFree) &&
    shape.diskBytes <= total(nodes.diskFree) &&
    shape.gpuCount * shape.gpuMilli <= total(nodes.gpuFree)
  );
}

/**
 * Nodes that the shape may use and that have as many devices as it asks for: those that lack the fewest devices first, then in
 * the order of the table, at most `nodesMax`. Reads columns only.
 */
export function candidateNodes(
  nodes: NodeTable,
  shape: Shape,
  nodesMax: number,
): readonly number[] {
  const byLack: number[][] = Array.from({ length: shape.gpuCount + 1 }, () => []);
  for (let node = 0; node < nodes.nodeCount; node++) {
    if (shape.classes !== undefined && shape.classes[i32(nodes.classOf, node)] !== 1) continue;
    const [first, end] = [i32(nodes.gpuFirst, node), i32(nodes.gpuFirst, node + 1)];
    if (end - first < shape.gpuCount) continue;
    let lack = shape.gpuCount;
    for (let g = first; g < end && lack > 0; g++)
      if (i16(nodes.gpuFree, g) >= shape.gpuMilli) lack--;
    byLack[lack]?.push(node);
  }
  return byLack.flat().slice(0, nodesMax);
}
