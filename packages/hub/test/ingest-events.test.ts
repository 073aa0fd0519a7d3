import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import {
  EVENT_QUEUE_LENGTH_MAX,
  EVENTS_PER_OBJECT_SHARE,
  EventRecorder,
} from "../src/app/events/event-recorder.ts";
import { EVENT_TTL_MS } from "../src/domain/events/event.ts";
import { MemoryStore } from "./support/memory-store.ts";
import { edgeNode } from "./support/node-builders.ts";

function setUp(eventsMax?: number) {
  const clock = new ManualClock();
  const store = new MemoryStore();
  const metrics = new RecordingMetrics();
  const recorder = new EventRecorder(eventsMax === undefined ? {} : { eventsMax }, {
    store,
    clock,
    random: new SeededRandom(1),
    log: silentLog(),
    metrics,
  });
  return { clock, store, metrics, recorder };
}

const happening = (message = "it happened") =>
  ({ about: edgeNode("n1"), type: "Warning", reason: "Tested", message }) as const;

test("an event names its object, its reason and its time", async () => {
  const { clock, store, recorder } = setUp();
  recorder.record(happening());
  await clock.advance(100);
  expect(store.list("Event")).toMatchObject([
    {
      metadata: { namespace: "default" },
      involvedObject: { kind: "EdgeNode", name: "n1" },
      reason: "Tested",
      type: "Warning",
      count: 1,
    },
  ]);
});

test("the same event within an hour raises the count and the time of the first one", async () => {
  const { clock, store, recorder } = setUp();
  recorder.record(happening());
  await clock.advance(1000);
  recorder.record(happening());
  recorder.record(happening());
  await clock.advance(1000);
  const [event, ...rest] = store.list("Event");
  expect(rest).toEqual([]);
  expect(event?.count).toBe(3);
  expect(Date.parse(event?.lastTimestamp ?? "")).toBeGreaterThan(
    Date.parse(event?.firstTimestamp ?? ""),
  );
});

test("an event is another one an hour later, or with another message", async () => {
  const { clock, store, recorder } = setUp();
  recorder.record(happening());
  recorder.record(happening("else"));
  await clock.advance(1000);
  expect(store.list("Event")).toHaveLength(2);
  const before = store.list("Event").map((e) => e.metadata.uid);
  await clock.advance(EVENT_TTL_MS);
  recorder.record(happening());
  await clock.advance(1000);
  const again = store.list("Event").filter((e) => !before.includes(e.metadata.uid));
  expect(again).toMatchObject([{ count: 1 }]);
});

test("events are swept after an hour, and the oldest above the limit; a clock at 1970 sweeps nothing", async () => {
  const { clock, store, recorder } = setUp(3);
  for (let i = 0; i < 5; i++) {
    recorder.record(happening(`message ${i}`));
    await clock.advance(1000);
  }
  await recorder.sweep();
  expect(store.list("Event").map((e) => e.message)).toHaveLength(3);
  expect(store.list("Event").map((e) => e.message)).not.toContain("message 0");
  clock.setWall(0);
  await recorder.sweep();
  expect(store.list("Event")).toHaveLength(3);
  clock.setWall(1_750_000_000_000 + 2 * EVENT_TTL_MS);
  await recorder.sweep();
  expect(store.list("Event")).toEqual([]);
});

test("one object that tells too much costs its own events, not those of others", async () => {
  const { clock, store, recorder } = setUp(EVENTS_PER_OBJECT_SHARE + 10);
  recorder.record({ ...happening("of the quiet node"), about: edgeNode("quiet") });
  await clock.advance(1000);
  for (let i = 0; i < 2 * EVENTS_PER_OBJECT_SHARE; i++) recorder.record(happening(`flood ${i}`));
  await clock.advance(1000);
  await recorder.sweep();
  expect(store.list("Event")).toHaveLength(EVENTS_PER_OBJECT_SHARE + 10);
  expect(store.list("Event").map((e) => e.message)).toContain("of the quiet node");
});

test("a store that fails and a full queue cost events, never an exception", async () => {
  const { clock, store, recorder, metrics } = setUp();
  store.failures.push(new Error("disk full"));
  recorder.record(happening());
  await clock.advance(1000);
  expect(store.list("Event")).toEqual([]);
  for (let i = 0; i < EVENT_QUEUE_LENGTH_MAX + 5; i++) recorder.record(happening(`message ${i}`));
  expect(metrics.total("flotilla_hub_events_dropped_total", { cause: "queue-full" })).toBe(5);
  expect(metrics.total("flotilla_hub_events_dropped_total", { cause: "store" })).toBe(1);
});

test("what was recorded before the end of the service is stored", async () => {
  const { store, recorder } = setUp();
  const end = new AbortController();
  const running = recorder.run(end.signal);
  recorder.record(happening());
  end.abort();
  await running;
  expect(store.list("Event")).toHaveLength(1);
});
