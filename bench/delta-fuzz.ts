import { parseArgs } from "node:util";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { specimens, tryMutant } from "./delta/fuzz.ts";

/** Feeds altered deltas to the decoders: none may crash, hang, or make other bytes than those that were signed. */
const USAGE = `npm run fuzz:delta -- [--mutants N] [--seed N]
  --mutants N   default 1000000
  --seed N      default: the time`;

function main(): void {
  const { values } = parseArgs({
    options: { mutants: { type: "string", default: "1000000" }, seed: { type: "string" } },
  });
  const mutants = Number(values.mutants);
  const seed = Number(values.seed ?? Date.now());
  if (!Number.isSafeInteger(mutants) || !Number.isSafeInteger(seed) || mutants < 1)
    throw new Error(USAGE);
  console.log(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const all = specimens(random);
  const counts = new Map<string, number>();
  let slowestMs = 0;
  for (let i = 0; i < mutants; i++) {
    const specimen = all[i % all.length];
    if (specimen === undefined) break;
    const begun = performance.now();
    const { outcome, error } = tryMutant(specimen, random);
    slowestMs = Math.max(slowestMs, performance.now() - begun);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    if (outcome === "crash" || outcome === "wrong bytes") {
      console.error(`mutant ${i} of ${specimen.name}: ${outcome}`, error);
      process.exitCode = 1;
      break;
    }
  }
  console.log(JSON.stringify({ ...Object.fromEntries(counts), slowestMs: Math.round(slowestMs) }));
}

try {
  main();
} catch (error) {
  console.error(messageOf(error));
  process.exitCode = 2;
}
