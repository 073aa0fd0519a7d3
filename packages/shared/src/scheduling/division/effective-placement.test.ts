import { expect, test } from "vitest";
import type { Component } from "../../model/resources/application.ts";
import type { Placement } from "../../model/resources/placement.ts";
import { effectivePlacement } from "./effective-placement.ts";

const component = (placement?: Placement, over: object = {}): Component => ({
  name: "web",
  type: "Deployment",
  template: { spec: { template: { spec: { containers: [{ name: "c", command: ["x"] }] } } } },
  ...(placement === undefined ? {} : { placement }),
  ...over,
});

test("filters add up; what can be said once is said by the component, else by the policy, else by the fleet", () => {
  const fleet: Placement = {
    compliance: { residency: "eu" },
    replicaScheduling: { replicaSchedulingType: "Duplicated" },
    antiAffinity: { required: [{ component: "web", topologyKey: "node" }] },
  };
  const policy = {
    placement: {
      clusterAffinity: { clusterNames: ["a", "b"] },
      replicaScheduling: { replicaDivisionPreference: "Aggregated" as const },
    },
    autoscaling: { minReplicas: 1, maxReplicas: 3 },
  };
  const plain = effectivePlacement(policy, fleet, component());
  expect(plain.placements).toEqual([fleet, policy.placement]);
  expect(plain.rules?.scheduling).toEqual(policy.placement.replicaScheduling);
  expect(plain.antiAffinities).toEqual([fleet.antiAffinity]);
  expect(plain.autoscaling?.maxReplicas).toBe(3);
  const own = component(
    { replicaScheduling: { replicaDivisionPreference: "Spread" } },
    { autoscaling: { minReplicas: 2, maxReplicas: 9 } },
  );
  const spread = effectivePlacement(policy, fleet, own);
  expect(spread.rules?.scheduling?.replicaDivisionPreference).toBe("Spread");
  expect(spread.autoscaling?.maxReplicas).toBe(9);
  expect(effectivePlacement(undefined, undefined, component()).rules).toBeUndefined();
});

test("a traffic split is static weights, unless the component divides itself", () => {
  const policy = {
    distribution: { mode: "ActiveActive" as const, trafficSplit: { a: 60, b: 40 } },
  };
  const { rules, trafficSplit } = effectivePlacement(policy, undefined, component());
  expect(trafficSplit).toEqual({ a: 60, b: 40 });
  expect(rules?.scheduling?.weightPreference?.staticWeightList).toEqual([
    { targetCluster: { clusterNames: ["a"] }, weight: 60 },
    { targetCluster: { clusterNames: ["b"] }, weight: 40 },
  ]);
  const own = component({ replicaScheduling: { replicaSchedulingType: "Duplicated" } });
  expect(effectivePlacement(policy, undefined, own).trafficSplit).toBeUndefined();
});

test("standby: in the order of the policy's names, back after a stable time where one is said", () => {
  const policy = {
    placement: { clusterAffinity: { clusterNames: ["b", "a"] } },
    distribution: { mode: "ActiveStandby" as const, failback: { afterStable: "10m" } },
  };
  const { standby, rules } = effectivePlacement(policy, undefined, component());
  expect(standby).toEqual({ order: ["b", "a"], failbackAfterMs: 600_000 });
  expect(rules).toBeUndefined();
});
