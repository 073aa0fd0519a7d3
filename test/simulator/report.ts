import type { RunResult } from "./scenario/run.ts";

/** The command that shows the same run again. */
export function replayCommand(
  seed: number,
  options: {
    readonly steps: string | number;
    readonly bug?: readonly string[];
    readonly fault?: readonly string[];
  },
): string {
  const bugs = (options.bug ?? []).map((bug) => ` --bug ${bug}`).join("");
  const faults = (options.fault ?? []).map((fault) => ` --fault ${fault}`).join("");
  return `node test/simulator/main.ts --seed ${seed} --steps ${options.steps}${bugs}${faults}`;
}

/** What a reader needs of a failed run. */
export function reportOf(result: RunResult, command: string): string {
  return [
    ...result.lastLines,
    "",
    `seed ${result.seed}, digest ${result.digest}, ${result.events} events, ${(result.virtualMs / 1000).toFixed(1)} s virtual`,
    `faults: ${countsOf(result.faults)}`,
    `BROKEN ${result.failure?.message ?? ""}`,
    `replay: ${command}`,
  ].join("\n");
}

/** One paragraph over many runs. */
export function summaryOf(
  results: readonly RunResult[],
  { failed, cpuSeconds }: { readonly failed: number; readonly cpuSeconds: number },
): string {
  const total = (of: (r: RunResult) => number): number =>
    results.reduce((sum, r) => sum + of(r), 0);
  const faults = new Map<string, number>();
  const probes = new Map<string, number>();
  for (const result of results) {
    for (const [name, count] of result.faults) faults.set(name, (faults.get(name) ?? 0) + count);
    for (const [name, count] of result.probes) probes.set(name, (probes.get(name) ?? 0) + count);
  }
  const converged = results.flatMap((r) => r.convergedMs ?? []).sort((a, b) => a - b);
  const at = (share: number): string =>
    ((converged[Math.floor((converged.length - 1) * share)] ?? 0) / 1000).toFixed(1);
  return [
    `${results.length + failed} runs, ${failed} with a broken promise`,
    `${total((r) => r.events)} events, ${total((r) => r.faultCount)} faults, ${(total((r) => r.virtualMs) / 3_600_000).toFixed(1)} virtual hours in ${cpuSeconds.toFixed(1)} s of CPU`,
    `converged after the last fault: median ${at(0.5)} s, p95 ${at(0.95)} s, most ${at(1)} s (virtual)`,
    `faults: ${countsOf(faults)}`,
    `seen: ${countsOf(probes)}`,
  ].join("\n");
}

function countsOf(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(", ");
}
