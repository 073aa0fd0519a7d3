import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { WorkloadAffinity } from "../../model/resources/placement.ts";
import { affinityRejection } from "../adjustment.ts";
import { AffinityIndex, type Workload } from "./affinity-index.ts";

const REGIONS: Readonly<Record<string, string>> = { s1: "r1", s2: "r1", s3: "r2" };
const index = (): AffinityIndex =>
  new AffinityIndex({ sites: Object.keys(REGIONS), regionOf: (site) => REGIONS[site] });
const workload = (
  component: string,
  over: {
    readonly application?: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly affinity?: WorkloadAffinity;
    readonly antiAffinity?: WorkloadAffinity;
  } = {},
): Workload => ({
  namespace: over.namespace ?? "default",
  application: over.application ?? "shop",
  component,
  labels: over.labels ?? {},
  affinities: over.affinity === undefined ? [] : [over.affinity],
  antiAffinities: over.antiAffinity === undefined ? [] : [over.antiAffinity],
});
const SPOTS = [
  { node: "n1", site: "s1" },
  { node: "n2", site: "s1" },
  { node: "n3", site: "s2" },
  { node: "n4", site: "s3" },
];
const allowed = (of: AffinityIndex, newcomer: Workload): readonly string[] =>
  SPOTS.filter((s) => affinityRejection(of.adjustmentFor(newcomer), s) === undefined).map(
    (s) => s.node,
  );

describe("required", () => {
  test.each([
    ["node", ["n1"]],
    ["site", ["n1", "n2"]],
    ["region", ["n1", "n2", "n3"]],
  ] as const)("near to another component on the same %s", (topologyKey, nodes) => {
    const all = index();
    all.add("db", workload("db"), { node: "n1", site: "s1" });
    const term = { component: "db", topologyKey };
    expect(allowed(all, workload("web", { affinity: { required: [term] } }))).toEqual(nodes);
    const away = workload("web", { antiAffinity: { required: [term] } });
    expect(allowed(all, away)).toEqual(
      SPOTS.map((s) => s.node).filter((n) => !nodes.includes(n as never)),
    );
  });

  test("near to something that runs nowhere fits nowhere, but for the first of its own kind", () => {
    const web = workload("web", {
      affinity: { required: [{ component: "db", topologyKey: "site" }] },
    });
    expect(allowed(index(), web)).toEqual([]);
    expect(affinityRejection(index().adjustmentFor(web), { node: "n1", site: "s1" })).toBe(
      "asks for component db on the same site",
    );
    const together = workload("db", {
      affinity: { required: [{ component: "db", topologyKey: "site" }] },
    });
    expect(allowed(index(), together)).toEqual(["n1", "n2", "n3", "n4"]);
    const some = index();
    some.add("db", together, { node: "n3", site: "s2" });
    expect(allowed(some, together)).toEqual(["n3"]);
  });

  test("away from itself: one per node until the nodes are used up, and again when one leaves", () => {
    const alone = workload("web", {
      antiAffinity: { required: [{ component: "web", topologyKey: "node" }] },
    });
    const all = index();
    for (const spot of SPOTS) {
      expect(allowed(all, alone)).toContain(spot.node);
      all.add("web", alone, spot);
      expect(allowed(all, alone)).not.toContain(spot.node);
    }
    expect(allowed(all, alone)).toEqual([]);
    all.remove("web", "n2");
    expect(allowed(all, alone)).toEqual(["n2"]);
  });

  test("who runs keeps off whom it must be away from, though the newcomer says nothing", () => {
    const all = index();
    const shy = workload("db", {
      antiAffinity: {
        required: [{ labelSelector: { matchLabels: { noisy: "yes" } }, topologyKey: "site" }],
      },
    });
    all.add("db", shy, { node: "n1", site: "s1" });
    const noisy = workload("batch", { labels: { noisy: "yes" } });
    expect(allowed(all, noisy)).toEqual(["n3", "n4"]);
    expect(affinityRejection(all.adjustmentFor(noisy), { node: "n2", site: "s1" })).toBe(
      "component db of application shop runs on this site and wants to be away from it",
    );
    expect(allowed(all, workload("batch"))).toEqual(["n1", "n2", "n3", "n4"]);
  });

  test("a term means its own namespace, and by component alone its own application", () => {
    const all = index();
    all.add("x", workload("db", { namespace: "other" }), { node: "n1", site: "s1" });
    all.add("y", workload("db", { application: "billing" }), { node: "n4", site: "s3" });
    const near = (term: object): Workload =>
      workload("web", { affinity: { required: [{ topologyKey: "node", ...term }] } });
    expect(allowed(all, near({ component: "db" }))).toEqual([]);
    expect(allowed(all, near({ application: "billing" }))).toEqual(["n4"]);
  });
});

test("preferences add up by weight, against counts as much as for", () => {
  const all = index();
  all.add("db", workload("db"), { node: "n1", site: "s1" });
  all.add("batch", workload("batch"), { node: "n4", site: "s3" });
  const web = workload("web", {
    affinity: { preferred: [{ component: "db", topologyKey: "node", weight: 30 }] },
    antiAffinity: { preferred: [{ component: "batch", topologyKey: "site", weight: 10 }] },
  });
  const { preferred } = all.adjustmentFor(web);
  expect(Object.fromEntries(preferred?.nodes ?? [])).toEqual({ n1: 0.75 });
  expect(Object.fromEntries(preferred?.sites ?? [])).toEqual({ s3: -0.25 });
});

test("required anti-affinity is never broken by those that come one after the other", () => {
  const term = fc.record({
    component: fc.constantFrom("a", "b", "c"),
    topologyKey: fc.constantFrom("node" as const, "site" as const, "region" as const),
  });
  const workloads = fc
    .tuple(fc.array(term, { maxLength: 2 }), fc.array(term, { maxLength: 2 }))
    .map(([a, b]) => [
      workload("a", { antiAffinity: { required: a } }),
      workload("b", { antiAffinity: { required: b } }),
      workload("c"),
    ]);
  const domainOf = (spot: (typeof SPOTS)[number], key: string): string =>
    key === "node" ? spot.node : key === "site" ? spot.site : (REGIONS[spot.site] ?? "");
  expect.hasAssertions();
  fc.assert(
    fc.property(
      workloads,
      fc.array(fc.tuple(fc.nat(2), fc.nat(3)), { maxLength: 20 }),
      (kinds, comers) => {
        const all = index();
        const placed: { kind: Workload; spot: (typeof SPOTS)[number] }[] = [];
        for (const [which, where] of comers) {
          const [kind, spot] = [kinds[which], SPOTS[where]];
          if (kind === undefined || spot === undefined) continue;
          if (affinityRejection(all.adjustmentFor(kind), spot) !== undefined) continue;
          all.add(kind.component, kind, spot);
          placed.push({ kind, spot });
        }
        const broken = placed.flatMap((one) =>
          one.kind.antiAffinities
            .flatMap((a) => a.required ?? [])
            .flatMap(({ component, topologyKey: key }) =>
              placed.filter(
                (other) =>
                  other !== one &&
                  other.kind.component === component &&
                  domainOf(other.spot, key) === domainOf(one.spot, key),
              ),
            ),
        );
        expect(broken).toEqual([]);
      },
    ),
    { seed: 20_261_125, numRuns: 500 },
  );
});
