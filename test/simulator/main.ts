/**
 * Runs the fault simulator: `node test/simulator/main.ts --seed S --runs N --steps M [--bug NAME]`. Ends with 1 at the
 * first broken promise, whose seed, replay command and last events it prints.
 */
import { parseArgs } from "node:util";
import { Codec } from "@flotilla/shared/protocol/codec";
import { allBugs, BUGS, type Bug, bugNamed } from "./bugs.ts";
import { replayCommand, reportOf, summaryOf } from "./report.ts";
import { FAULTS, type Fault, faultNamed } from "./scenario/faults.ts";
import { type RunResult, runSeed } from "./scenario/run.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    runs: { type: "string", default: "1" },
    steps: { type: "string", default: "6000" },
    bug: { type: "string", multiple: true, default: [] },
    fault: { type: "string", multiple: true, default: [] },
    trace: { type: "boolean", default: false },
    "keep-going": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  const bugs = allBugs().map((bug) => `  ${bug.padEnd(26)} ${BUGS[bug]}`);
  process.stdout.write(
    `node test/simulator/main.ts [--seed S] [--runs N] [--steps M] [--bug NAME]… [--fault KIND]… [--keep-going] [--trace]\nfaults: ${FAULTS.join(", ")}\nbugs:\n${bugs.join("\n")}\n`,
  );
} else {
  process.exitCode = await campaign();
}

async function campaign(): Promise<number> {
  const bugs = new Set(values.bug.map(bugOf));
  const faults = values.fault.map(faultOf);
  const [first, runs, steps] = [values.seed, values.runs, values.steps].map(Number);
  const codec = new Codec();
  const results: RunResult[] = [];
  const cpu = process.cpuUsage();
  let failed = 0;
  for (let seed = first ?? 1; seed < (first ?? 1) + (runs ?? 1); seed++) {
    const options = { seed, steps: steps ?? 6_000, bugs, ...(faults.length > 0 ? { faults } : {}) };
    const result = await runSeed(options, { codec });
    if (result.failure !== undefined && values["keep-going"]) {
      failed++;
      const line = result.failure.message.slice(0, 300);
      process.stdout.write(`${replayCommand(seed, values)}\n  BROKEN ${line}\n`);
      continue;
    }
    results.push(result);
    if (values.trace) process.stdout.write(`${result.lastLines.join("\n")}\n`);
    if (result.failure !== undefined) {
      process.stdout.write(`${reportOf(result, replayCommand(result.seed, values))}\n`);
      return 1;
    }
  }
  const { user, system } = process.cpuUsage(cpu);
  process.stdout.write(`${summaryOf(results, { failed, cpuSeconds: (user + system) / 1e6 })}\n`);
  return failed === 0 ? 0 : 1;
}

function faultOf(name: string): Fault {
  const fault = faultNamed(name);
  if (fault === undefined) throw new Error(`no fault is called ${name}; --help lists them`);
  return fault;
}

function bugOf(name: string): Bug {
  const bug = bugNamed(name);
  if (bug === undefined) throw new Error(`no bug is called ${name}; --help lists them`);
  return bug;
}
