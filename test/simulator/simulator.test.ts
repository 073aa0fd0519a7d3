import { Codec } from "@flotilla/shared/protocol/codec";
import { beforeAll, describe, expect, test } from "vitest";
import { allBugs, type Bug } from "./bugs.ts";
import { replayCommand, reportOf } from "./report.ts";
import { FAULTS, type Fault } from "./scenario/faults.ts";
import { COUNT_SPOILERS, type RunResult, runSeed } from "./scenario/run.ts";

const STEPS = 4_000;
const SEEDS = Array.from({ length: 30 }, (_, i) => i + 1);
const NO_BUGS: ReadonlySet<Bug> = new Set();
const deps = { codec: new Codec() };

const run = (seed: number): Promise<RunResult> =>
  runSeed({ seed, steps: STEPS, bugs: NO_BUGS }, deps);

/** What a failed seed has to tell: the last events, the broken promise and the command that shows it again; nothing of one that is fine. */
function storyOf(result: RunResult, fault: readonly Fault[] = []): string {
  return result.failure === undefined
    ? ""
    : reportOf(result, replayCommand(result.seed, { steps: STEPS, fault }));
}

describe("the real services under faults", () => {
  let results: readonly RunResult[] = [];
  beforeAll(async () => {
    const done: RunResult[] = [];
    for (const seed of SEEDS) done.push(await run(seed));
    results = done;
  }, 300_000);

  test.each(SEEDS)("seed %i breaks no promise and converges", (seed) => {
    expect(results.filter((r) => r.seed === seed).map((r) => storyOf(r))).toEqual([""]);
  });

  test("every kind of fault has struck", () => {
    const struck = new Set(results.flatMap((r) => [...r.faults.keys()]));
    expect(FAULTS.filter((fault) => !struck.has(fault))).toEqual([]);
  });

  test("what the checks are about has happened", () => {
    const seen = new Set(results.flatMap((r) => [...r.probes.keys()]));
    const expected = [
      "desired accepted",
      "down epoch-behind",
      "node suspect",
      "node lost",
      "notice Adopted",
      "notice SpecChanged",
      "notice Unwanted",
      "notice LivenessFailed",
      "notice DesiredOlderRevision",
      "notice DesiredBadSignature",
      "notice DesiredOtherNode",
      "job succeeded",
      "gang placed",
      "device used",
      "notice ArtifactRefused",
      "notice ArtifactFetchFailed",
      "artifacts switched",
      "artifacts committed",
      "artifacts rolled back",
      "converged with a node away",
    ];
    expect(expected.filter((name) => !seen.has(name))).toEqual([]);
  });
});

test.each([101, 102, 103, 104])(
  "seed %i, with every fault that leaves Events comparable, loses no notice",
  async (seed) => {
    const faults = FAULTS.filter((fault) => !COUNT_SPOILERS.includes(fault));
    const result = await runSeed({ seed, steps: STEPS, bugs: NO_BUGS, faults }, deps);
    expect(storyOf(result, faults)).toBe("");
  },
);

test("a seed is the same world each time, and another seed another one", async () => {
  const [first, again, other] = [await run(7), await run(7), await run(8)];
  expect([again.digest, again.events, again.virtualMs]).toEqual([
    first.digest,
    first.events,
    first.virtualMs,
  ]);
  expect(other.digest).not.toBe(first.digest);
});

/** Faults that bring a bug to light; drawn as in any run where nothing is said. */
const FAULTS_FOR: Readonly<Partial<Record<Bug, readonly Fault[]>>> = {
  "hub-forgets-cursor": ["repeat-up", "hub-kill"],
  "hub-forgets-rooms": ["hub-kill", "partition"],
  "adopt-without-start-time": ["power-cut", "workload-crash"],
  "forget-exit-records": ["agent-kill"],
  "lose-signals": ["hub-kill"],
  "downloads-hang": ["partition", "half-open"],
};
/** The promises that each planted bug breaks, whichever first; any other finding would be luck. */
const BREAKS: Readonly<Record<Bug, string | readonly string[]>> = {
  "ack-before-commit": "invariant 16",
  "commit-before-fsync": "invariant 16",
  "hub-forgets-cursor": "invariant 9",
  "ignore-expected-revision": "invariant 16",
  "publish-resolves-at-send": "invariant 9",
  "adopt-without-start-time": "own processes only",
  // An orphan runs beside its copy, and holds its device still.
  "blind-to-orphans": ["one copy", "device in use"],
  "forget-exit-records": "jobs run once",
  "lose-signals": "invariant 4",
  "accept-any-revision": "invariant 8",
  "trust-any-signature": "invariant 1",
  "hub-forgets-rooms": "invariant 11",
  "hub-forgets-devices": "invariant 11",
  "gang-in-part": "invariant 10",
  "no-guarantees": "invariant 12",
  "queues-closed": "invariant 12",
  "card-told-twice": "device in use",
  "reuse-epoch": "unique numbers",
  "restart-on-reconnect": "invariant 3",
  "trust-anything": "invariant 5",
  "torn-contents": "invariant 5",
  "prepare-clears-both": "invariant 6",
  "forget-failures": "invariant 7",
  "slots-swapped": "invariant 8",
  "downloads-hang": "invariant 4",
};

test.each(allBugs())("the planted bug %s is found", async (bug) => {
  const faults = FAULTS_FOR[bug];
  for (const seed of SEEDS) {
    const options = { seed, steps: STEPS, bugs: new Set([bug]), ...(faults ? { faults } : {}) };
    const { failure } = await runSeed(options, deps);
    if (failure === undefined) continue;
    expect([BREAKS[bug]].flat()).toContain(failure.invariant);
    return;
  }
  expect.fail(`no seed of ${SEEDS.length} has found ${bug}`);
});
