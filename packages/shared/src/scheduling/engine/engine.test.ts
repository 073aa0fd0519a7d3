import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { solveLinearProgram } from "../../platform/linear-program.ts";
import { opportunityCost } from "../gpu/opportunity-cost.ts";
import { type GpuValues, gpuValues } from "../gpu/values.ts";
import { Engine, NO_NODE } from "./engine.ts";
import { NO_FIT, type NodeScore } from "./node-score.ts";
import { type NodeRow, NodeTable } from "./node-table.ts";
import { OpportunityScore } from "./opportunity-score.ts";
import { isSoundShape, type Shape } from "./shape.ts";
import { WinnerTree } from "./winner-tree.ts";

const row = (over: Partial<NodeRow> = {}): NodeRow => ({
  milliCpu: 32_000,
  memoryBytes: 1_000,
  diskBytes: 1_000,
  gpuCount: 4,
  ...over,
});
const shape = (over: Partial<Shape> = {}): Shape => ({
  milliCpu: 4_000,
  memoryBytes: 10,
  diskBytes: 0,
  gpuCount: 1,
  gpuMilli: 1000,
  ...over,
});
const VALUES: GpuValues = gpuValues(
  [
    { milliCpu: 8_000, gpuCount: 1, gpuMilli: 1000, count: 10 },
    { milliCpu: 2_000, gpuCount: 1, gpuMilli: 470, count: 5 },
    { milliCpu: 1_000, gpuCount: 1, gpuMilli: 320, count: 5 },
  ],
  solveLinearProgram,
);
const CLASSES = 3;

type ScoreName = "opportunity" | "weighted";

/** A score of more than what is free, which is asked node by node; what of it is no number is for the engine to sort out. */
class WeightedScore implements NodeScore {
  readonly #opportunity: OpportunityScore;
  readonly #shares: Float64Array;

  constructor(nodes: NodeTable) {
    this.#opportunity = new OpportunityScore({ values: VALUES }, { nodes });
    this.#shares = Float64Array.from({ length: nodes.nodeCount }, (_, n) =>
      n % 11 === 10 ? Number.NaN : ((n * 7) % 10) / 10,
    );
  }

  evaluate(asked: Shape, node: number): number {
    return this.#opportunity.evaluate(asked, node) / 1_000 + (this.#shares[node] ?? 0);
  }

  chooseDevices(asked: Shape, node: number, devices: Int16Array): void {
    this.#opportunity.chooseDevices(asked, node, devices);
  }

  nodeChanged(node: number): void {
    this.#opportunity.nodeChanged(node);
  }
}

function scoreOf(name: ScoreName, nodes: NodeTable): NodeScore {
  return name === "opportunity"
    ? new OpportunityScore({ values: VALUES }, { nodes })
    : new WeightedScore(nodes);
}

interface Side {
  readonly nodes: NodeTable;
  readonly engine: Engine;
}

const sideOf = (
  rows: readonly NodeRow[],
  mode: "tree" | "scan",
  name: ScoreName = "opportunity",
  treeBytesMax = 2 ** 30,
): Side => {
  const nodes = new NodeTable(rows);
  return {
    nodes,
    engine: new Engine({ mode, treeBytesMax }, { nodes, score: scoreOf(name, nodes) }),
  };
};

const hostile = (max: number): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 12, arbitrary: fc.integer({ min: 0, max }) },
    { weight: 1, arbitrary: fc.constantFrom(Number.NaN, -1, 1e308, Number.POSITIVE_INFINITY, 0.5) },
  );
const rowsArbitrary = fc.array(
  fc.record({
    milliCpu: hostile(32).map((cores) => cores * 1_000),
    memoryBytes: hostile(64),
    diskBytes: hostile(64),
    gpuCount: hostile(8),
    nodeClass: fc.integer({ min: 0, max: CLASSES - 1 }),
  }),
  { minLength: 1, maxLength: 40 },
);
const shapesArbitrary = fc.array(
  fc.record(
    {
      milliCpu: hostile(8).map((cores) => cores * 1_000),
      memoryBytes: hostile(8),
      diskBytes: hostile(8),
      gpu: fc.constantFrom([0, 0], [1, 1000], [1, 470], [1, 320], [2, 1000], [3, 320], [8, 1000]),
      classes: fc.option(fc.uint8Array({ minLength: CLASSES, maxLength: CLASSES, max: 1 }), {
        nil: undefined,
      }),
    },
    { noNullPrototype: true },
  ),
  { minLength: 1, maxLength: 6 },
);
const toShape = ({
  gpu,
  classes,
  ...amounts
}: {
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly gpu: readonly number[];
  readonly classes: Uint8Array | undefined;
}): Shape => ({
  ...amounts,
  gpuCount: gpu[0] ?? 0,
  gpuMilli: gpu[1] ?? 0,
  ...(classes === undefined ? {} : { classes }),
});
const stepsArbitrary = fc.array(
  fc.record({
    kind: fc.constantFrom("place", "place", "place", "place", "release", "relabel"),
    pick: fc.nat(1_000),
  }),
  { maxLength: 150 },
);

interface Placed {
  readonly shape: Shape;
  readonly node: number;
  readonly devices: Int16Array;
}

/** Runs the steps; answers where each placement went, with its devices. */
function run(
  { nodes, engine }: Side,
  shapes: readonly Shape[],
  steps: readonly { readonly kind: string; readonly pick: number }[],
): readonly string[] {
  const placed: Placed[] = [];
  return steps.map(({ kind, pick }) => {
    if (kind === "relabel") {
      nodes.setClass(pick % nodes.nodeCount, pick % CLASSES);
      engine.changed(pick % nodes.nodeCount);
      return "relabelled";
    }
    if (kind === "release") {
      const [gone] = placed.splice(pick % Math.max(1, placed.length), 1);
      if (gone !== undefined) engine.release(gone.shape, gone.node, gone.devices);
      return "released";
    }
    const asked = shapes[pick % shapes.length] ?? shape();
    const node = engine.place(asked);
    if (node === NO_NODE) return "no node";
    const devices = engine.devices.slice(0, asked.gpuCount);
    placed.push({ shape: asked, node, devices });
    return `${node}:${devices.join("+")}`;
  });
}

describe("the choice", () => {
  test.each<[ScoreName, number]>([
    ["opportunity", 2 ** 30],
    ["weighted", 2 ** 30],
    ["opportunity", 1],
  ])(
    "of winner trees is the choice of a full scan, after any placements, releases and relabellings (%s, %d bytes of trees)",
    (name, treeBytesMax) => {
      fc.assert(
        fc.property(rowsArbitrary, shapesArbitrary, stepsArbitrary, (rows, raw, steps) => {
          const shapes = raw.map(toShape);
          const tree = run(sideOf(rows, "tree", name, treeBytesMax), shapes, steps);
          expect(tree).toEqual(run(sideOf(rows, "scan", name), shapes, steps));
        }),
        { seed: 42, numRuns: 250 },
      );
    },
  );

  test("of equal nodes is the one with the lowest index, in trees and scans", () => {
    const rows = Array.from({ length: 100 }, () => row());
    for (const mode of ["tree", "scan"] as const)
      expect(sideOf(rows, mode).engine.choose(shape())).toBe(0);
  });

  test("is the same for the same input, run by run", () => {
    fc.assert(
      fc.property(rowsArbitrary, shapesArbitrary, stepsArbitrary, (rows, raw, steps) => {
        const shapes = raw.map(toShape);
        const first = run(sideOf(rows, "tree"), shapes, steps);
        expect(run(sideOf(rows, "tree"), shapes, steps)).toEqual(first);
      }),
      { seed: 43, numRuns: 50 },
    );
  });

  test("never falls on a node whose score is no finite number", () => {
    for (const mode of ["tree", "scan"] as const) {
      const nodes = new NodeTable(Array.from({ length: 6 }, () => row()));
      const scores = [Number.NaN, 1e308, Number.POSITIVE_INFINITY, -3, -2, NO_FIT];
      const score = {
        evaluate: (_: Shape, n: number) => scores[n] ?? 0,
        chooseDevices: () => {},
        nodeChanged: () => {},
      };
      expect(new Engine({ mode }, { nodes, score }).choose(shape())).toBe(4);
    }
  });

  test("is no node for a shape that asks for nonsense, and for none at all", () => {
    const { engine } = sideOf([row()], "tree");
    expect(engine.choose(shape({ milliCpu: Number.NaN }))).toBe(NO_NODE);
    expect(engine.choose(shape({ gpuMilli: 1e308 }))).toBe(NO_NODE);
    expect(sideOf([], "tree").engine.choose(shape())).toBe(NO_NODE);
    expect(sideOf([], "scan").engine.choose(shape())).toBe(NO_NODE);
  });
});

describe("what is given", () => {
  test("is never more than there is: no node over-committed, no slice twice, all of it given back", () => {
    fc.assert(
      fc.property(rowsArbitrary, shapesArbitrary, stepsArbitrary, (rows, raw, steps) => {
        const side = sideOf(rows, "tree");
        const before = new NodeTable(rows);
        const shapes = raw.map(toShape).filter(isSoundShape);
        if (shapes.length === 0) return;
        run(side, shapes, steps);
        for (const column of ["milliCpuFree", "memoryFree", "diskFree", "gpuFree"] as const)
          for (const [i, free] of side.nodes[column].entries()) {
            expect(free).toBeGreaterThanOrEqual(0);
            expect(free).toBeLessThanOrEqual(before[column][i] ?? 0);
          }
      }),
      { seed: 44, numRuns: 150 },
    );
  });

  test("twice is a bug of ours and ends the process", () => {
    const { engine } = sideOf([row({ gpuCount: 1 })], "tree");
    const slice = shape({ gpuMilli: 600 });
    const first = Int16Array.of(0);
    engine.reserve(slice, 0, first);
    expect(() => engine.reserve(slice, 0, first)).toThrow("has no 600 milli free");
    engine.release(slice, 0, first);
    expect(() => engine.release(slice, 0, first)).toThrow("more free than it has");
    const free = { ...slice, milliCpu: 0, memoryBytes: 0 };
    expect(() => engine.release(free, 0, first)).toThrow("released twice");
    const pair = shape({ gpuCount: 2, gpuMilli: 100 });
    expect(() => engine.reserve(pair, 0, Int16Array.of(0, 0))).toThrow("chosen twice");
    expect(() => engine.reserve(slice, 0, Int16Array.of(1))).toThrow("has no device 1");
    expect(() => engine.reserve(shape({ milliCpu: 33_000 }), 0, first)).toThrow("over-committed");
  });
});

describe("scores", () => {
  test("the opportunity cost over columns is the one in plain terms", () => {
    fc.assert(
      fc.property(rowsArbitrary, shapesArbitrary, stepsArbitrary, (rows, raw, steps) => {
        const { nodes, engine } = sideOf(rows, "tree");
        const shapes = raw.map(toShape).filter(isSoundShape);
        if (shapes.length === 0) return;
        run({ nodes, engine }, shapes, steps);
        const score = new OpportunityScore({ values: VALUES }, { nodes });
        for (const asked of shapes)
          for (let node = 0; node < nodes.nodeCount; node++) {
            if (!nodes.fits(asked, node)) continue;
            const gpuFree = [
              ...nodes.gpuFree.subarray(nodes.gpuFirst[node], nodes.gpuFirst[node + 1]),
            ];
            const room = { milliCpuFree: nodes.milliCpuFree[node] ?? 0, gpuFree };
            const { slot, strand } = opportunityCost(VALUES, room, asked);
            expect(score.gpusLost(asked, node)).toBeCloseTo(slot + strand, 6);
          }
      }),
      { seed: 45, numRuns: 100 },
    );
  });

  test("a slice goes where a slice of its kind leaves the least, not onto an idle device", () => {
    const { engine } = sideOf([row(), row()], "scan");
    const half = shape({ gpuMilli: 470, milliCpu: 1_000 });
    engine.reserve(half, 1, Int16Array.of(2));
    expect(engine.place(half)).toBe(1);
    expect(engine.devices[0]).toBe(2);
  });
});

describe("winner tree", () => {
  test("its bytes are what its columns take", () => {
    expect(WinnerTree.bytesOf(100_000) / 100_000).toBeLessThan(6.7);
  });

  test("its root is the first of the greatest, whatever is updated", () => {
    const updates = fc.array(fc.tuple(fc.nat(36), fc.integer({ min: -3, max: 3 })), {
      maxLength: 80,
    });
    fc.assert(
      fc.property(updates, (list) => {
        const tree = new WinnerTree(37);
        const scores = Array.from({ length: 37 }, () => NO_FIT);
        tree.build();
        for (const [node, score] of list) {
          tree.update(node, score);
          scores[node] = score;
          const best = Math.max(...scores);
          expect([tree.winner, tree.winnerScore]).toEqual([scores.indexOf(best), best]);
        }
      }),
      { seed: 46, numRuns: 100 },
    );
  });
});
