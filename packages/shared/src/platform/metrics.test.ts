import { expect, test } from "vitest";
import { AssertionError } from "../kernel/assert.ts";
import type { MetricDefinition } from "../kernel/service.ts";
import { createMetrics, METRIC_SERIES_MAX } from "./metrics.ts";

const DEFINITIONS: readonly MetricDefinition[] = [
  { name: "up_total", kind: "counter", help: "Up messages.", labels: ["kind"] },
  { name: "nodes", kind: "gauge", help: "Nodes." },
  { name: "pass_seconds", kind: "histogram", help: "Length of a pass.", buckets: [0.1, 1] },
];

test("counters, gauges and histograms are printed as Prometheus reads them", async () => {
  const metrics = createMetrics(DEFINITIONS);
  metrics.count("up_total", { kind: "birth" });
  metrics.count("up_total", { kind: "birth" }, 2);
  metrics.set("nodes", 7);
  metrics.observe("pass_seconds", 0.5);
  const text = await metrics.text();
  expect(text).toContain('up_total{kind="birth"} 3');
  expect(text).toContain("nodes 7");
  expect(text).toContain('pass_seconds_bucket{le="0.1"} 0');
  expect(text).toContain('pass_seconds_bucket{le="1"} 1');
  expect(metrics.contentType).toContain("text/plain");
});

test("two instances in one process do not see each other", async () => {
  const [a, b] = [createMetrics(DEFINITIONS), createMetrics(DEFINITIONS)];
  a.set("nodes", 1);
  b.set("nodes", 2);
  expect(await a.text()).toContain("nodes 1");
});

test.each<[string, (m: ReturnType<typeof createMetrics>) => void]>([
  ["an unknown metric", (m) => m.count("nope")],
  ["an unknown label", (m) => m.set("nodes", 1, { node: "n1" })],
  ["a missing label", (m) => m.count("up_total")],
  ["a wrong label", (m) => m.count("up_total", { knd: "birth" })],
  ["a counter that is set", (m) => m.set("up_total", 1, { kind: "birth" })],
  ["a gauge that is counted", (m) => m.count("nodes")],
  ["a gauge that is observed", (m) => m.observe("nodes", 1)],
])("%s is a bug, not a new series", (_, use) => {
  expect(() => use(createMetrics(DEFINITIONS))).toThrow(AssertionError);
});

test("a label whose values are no closed set is found out", () => {
  const metrics = createMetrics(DEFINITIONS);
  expect(() => {
    for (let i = 0; i <= METRIC_SERIES_MAX; i++) metrics.count("up_total", { kind: `k${i}` });
  }).toThrow(AssertionError);
});

test.each(["pass_ms", "pass_milliseconds", "Pass", "pass-seconds"])("%s is no name", (name) => {
  expect(() => createMetrics([{ name, kind: "gauge", help: "h" }])).toThrow(AssertionError);
});

test("a metric that is defined twice is a bug", () => {
  expect(() => createMetrics([...DEFINITIONS, ...DEFINITIONS])).toThrow(AssertionError);
});
