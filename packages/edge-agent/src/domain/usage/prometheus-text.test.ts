import fc from "fast-check";
import { expect, test } from "vitest";
import { metricsIn, nextMetrics } from "./prometheus-text.ts";

const PAGE = `# HELP queue_length Waiting.
# TYPE queue_length gauge
queue_length{queue="a b } 7",kind="x"} 3
queue_length{queue="b"} 4.5 1700000000000
queue_length_total 99
http_requests_total 1.2e3
broken NaN
negative -1
huge 1e308
`;

test("the samples of a metric are summed, whatever their labels", () => {
  const names = ["queue_length", "http_requests_total", "absent", "broken", "negative", "huge"];
  expect(Object.fromEntries(metricsIn(PAGE, names))).toEqual({
    queue_length: 7.5,
    http_requests_total: 1200,
  });
});

test("whatever the page, only sound numbers are told", () => {
  fc.assert(
    fc.property(fc.string(), fc.double(), (text, value) => {
      const found = metricsIn(`${text}\nm ${value}\n`, ["m"]);
      expect([...found.values()].every((v) => v >= 0 && v <= 1e15)).toBe(true);
    }),
    { seed: 20_261_125 },
  );
});

test("small steps are not told", () => {
  const told = new Map([["m", 100]]);
  expect(nextMetrics(told, new Map([["m", 109]]))).toEqual(told);
  expect(nextMetrics(told, new Map([["m", 110]])).get("m")).toBe(110);
  expect(nextMetrics(new Map([["m", 0]]), new Map([["m", 1]])).get("m")).toBe(1);
  expect(nextMetrics(told, new Map())).toEqual(new Map());
});
