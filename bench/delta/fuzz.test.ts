import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { expect, test } from "vitest";
import { specimens, tryMutant } from "./fuzz.ts";

const SEED = 20_261_125;
const MUTANTS = 10_000;

test(`of ${MUTANTS} altered deltas (seed ${SEED}) none crashes a decoder or makes other bytes than those that were signed`, () => {
  const random = new SeededRandom(SEED);
  const all = specimens(random);
  expect(new Set(all.flatMap((s) => s.manifest.blocks.map((b) => b.codec)))).toEqual(
    new Set(["weights", "program", "bsdiff", "prefix", "brotli", "planes"]),
  );
  const bad: unknown[] = [];
  let refused = 0;
  for (let i = 0; i < MUTANTS; i++) {
    const specimen = all[i % all.length];
    if (specimen === undefined) break;
    const { outcome, error } = tryMutant(specimen, random);
    if (outcome === "refused") refused += 1;
    else if (outcome !== "same bytes") bad.push({ i, specimen: specimen.name, outcome, error });
  }
  expect(bad).toEqual([]);
  // Mutants that alter nothing that counts are few: else the test would look at nothing.
  expect(refused).toBeGreaterThan(MUTANTS / 2);
}, 120_000);
