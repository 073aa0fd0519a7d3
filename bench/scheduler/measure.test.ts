import { expect, test } from "vitest";
import { generatedWorkload, type ScoreName } from "./fleet.ts";
import { measure } from "./measure.ts";

test.each<ScoreName>(["gpu", "article"])(
  "a measurement of a small fleet compares tree and scan decision by decision (%s)",
  (score) => {
    const measured = measure(generatedWorkload({ nodes: 60, shapes: 8 }, score), 300);
    expect(measured.compared).toBe(300);
    expect(measured.treePerSecond).toBeGreaterThan(0);
  },
);
