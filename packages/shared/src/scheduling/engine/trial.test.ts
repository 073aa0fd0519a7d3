import { expect, test } from "vitest";
import { assert } from "../../kernel/assert.ts";
import { WHOLE_DEVICES_ONLY } from "../gpu/values.ts";
import { Engine } from "./engine.ts";
import { NodeTable } from "./node-table.ts";
import { OpportunityScore } from "./opportunity-score.ts";
import { Trial } from "./trial.ts";

const shape = { milliCpu: 3_000, memoryBytes: 100, diskBytes: 0, gpuCount: 0, gpuMilli: 0 };
const row = { milliCpu: 4_000, memoryBytes: 400, diskBytes: 0, gpuCount: 0 };

function scene() {
  const nodes = new NodeTable([row, row]);
  const score = new OpportunityScore({ values: WHOLE_DEVICES_ONLY }, { nodes });
  const engine = new Engine({}, { nodes, score });
  return { nodes, trial: new Trial(engine) };
}

test("what is undone is as it was, also on a node that has shrunk below what it holds", () => {
  const { nodes, trial } = scene();
  const placed = trial.place(shape);
  assert(placed?.node === 0, "the first node is the best");
  nodes.resize(0, { ...row, milliCpu: 1_000 });
  const before = [...nodes.milliCpuFree];
  expect(before[0]).toBe(-2_000);
  const mark = trial.mark;
  trial.release(placed);
  trial.undoTo(mark);
  expect([...nodes.milliCpuFree]).toEqual(before);
});

test("room that a trial gave is known until it is taken back", () => {
  const { trial } = scene();
  const mark = trial.mark;
  const placed = trial.place(shape);
  assert(placed !== undefined, "both nodes are free");
  const after = trial.mark;
  expect(trial.holds(placed, after)).toBe(true);
  trial.undoTo(mark);
  expect(trial.holds(placed, after)).toBe(false);
  trial.place(shape);
  expect(trial.holds(placed, trial.mark)).toBe(false);
});
