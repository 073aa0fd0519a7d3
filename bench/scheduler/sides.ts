import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import { Engine } from "@flotilla/shared/scheduling/engine/engine";
import { type NodeRow, NodeTable } from "@flotilla/shared/scheduling/engine/node-table";
import { OpportunityScore } from "@flotilla/shared/scheduling/engine/opportunity-score";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { NodeFacts, PlacementRequest } from "@flotilla/shared/scheduling/facts";
import { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { RequestMix } from "@flotilla/shared/scheduling/gpu/request-mix";
import { type GpuValues, gpuValues } from "@flotilla/shared/scheduling/gpu/values";
import { weightsOf } from "@flotilla/shared/scheduling/weights";

/** How an engine chooses. */
export type Mode = "tree" | "scan";

/** `gpu`: opportunity cost alone. `article`: the fleet table with the five parts, filters included, as the hub decides. */
export const SCORES = ["gpu", "article"] as const;
export type ScoreName = (typeof SCORES)[number];

/** A fleet with an engine on it. */
export interface Side {
  readonly engine: Engine;
  readonly nodes: NodeTable;
  /** The shape of a kind of request; asked for anew for each decision. */
  readonly shapeOf: (kind: number) => Shape;
  /** A shape that no other decision asks for: the kind's with so many bytes of memory more. */
  readonly shapeOnce: (kind: number, moreBytes: number) => Shape;
}

/** What one measurement works on. Both sides begin alike, so that tree and scan can be compared decision by decision. */
export interface Workload {
  readonly nodeCount: number;
  readonly kindCount: number;
  side(mode: Mode): Side;
  /** Draws the kind of the next request. */
  next(): number;
}

/** Rows and shapes as they are: nothing but the engine. */
export function rowSides(
  rows: readonly NodeRow[],
  shapes: readonly Shape[],
  mix: RequestMix,
): (mode: Mode) => Side {
  const values = gpuValues(mix, solveLinearProgram);
  return (mode) => {
    const nodes = new NodeTable(rows);
    const engine = new Engine(
      { mode },
      { nodes, score: new OpportunityScore({ values }, { nodes }) },
    );
    const shapeOf = (kind: number): Shape => at(shapes, kind);
    return {
      engine,
      nodes,
      shapeOf,
      shapeOnce: (kind, moreBytes) => {
        const shape = shapeOf(kind);
        return { ...shape, memoryBytes: shape.memoryBytes + moreBytes };
      },
    };
  };
}

/** Facts and requests, decided on by the product's fleet table. */
export function tableSides(
  facts: readonly NodeFacts[],
  requests: readonly PlacementRequest[],
  mix: RequestMix,
): (mode: Mode) => Side {
  const values = gpuValues(mix, solveLinearProgram);
  return (mode) => tableSide(mode, { facts, requests, values });
}

const WEIGHTS = weightsOf(undefined);

function tableSide(
  mode: Mode,
  parts: {
    readonly facts: readonly NodeFacts[];
    readonly requests: readonly PlacementRequest[];
    readonly values: GpuValues;
  },
): Side {
  const { facts, requests, values } = parts;
  const table = new FleetTable({ mode, values });
  for (const node of facts) table.setNode(node);
  const requestOf = (kind: number): PlacementRequest => at(requests, kind);
  return {
    engine: table.engine,
    nodes: table.nodes,
    shapeOf: (kind) => table.shapeOf(requestOf(kind), WEIGHTS),
    shapeOnce: (kind, moreBytes) => {
      const request = requestOf(kind);
      const memoryBytes = request.amounts.memoryBytes + moreBytes;
      return table.shapeOf({ ...request, amounts: { ...request.amounts, memoryBytes } }, WEIGHTS);
    },
  };
}

function at<T>(list: readonly T[], index: number): T {
  const element = list[index];
  if (element === undefined) throw new Error(`there is no kind ${index}`);
  return element;
}
