import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Engine, SCAN_NODES_MAX, TREES_MAX } from "./engine.ts";
import { EVALUATIONS_MAX, type NodeScore } from "./node-score.ts";
import { NodeTable } from "./node-table.ts";
import type { Shape } from "./shape.ts";

const SHAPE: Shape = { milliCpu: 1, memoryBytes: 0, diskBytes: 0, gpuCount: 0, gpuMilli: 0 };

/** Scores that the test sets, and how many nodes were looked at. */
class SetScore implements NodeScore {
  readonly scores: number[];
  evaluated = 0;

  constructor(nodeCount: number) {
    this.scores = Array.from({ length: nodeCount }, (_, node) => node % 7);
  }

  evaluate(_: Shape, node: number): number {
    this.evaluated++;
    return this.scores[node] ?? 0;
  }

  chooseDevices(): void {}

  nodeChanged(): void {}
}

const engineOf = (nodeCount: number, mode?: "tree" | "scan"): readonly [Engine, SetScore] => {
  const row = { milliCpu: 1, memoryBytes: 1, diskBytes: 1, gpuCount: 0 };
  const nodes = new NodeTable(Array.from({ length: nodeCount }, () => row));
  const score = new SetScore(nodeCount);
  return [new Engine(mode === undefined ? {} : { mode }, { nodes, score }), score];
};

describe("a repair", () => {
  test("of more nodes than are evaluated at once chooses as a scan does", () => {
    const nodeCount = EVALUATIONS_MAX * 16;
    const changes = fc.uniqueArray(fc.nat(nodeCount - 1), {
      minLength: EVALUATIONS_MAX + 1,
      maxLength: EVALUATIONS_MAX * 4,
      size: "max",
    });
    fc.assert(
      fc.property(changes, fc.integer({ min: -5, max: 50 }), (changed, salt) => {
        const [tree, scores] = engineOf(nodeCount, "tree");
        tree.choose(SHAPE);
        scores.evaluated = 0;
        for (const node of changed) {
          scores.scores[node] = (node * salt) % 101;
          tree.changed(node);
        }
        const [scan, same] = engineOf(nodeCount, "scan");
        same.scores.splice(0, nodeCount, ...scores.scores);
        expect(tree.choose(SHAPE)).toBe(scan.choose(SHAPE));
        expect(scores.evaluated).toBe(changed.length);
      }),
      { seed: 48, numRuns: 15 },
    );
  });

  test("looks at a node once, however often it changed", () => {
    const [engine, score] = engineOf(1_000, "tree");
    engine.choose(SHAPE);
    score.evaluated = 0;
    score.scores[500] = 9;
    for (let i = 0; i < 5_000; i++) engine.changed(500 + (i % 2));
    expect([engine.choose(SHAPE), score.evaluated]).toEqual([500, 2]);
  });

  test("gives way to a new tree when more than a quarter of the nodes changed", () => {
    const [engine, score] = engineOf(1_000, "tree");
    engine.choose(SHAPE);
    score.evaluated = 0;
    for (let node = 0; node <= 250; node++) engine.changed(node);
    engine.choose(SHAPE);
    expect(score.evaluated).toBe(1_000);
  });
});

describe("trees", () => {
  test("are kept for fleets above SCAN_NODES_MAX; smaller ones are scanned", () => {
    for (const [nodeCount, expected] of [
      [SCAN_NODES_MAX, SCAN_NODES_MAX],
      [SCAN_NODES_MAX + 1, 0],
    ] as const) {
      const [engine, score] = engineOf(nodeCount);
      engine.choose(SHAPE);
      score.evaluated = 0;
      engine.choose(SHAPE);
      expect(score.evaluated).toBe(expected);
    }
  });

  test("are TREES_MAX at most: what is asked again and again stays, what was asked once makes room", () => {
    const [engine, score] = engineOf(10, "tree");
    const [often, once] = [{ ...SHAPE }, { ...SHAPE }];
    engine.choose(once);
    for (let i = 0; i < TREES_MAX * 3; i++) {
      engine.choose(often);
      engine.choose({ ...SHAPE });
    }
    score.evaluated = 0;
    engine.choose(often);
    expect(score.evaluated).toBe(0);
    engine.choose(once);
    expect(score.evaluated).toBe(10);
  });
});
