import { expect, test } from "vitest";
import { AssertionError } from "../kernel/assert.ts";
import type { Service } from "../kernel/service.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { SeededRandom } from "../testing/seeded-random.ts";
import { RecordingLog } from "../testing/silent-log.ts";
import {
  runServices,
  SERVICE_DRAIN_MS_MAX,
  SERVICE_RESTART,
  SERVICE_STABLE_AFTER_MS,
} from "./supervisor.ts";

/** Runs the services under a manual clock; `ended` is undefined until `runServices` has settled. */
function supervise(services: readonly Service[], clock = new ManualClock()) {
  const log = new RecordingLog();
  const stop = new AbortController();
  const state: { ended?: "resolved" | Error } = {};
  const done = runServices(
    { services, signal: stop.signal },
    { log, clock, random: new SeededRandom(42) },
  ).then(
    () => {
      state.ended = "resolved";
    },
    (error: Error) => {
      state.ended = error;
    },
  );
  return { clock, log, stop, state, done };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function steady(name: string, events: string[]): Service {
  return {
    name,
    run: async (signal) => {
      events.push(`${name} starts`);
      await untilAborted(signal);
      events.push(`${name} stops`);
    },
  };
}

test("services start in order and stop in reverse, each after the next has stopped", async () => {
  const events: string[] = [];
  const { clock, stop, state } = supervise(["a", "b", "c"].map((name) => steady(name, events)));
  await clock.advance(0);
  stop.abort();
  await clock.advance(0);
  expect(events).toEqual(["a starts", "b starts", "c starts", "c stops", "b stops", "a stops"]);
  expect(state.ended).toBe("resolved");
  expect(clock.sleeperCount).toBe(0);
});

test("a failed service starts again with growing delays, and the others run on", async () => {
  const clock = new ManualClock();
  const starts: number[] = [];
  const events: string[] = [];
  const flaky: Service = {
    name: "flaky",
    run: () => {
      starts.push(clock.bootMs());
      return Promise.reject(new Error("boom"));
    },
  };
  const { log, stop, state } = supervise([steady("steady", events), flaky], clock);
  await clock.advance(300_000);
  const delays = starts.slice(1).map((at, i) => at - (starts[i] ?? 0));
  expect(starts.length).toBeGreaterThan(8);
  for (const [i, delay] of delays.entries()) {
    expect(delay).toBeLessThanOrEqual(SERVICE_RESTART.baseMs * 2 ** i);
    expect(delay).toBeLessThanOrEqual(SERVICE_RESTART.capMs);
  }
  expect(Math.max(...delays)).toBeGreaterThan(SERVICE_RESTART.capMs / 4);
  expect(events).toEqual(["steady starts"]);
  expect(log.lines.find((line) => line.level === "error")?.fields["service"]).toBe("flaky");
  stop.abort();
  await clock.advance(0);
  expect(state.ended).toBe("resolved");
});

test("a service that ran for long starts again from the shortest delay", async () => {
  const clock = new ManualClock();
  const starts: number[] = [];
  const service: Service = {
    name: "long",
    run: async (signal) => {
      starts.push(clock.bootMs());
      await clock.sleep(SERVICE_STABLE_AFTER_MS, signal);
      throw new Error("boom");
    },
  };
  const { stop, done } = supervise([service], clock);
  await clock.advance(20 * SERVICE_STABLE_AFTER_MS);
  const delays = starts.slice(1).map((at, i) => at - (starts[i] ?? 0) - SERVICE_STABLE_AFTER_MS);
  expect(delays.length).toBeGreaterThan(10);
  for (const delay of delays) expect(delay).toBeLessThanOrEqual(SERVICE_RESTART.baseMs);
  stop.abort();
  await done;
});

test("an AbortError after the stop is a normal end; one before it is a failure", async () => {
  const clock = new ManualClock();
  let runs = 0;
  const service: Service = {
    name: "aborting",
    run: async (signal) => {
      runs++;
      if (runs === 1) throw new DOMException("leaked", "AbortError");
      await clock.sleep(1e9, signal);
    },
  };
  const { log, stop, state } = supervise([service], clock);
  await clock.advance(SERVICE_RESTART.baseMs);
  expect(runs).toBe(2);
  stop.abort();
  await clock.advance(0);
  expect(state.ended).toBe("resolved");
  expect(log.lines.filter((line) => line.level === "warn")).toEqual([]);
});

test("a service that does not stop is left behind after the drain limit", async () => {
  const events: string[] = [];
  const stuck: Service = { name: "stuck", run: () => new Promise(() => {}) };
  const { clock, log, stop, state } = supervise([steady("first", events), stuck]);
  await clock.advance(0);
  stop.abort();
  await clock.advance(SERVICE_DRAIN_MS_MAX - 1);
  expect(state.ended).toBeUndefined();
  await clock.advance(1);
  expect(state.ended).toBe("resolved");
  expect(events).toEqual(["first starts", "first stops"]);
  expect(log.lines.at(-1)?.message).toBe("service did not stop in time");
});

test("a bug in one service stops all and is thrown", async () => {
  const events: string[] = [];
  const buggy: Service = { name: "buggy", run: () => Promise.reject(new AssertionError("never")) };
  const { clock, state } = supervise([steady("other", events), buggy]);
  await clock.advance(0);
  expect(events).toEqual(["other starts", "other stops"]);
  expect(state.ended).toBeInstanceOf(AssertionError);
});

test("when every service has ended by itself, so has the whole", async () => {
  const once: Service = { name: "once", run: () => Promise.resolve() };
  const { clock, state } = supervise([once, once]);
  await clock.advance(0);
  expect(state.ended).toBe("resolved");
});

test("nothing starts when the signal is aborted already", async () => {
  const events: string[] = [];
  const stop = new AbortController();
  stop.abort();
  await runServices(
    { services: [steady("a", events)], signal: stop.signal },
    { log: new RecordingLog(), clock: new ManualClock(), random: new SeededRandom(1) },
  );
  expect(events).toEqual([]);
});
