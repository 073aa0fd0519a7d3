import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import type { InstanceRecord } from "../../domain/reconcile/instance-record.ts";
import { UsageCollector } from "./usage-collector.ts";

const record = (id: string, pid: number, port?: number): InstanceRecord =>
  ({
    id,
    runId: `run-${id}`,
    intent: "running",
    processes: [{ pid, container: "c", startTicks: 1, bootId: "b" }],
    desired: port === undefined ? {} : { scrape: { port, path: "/metrics", names: ["queue"] } },
  }) as unknown as InstanceRecord;

test("CPU and metrics of each instance are told, and the reconciler is woken when they moved", async () => {
  const clock = new ManualClock();
  const cpu = new Map([
    [1, 0],
    [2, 0],
  ]);
  let page: string | undefined = "queue 7\n";
  let wakes = 0;
  const usage = new UsageCollector(
    { host: "10.0.0.1" },
    {
      store: { instances: () => [record("a", 1, 80), record("b", 2)] },
      probe: { read: () => new Map(cpu) },
      pages: {
        read: ({ host, port, path }) =>
          Promise.resolve(`${host}:${port}${path}` === "10.0.0.1:80/metrics" ? page : undefined),
      },
      clock,
      log: silentLog(),
      onMoved: () => (wakes += 1),
    },
  );
  const { signal } = new AbortController();
  await usage.pass(signal);
  expect(usage.useOf("a")).toEqual({ metrics: { queue: 7 } });
  await clock.advance(10_000);
  cpu.set(1, 5_000);
  await usage.pass(signal);
  expect(usage.useOf("a")).toEqual({ milliCpu: 500, metrics: { queue: 7 } });
  expect(usage.useOf("b")).toEqual({ milliCpu: 0 });
  expect(wakes).toBe(2);
  page = undefined;
  await clock.advance(10_000);
  cpu.set(1, 10_000);
  await usage.pass(signal);
  expect(usage.useOf("a")).toEqual({ milliCpu: 500 });
  await usage.pass(signal);
  expect(wakes).toBe(3);
});
