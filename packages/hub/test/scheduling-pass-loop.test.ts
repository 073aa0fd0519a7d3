import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { expect, onTestFinished, test } from "vitest";
import { PassLoop } from "../src/app/control/pass-loop.ts";
import { concerns } from "../src/app/control/relevance.ts";
import { MemoryStore } from "./support/memory-store.ts";
import { edgeNode, reading } from "./support/node-builders.ts";
import { configMap } from "./support/objects.ts";

function scene(pass: () => Promise<void> = async () => {}) {
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
        await pass();
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
