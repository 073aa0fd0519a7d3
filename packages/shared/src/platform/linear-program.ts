import { solve } from "yalps";
import type { LinearProgram } from "../scheduling/gpu/slot-prices.ts";

/** Solves a linear program with YALPS (simplex, pure JavaScript); undefined when there is no optimum. */
export function solveLinearProgram(program: LinearProgram): readonly number[] | undefined {
  const { status, variables } = solve({
    direction: "maximize",
    objective: "worth",
    constraints: new Map(program.rows.map(({ max }, i) => [`row${i}`, { max }])),
    variables: program.objective.map((worth, j): [number, [string, number][]] => [
      j,
      [
        ["worth", worth],
        ...program.rows.flatMap(({ coefficients }, i): [string, number][] => {
          const coefficient = coefficients[j] ?? 0;
          return coefficient === 0 ? [] : [[`row${i}`, coefficient]];
        }),
      ],
    ]),
  });
  if (status !== "optimal") return undefined;
  const values = new Map(variables);
  return program.objective.map((_, j) => values.get(j) ?? 0);
}
