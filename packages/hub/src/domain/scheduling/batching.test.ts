import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { BATCH_DELAY_MS, BATCH_DELAY_MS_MAX, BATCH_INSTANCES, batchingOf } from "./batching.ts";

function profile(name: string, scheduler: object): ObjectOf<"PerformanceProfile"> {
  return {
    apiVersion: "fleet.kurator.dev/v1alpha1",
    kind: "PerformanceProfile",
    metadata: { name, uid: name, generation: 1 },
    spec: { scheduler },
  };
}

test("without a profile the defaults hold", () => {
  expect(batchingOf([])).toEqual({ delayMs: BATCH_DELAY_MS, instancesMax: BATCH_INSTANCES });
  expect(batchingOf([profile("a", {})])).toEqual(batchingOf([]));
});

test("the profile named default counts, else the first; each field for itself", () => {
  const first = profile("a", { delay: "100ms", batch: 100 });
  expect(batchingOf([first])).toEqual({ delayMs: 100, instancesMax: 100 });
  expect(batchingOf([first, profile("default", { delay: "1s" })])).toEqual({
    delayMs: 1_000,
    instancesMax: BATCH_INSTANCES,
  });
});

test("a delay that would look like a hang is cut", () => {
  expect(batchingOf([profile("a", { delay: "1h" })]).delayMs).toBe(BATCH_DELAY_MS_MAX);
});
