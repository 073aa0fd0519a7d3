import { expect, test } from "vitest";
import { solveLinearProgram } from "./linear-program.ts";

test("the optimum of a small program is found, zeros included", () => {
  const program = {
    objective: [3, 2, 0.1],
    rows: [
      { coefficients: [1, 1, 1], max: 4 },
      { coefficients: [1, 3, 1], max: 6 },
    ],
  };
  expect(solveLinearProgram(program)).toEqual([4, 0, 0]);
});

test("a program without a greatest value has no answer", () => {
  expect(solveLinearProgram({ objective: [1], rows: [] })).toBeUndefined();
});
