import { tableText } from "../support/table.ts";
import type { CostOutcome } from "./play.ts";
import { PRICE_BLIND, type StrategyName } from "./strategies.ts";

/** One strategy on one demand. */
export interface CostRun {
  readonly strategy: StrategyName;
  readonly load: number;
  readonly seed: number;
  readonly outcome: CostOutcome;
}

/** Means over the seeds of one strategy and load; `vsBlind`: cost and bill over those of price-blind, less 1. */
export interface CostLine extends CostOutcome {
  readonly strategy: StrategyName;
  readonly load: number;
  readonly costVsBlind: number;
  readonly billVsBlind: number;
}

/** One line for each load and strategy, in the order in which they were run. */
export function costLines(runs: readonly CostRun[]): readonly CostLine[] {
  const groups = [...Map.groupBy(runs, ({ strategy, load }) => `${load} ${strategy}`).values()];
  const means = groups.map((group) => ({ ...groupHead(group), ...meanOf(group) }));
  return means.map((line) => {
    const blind = means.find((m) => m.strategy === PRICE_BLIND && m.load === line.load) ?? line;
    return {
      ...line,
      costVsBlind: perInstance(line, "costPerHour") / perInstance(blind, "costPerHour") - 1,
      billVsBlind: perInstance(line, "billPerHour") / perInstance(blind, "billPerHour") - 1,
    };
  });
}

/** Strategies that place fewer are not cheaper for it. */
function perInstance(line: CostOutcome, name: "costPerHour" | "billPerHour"): number {
  return line.placed === 0 ? 0 : line[name] / line.placed;
}

function groupHead([first]: readonly CostRun[]): Pick<CostRun, "strategy" | "load"> {
  return { strategy: first?.strategy ?? PRICE_BLIND, load: first?.load ?? 0 };
}

function meanOf(group: readonly CostRun[]): CostOutcome {
  const mean = (name: keyof CostOutcome): number =>
    group.reduce((sum, { outcome }) => sum + outcome[name], 0) / group.length;
  return {
    asked: mean("asked"),
    placed: mean("placed"),
    broken: mean("broken"),
    costPerHour: mean("costPerHour"),
    billPerHour: mean("billPerHour"),
    nodesInUse: mean("nodesInUse"),
    cpuRatio: mean("cpuRatio"),
    gpuRatio: mean("gpuRatio"),
    cpuRatioInUse: mean("cpuRatioInUse"),
  };
}

/** The lines as a table. Costs against price-blind are by instance placed. */
export function costText(lines: readonly CostLine[]): string {
  const head = [
    "strategy",
    "load",
    "placed %",
    "promises broken",
    "$/h by share",
    "vs blind %",
    "$/h bill",
    "vs blind %",
    "nodes",
    "CPU %",
    "GPU %",
    "CPU % in use",
  ];
  return tableText([
    head,
    ...lines.map((line) => [
      line.strategy,
      line.load.toFixed(2),
      percent(line.placed / line.asked),
      line.broken.toFixed(0),
      line.costPerHour.toFixed(1),
      signed(line.costVsBlind),
      line.billPerHour.toFixed(1),
      signed(line.billVsBlind),
      line.nodesInUse.toFixed(0),
      percent(line.cpuRatio),
      percent(line.gpuRatio),
      percent(line.cpuRatioInUse),
    ]),
  ]);
}

function percent(ratio: number): string {
  return (ratio * 100).toFixed(1);
}

function signed(ratio: number): string {
  const text = percent(ratio);
  return ratio > 0 ? `+${text}` : text;
}
