import type { ProbePlan } from "@flotilla/shared/model/measures";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { afterEach, expect, test } from "vitest";
import type { OutboxDraft } from "../state/ports.ts";
import { MACHINE_INTERVAL_MS, MEASURE_INTERVAL_MS, MeasureCollector } from "./measure-collector.ts";

const PLAN: ProbePlan = {
  intervalMs: 10_000,
  timeoutMs: 500,
  targets: [{ site: "south", host: "south", port: 1 }],
};

let stop = new AbortController();
afterEach(() => {
  stop.abort();
  stop = new AbortController();
});

function rig(options: { readonly diskProbe: boolean } = { diskProbe: false }) {
  const clock = new ManualClock();
  const queued: OutboxDraft[] = [];
  const metrics = new RecordingMetrics();
  const state = {
    plan: undefined as ProbePlan | undefined,
    hasSession: true,
    ms: 5 as number | undefined,
  };
  const probed: string[] = [];
  const collector = new MeasureCollector(options, {
    probe: {
      linkSpeed: () => Promise.resolve(1e9),
      diskWritesPerSecond: () => Promise.resolve(800),
      connectMs: ({ host, port }, timeoutMs) => {
        probed.push(`${host}:${port}/${timeoutMs}`);
        return Promise.resolve(state.ms);
      },
    },
    store: { enqueue: (draft) => void queued.push(draft) },
    clock,
    log: silentLog(),
    metrics,
    plan: () => state.plan,
    hub: () => ({ host: "hub", port: 7883 }),
    hasSession: () => state.hasSession,
    onReport: () => undefined,
  });
  void collector.run(stop.signal);
  return { clock, queued, state, probed, collector };
}

test("the link and the way to the hub are measured every five minutes, the disk only when that is asked for", async () => {
  const plain = rig();
  await plain.clock.advance(MACHINE_INTERVAL_MS);
  expect(plain.probed).toEqual(["hub:7883/5000", "hub:7883/5000"]);
  expect(plain.queued[0]?.body).toEqual({
    measures: {
      networkBitsPerSecond: 1e9,
      hubLatency: { p50Ms: 5, p95Ms: 5, lossRatio: 0, sampleCount: 1 },
    },
  });
  const withDisk = rig({ diskProbe: true });
  await withDisk.clock.advance(0);
  expect(withDisk.queued[0]?.body).toMatchObject({ measures: { diskWritesPerSecond: 800 } });
});

test("the prober measures the targets of its plan at its interval, and forgets what it is no more asked for", async () => {
  const { clock, probed, queued, state, collector } = rig();
  state.plan = PLAN;
  await clock.advance(MEASURE_INTERVAL_MS);
  probed.length = 0;
  await clock.advance(3 * PLAN.intervalMs);
  expect(probed.filter((p) => p === "south:1/500")).toHaveLength(3);
  expect(collector.birthFacts().measures?.latencies).toMatchObject([{ site: "south", p95Ms: 5 }]);
  state.plan = { ...PLAN, targets: [{ site: "south", host: "moved", port: 1 }] };
  state.ms = undefined;
  await clock.advance(PLAN.intervalMs);
  expect(collector.birthFacts().measures?.latencies).toEqual([
    { site: "south", lossRatio: 1, sampleCount: 1 },
  ]);
  state.plan = undefined;
  await clock.advance(PLAN.intervalMs);
  expect(queued.at(-1)?.body).not.toHaveProperty("measures.latencies");
});

test("without a session nothing is written; the next birth says what was measured", async () => {
  const { clock, queued, state, collector } = rig();
  state.hasSession = false;
  await clock.advance(100 * MEASURE_INTERVAL_MS);
  expect(queued.length).toBeLessThanOrEqual(1);
  queued.length = 0;
  expect(collector.birthFacts().measures?.hubLatency?.sampleCount).toBe(20);
  state.hasSession = true;
  await clock.advance(MEASURE_INTERVAL_MS);
  expect(queued).toEqual([]);
});
