import fc from "fast-check";
import { expect, test } from "vitest";
import { solveLinearProgram } from "../../platform/linear-program.ts";
import { gpuValues } from "../gpu/values.ts";
import type { NodeScore } from "./node-score.ts";
import { NodeTable } from "./node-table.ts";
import { OpportunityScore } from "./opportunity-score.ts";
import type { Shape } from "./shape.ts";

const VALUES = gpuValues(
  [
    { milliCpu: 8_000, gpuCount: 1, gpuMilli: 1000, count: 10 },
    { milliCpu: 2_000, gpuCount: 1, gpuMilli: 470, count: 5 },
  ],
  solveLinearProgram,
);

const nodesArbitrary = fc.array(
  fc.record({
    milliCpu: fc.integer({ min: 0, max: 32 }).map((cores) => cores * 1_000),
    instanceCount: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
    devices: fc.array(
      fc.record({
        deviceClass: fc.integer({ min: 0, max: 3 }),
        freeMilli: fc.constantFrom(-300, 0, 300, 470, 530, 1000),
      }),
      { maxLength: 4 },
    ),
    port: fc.boolean(),
  }),
  { minLength: 1, maxLength: 12 },
);

const shapeArbitrary = fc.record({
  milliCpu: fc.integer({ min: 0, max: 8 }).map((cores) => cores * 1_000),
  gpu: fc.constantFrom([0, 0], [1, 1000], [2, 1000], [1, 470], [2, 300]),
  deviceClasses: fc.option(fc.uint8Array({ minLength: 4, maxLength: 4, max: 1 }), {
    nil: undefined,
  }),
  partitions: fc.boolean(),
  ports: fc.constantFrom(undefined, ["TCP/80"], ["TCP/81"]),
});

const booking = { memoryBytes: 0, diskBytes: 0, devices: [] };

test("scores of many nodes at once are those of each, whatever limits, ports, device classes and partitions there are", () => {
  fc.assert(
    fc.property(nodesArbitrary, shapeArbitrary, (list, { gpu, milliCpu, ...particular }) => {
      const rows = list.map(({ milliCpu: cpu, instanceCount, devices }) => ({
        milliCpu: cpu,
        memoryBytes: 10,
        diskBytes: 10,
        gpuCount: devices.length,
        ...(instanceCount === undefined ? {} : { instanceCount }),
      }));
      const nodes = new NodeTable(rows);
      for (const [node, { devices, port }] of list.entries()) {
        for (const [d, set] of devices.entries()) nodes.setDevice(node, d, set);
        const ports = port ? ["TCP/80"] : [];
        nodes.book(node, { ...booking, milliCpu: 3_000, instanceCount: 1, ports }, 1);
      }
      const [gpuCount = 0, gpuMilli = 0] = gpu;
      const shape: Shape = {
        milliCpu,
        memoryBytes: 1,
        diskBytes: 0,
        gpuCount,
        gpuMilli,
        ...particular,
      };
      const opportunity = new OpportunityScore({ values: VALUES }, { nodes });
      expect(atOnce(opportunity, shape, list.length)).toEqual(
        Float32Array.from(list, (_, node) => opportunity.evaluate(shape, node)),
      );
    }),
    { seed: 47, numRuns: 1_000 },
  );
});

function atOnce(
  score: Required<Pick<NodeScore, "evaluateAll">>,
  shape: Shape,
  count: number,
): Float32Array {
  const scores = new Float32Array(count);
  score.evaluateAll(shape, Int32Array.from(scores.keys()), count, scores);
  return scores;
}
