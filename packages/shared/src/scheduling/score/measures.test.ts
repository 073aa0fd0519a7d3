import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decide } from "../decide.ts";
import { NO_CAPACITY, type NodeFacts, type PlacementRequest, type SiteFacts } from "../facts.ts";
import { weightsOf } from "../weights.ts";
import { costPart, hourlyCost, lowestCost } from "./cost.ts";
import { latency, latencyTo } from "./latency.ts";
import { performancePart } from "./performance.ts";
import { unknownsOf } from "./unknowns.ts";

const site = (over: Partial<SiteFacts> = {}): SiteFacts => ({
  name: "s1",
  known: true,
  labels: {},
  taints: [],
  ...over,
});

const node = (over: Partial<NodeFacts> = {}): NodeFacts => ({
  name: "n1",
  site: site(),
  life: "ready",
  unschedulable: false,
  labels: {},
  taints: [],
  runtimes: ["process"],
  // 1,000 milli and as much of the rest after the reserve.
  capacity: { milliCpu: 10_000, memoryBytes: 10_000, diskBytes: 10_000, gpuCount: 0 },
  allocated: NO_CAPACITY,
  devices: [],
  instanceCount: 0,
  ports: new Set(),
  ...over,
});

const request = (over: Partial<PlacementRequest> = {}): PlacementRequest => ({
  kind: "Deployment",
  amounts: { ...NO_CAPACITY, milliCpu: 950 },
  otherAmounts: {},
  runtime: "process",
  ports: [],
  placements: [],
  nodeSelector: {},
  tolerations: [],
  ...over,
});

/** Numbers that must decide nothing. */
const NO_NUMBERS = [Number.NaN, -1, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];

describe("cost", () => {
  test("is the price of the share that the instance takes, and of its data on the way", () => {
    const there = node({
      site: site({ region: "eu", egressPricePerGb: new Map([["us", 0.02]]) }),
      price: { perHour: 2 },
    });
    expect(hourlyCost(there, request())).toBeCloseTo(0.2);
    const withData = request({ placements: [{ data: { region: "us", gbPerDay: 240 } }] });
    expect(hourlyCost(there, withData)).toBeCloseTo(0.2 + 0.2);
    const local = request({ placements: [{ data: { region: "eu", gbPerDay: 240 } }] });
    expect(hourlyCost(there, local)).toBeCloseTo(0.2);
  });

  test("of an instance that asks for nothing is that of one of the node's places", () => {
    expect(hourlyCost(node({ price: { perHour: 2 } }), request({ amounts: NO_CAPACITY }))).toBe(
      0.002,
    );
  });

  test("takes the spot price for who may be moved, the list over the site, the site for want of a list", () => {
    const both = node({ price: { perHour: 10, spotPerHour: 3 } });
    expect(hourlyCost(both, request({ spot: true }))).toBeCloseTo(0.3);
    expect(hourlyCost(both, request())).toBeCloseTo(1);
    const priced = site({ pricePerNodeHour: 4 });
    expect(hourlyCost(node({ site: priced, price: { perHour: 10 } }), request())).toBeCloseTo(1);
    expect(hourlyCost(node({ site: priced }), request())).toBeCloseTo(0.4);
  });

  test("is unknown, and its part neutral, when any of it is", () => {
    expect(hourlyCost(node(), request())).toBeUndefined();
    const data = request({ placements: [{ data: { region: "us", gbPerDay: 1 } }] });
    expect(hourlyCost(node({ price: { perHour: 1 } }), data)).toBeUndefined();
    for (const bad of NO_NUMBERS) {
      expect(hourlyCost(node({ price: { perHour: bad } }), request())).toBeUndefined();
      expect(
        hourlyCost(
          node({ price: { perHour: 1 }, site: site({ egressPricePerGb: new Map([["us", bad]]) }) }),
          data,
        ),
      ).toBeUndefined();
      expect([costPart(bad, 1), costPart(1, bad)]).toEqual([0.5, 0.5]);
    }
    expect(lowestCost([...NO_NUMBERS, undefined, 3, 2])).toBe(2);
    expect(lowestCost([undefined])).toBeUndefined();
  });
});

describe("a promised latency", () => {
  const promise = (maxMs: number, to = "s2"): PlacementRequest =>
    request({ placements: [{ latency: { to, maxMs } }] });

  test("rejects a place that is known to be too far, with both numbers", () => {
    const far = node({ site: site({ latencies: new Map([["s2", 35.251]]) }) });
    expect(latency(promise(20), far)).toBe("latency to s2: at most 20 ms, measured 35.25 ms (p95)");
    expect(latency(promise(35.251), far)).toBeUndefined();
    const decision = decide(promise(20), new Map([["n1", far]]), weightsOf(undefined));
    expect(decision.candidates[0]).toMatchObject({ filter: "Latency" });
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])(
    "is neither kept nor broken by a latency of %d",
    (ms) => {
      const odd = node({ site: site({ latencies: new Map([["s2", ms]]) }) });
      expect(latency(promise(20), odd)).toBeUndefined();
      expect(performancePart(odd, promise(20))).toBe(performancePart(node(), promise(20)));
      expect(unknownsOf(odd, promise(20))).toContain("latency to s2");
    },
  );

  test("passes where nothing is known, which the candidate says", () => {
    const [only] = decide(promise(1), new Map([["n1", node()]]), weightsOf(undefined)).candidates;
    expect(only?.unknown).toEqual(["price", "latency to s2"]);
    expect(only?.parts?.performance).toBe(0.5);
  });

  test("is kept within the place itself, by name or by region", () => {
    expect(latencyTo(site(), "s1")).toBe(0);
    expect(latency(promise(1, "eu"), node({ site: site({ region: "eu" }) }))).toBeUndefined();
  });
});

describe("what was measured", () => {
  const measured = node({
    site: site({ latencyMs: 50 }),
    measures: { networkBitsPerSecond: 3e9, diskWritesPerSecond: 250 },
  });

  test("weighs as the profile says; its half is beside that of the load", () => {
    const weights = (latencyWeight: number, network: number, disk: number) =>
      weightsOf({
        performanceAware: {
          metrics: [
            { name: "p95-latency", weight: latencyWeight },
            { name: "network-bandwidth", weight: network },
            { name: "disk-iops", weight: disk },
          ],
        },
      }).performance;
    expect(performancePart(measured, request())).toBeCloseTo((0.5 + 0.5) / 2);
    expect(performancePart(measured, request(), weights(0, 1, 0))).toBeCloseTo((0.75 + 0.5) / 2);
    expect(performancePart(measured, request(), weights(0, 0, 1))).toBeCloseTo((0.2 + 0.5) / 2);
    expect(performancePart(measured, request(), weights(1, 1, 2))).toBeCloseTo(
      ((0.5 + 0.75 + 2 * 0.2) / 4 + 0.5) / 2,
    );
  });

  test("a profile whose metrics all weigh nothing, or are not known, leaves latency alone", () => {
    for (const name of ["p95-latency", "of-our-own"])
      expect(
        weightsOf({ performanceAware: { metrics: [{ name, weight: 0 }] } }).performance,
      ).toBeUndefined();
  });

  test("the site's own word on its users goes before the way to the hub", () => {
    const near = node({ measures: { latencyP95Ms: 50 } });
    expect(performancePart(near, request())).toBeCloseTo((0.5 + 0.5) / 2);
    const told = node({ site: site({ latencyMs: 150 }), measures: { latencyP95Ms: 50 } });
    expect(performancePart(told, request())).toBeCloseTo((0.25 + 0.5) / 2);
  });
});

test("whatever was measured and priced, parts stay within [0, 1] and no number that is none wins", () => {
  const odd = fc.oneof(
    fc.double({ noNaN: false }),
    fc.constantFrom(0, -1, 1e308, Number.NaN, Number.POSITIVE_INFINITY),
  );
  fc.assert(
    fc.property(fc.array(odd, { minLength: 6, maxLength: 6 }), fc.boolean(), (raw, spot) => {
      const [perHour = 0, spotPerHour = 0, ms = 0, bits = 0, iops = 0, perGb = 0] = raw;
      const strange = node({
        site: site({
          latencies: new Map([["s2", ms]]),
          egressPricePerGb: new Map([["us", perGb]]),
        }),
        price: { perHour, spotPerHour },
        measures: { latencyP95Ms: ms, networkBitsPerSecond: bits, diskWritesPerSecond: iops },
      });
      const asked = request({ spot, placements: [{ data: { region: "us", gbPerDay: 1 } }] });
      const all = { latency: 1, network: 1, disk: 1 };
      const cost = hourlyCost(strange, asked);
      for (const part of [
        performancePart(strange, asked, all),
        costPart(cost, lowestCost([cost, 1])),
      ])
        expect(part >= 0 && part <= 1).toBe(true);
      const isNothing = raw.every((value) => !(value > 0));
      const unmeasured = performancePart(node(), asked, all);
      expect(isNothing ? performancePart(strange, asked, all) : unmeasured).toBe(unmeasured);
    }),
    { seed: 42, numRuns: 500 },
  );
});
