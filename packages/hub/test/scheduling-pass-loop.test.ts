import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { expect, onTestFinished, test } from "vitest";
import { PassLoop, REST_MS_MAX } from "../src/app/control/pass-loop.ts";
import { concerns } from "../src/app/control/relevance.ts";
import type { LogEntry } from "../src/app/resources/ports.ts";
import { MemoryStore } from "./support/memory-store.ts";
import { assignment, edgeNode, reading, reportedInstance } from "./support/node-builders.ts";
import { configMap } from "./support/objects.ts";

function scene(pass: (clock: ManualClock) => Promise<void> = async () => {}) {
  const clock = new ManualClock();
  const store = new MemoryStore();
  const metrics = new RecordingMetrics();
  const stop = new AbortController();
  let passes = 0;
  const loop = new PassLoop(
    { name: "test", resyncMs: 1000, coalesceMs: 20 },
    {
      store,
      clock,
      metrics,
      isRelevant: (entry) => concerns(entry, ["ConfigMap", "EdgeNode"]),
      pass: async () => {
        passes++;
        await pass(clock);
      },
    },
  );
  const running = loop.run(stop.signal);
  onTestFinished(() => stop.abort());
  const put = (object: Parameters<typeof configMap>[1]) =>
    store.commit({
      changes: [
        {
          key: { kind: "ConfigMap", namespace: "default", name: "c" },
          expect: "any",
          object: configMap("c", object),
        },
      ],
    });
  const putNode = (node: ReturnType<typeof edgeNode>) =>
    store.commit({
      changes: [
        { key: { kind: "EdgeNode", namespace: "", name: "n" }, expect: "any", object: node },
      ],
    });
  return { clock, metrics, stop, running, put, putNode, passes: () => passes };
}

test("a pass at the start, one for many changes together, one at each resync", async () => {
  const { clock, put, passes, metrics } = scene();
  await clock.advance(0);
  expect(passes()).toBe(1);
  for (const v of ["1", "2", "3"]) await put({ v });
  await clock.advance(20);
  expect(passes()).toBe(2);
  await clock.advance(2000);
  expect(passes()).toBe(4);
  expect(metrics.observations("flotilla_hub_pass_duration_seconds")).toHaveLength(4);
});

test("a change during a pass is not lost", async () => {
  const during: { change: (() => Promise<unknown>) | undefined } = { change: undefined };
  const { clock, put, passes } = scene(async () => {
    const { change } = during;
    during.change = undefined;
    await change?.();
  });
  await clock.advance(0);
  during.change = () => put({ v: "2" });
  await put({ v: "1" });
  await clock.advance(100);
  expect(passes()).toBe(3);
});

test("a node's load alone causes no pass, its capacity and its life do", async () => {
  const { clock, putNode, passes } = scene();
  const { capacity, usage } = reading();
  await putNode(edgeNode("n", { life: "ready", capacity, usage }));
  await clock.advance(100);
  const before = passes();
  await putNode(edgeNode("n", { life: "ready", capacity, usage: { ...usage, cpuRatio: 0.9 } }));
  await clock.advance(100);
  expect(passes()).toBe(before);
  await putNode(edgeNode("n", { life: "suspect", capacity, usage }));
  await clock.advance(100);
  expect(passes()).toBe(before + 1);
});

test("of what a node reports of an instance only readiness and progress cause a pass", async () => {
  const entry = (before: object, after: object): LogEntry => {
    const of = (reported: object) => {
      const base = assignment("api-0", "n");
      const status = { reportedBy: "n", reported: { ...reportedInstance("i"), ...reported } };
      return { ...base, status };
    };
    const key = { kind: "Assignment", namespace: "shop", name: "api-0" } as const;
    return { revision: 2, type: "MODIFIED", key, object: of(after), previous: of(before) };
  };
  const isSeen = (before: object, after: object) =>
    concerns(entry(before, after), ["Assignment", "EdgeNode"]);
  expect(isSeen({}, { restartCount: 3, message: "exit 1", startedAt: "x", pid: 7 })).toBe(false);
  expect(isSeen({}, { ready: false })).toBe(true);
  expect(isSeen({}, { phase: "Failed" })).toBe(true);
  expect(isSeen({}, { specDigest: "other" })).toBe(true);
});

test("a long pass is followed by a rest twice as long, but by none that keeps changes waiting", async () => {
  let tookMs = 100;
  const { clock, put, passes } = scene((itsClock) => itsClock.sleep(tookMs));
  await clock.advance(tookMs);
  await put({ v: "1" });
  await clock.advance(199);
  expect(passes()).toBe(1);
  await clock.advance(1);
  expect(passes()).toBe(2);
  tookMs = 10_000;
  await put({ v: "2" });
  await clock.advance(100 + 200 + tookMs);
  expect(passes()).toBe(3);
  await put({ v: "3" });
  await clock.advance(REST_MS_MAX);
  expect(passes()).toBe(4);
  tookMs = 0;
  await clock.advance(10_000 + REST_MS_MAX);
  const before = passes();
  await put({ v: "4" });
  await clock.advance(20);
  expect(passes()).toBe(before + 1);
});

test("a pass that throws ends the run with that error", async () => {
  const { running } = scene(() => Promise.reject(new Error("disk full")));
  await expect(running).rejects.toThrow("disk full");
});

test("it ends when it is told to, asleep or not", async () => {
  const { clock, stop, running } = scene();
  await clock.advance(10);
  stop.abort();
  await running;
  expect(clock.sleeperCount).toBe(0);
});
