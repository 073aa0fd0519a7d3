import { expect, test } from "vitest";
import { aggregatedDiscovery, apiGroup, apiGroupList, apiResourceList } from "./discovery.ts";
import { servedResources } from "./served-resources.ts";

const served = servedResources();
const hash = (text: string): string => `h(${text})`;

test("a group's resources are listed as kube-apiserver lists them, subresources after their kind", () => {
  expect(apiResourceList(served, "fleet.kurator.dev", "v1alpha1", hash)).toMatchObject({
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion: "fleet.kurator.dev/v1alpha1",
    resources: [
      {
        name: "fleets",
        singularName: "fleet",
        namespaced: true,
        kind: "Fleet",
        shortNames: ["fl"],
        categories: ["all", "kurator"],
        verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        storageVersionHash: "h(fleet.kurator.dev/v1alpha1/Fleet)",
      },
      { name: "fleets/status", singularName: "", verbs: ["get", "patch", "update"] },
      { name: "performanceprofiles", namespaced: false },
      { name: "performanceprofiles/status" },
    ],
  });
});

test("views say what they pass on to the object behind them; pods have logs", () => {
  const core = JSON.stringify(apiResourceList(served, "", "v1", hash));
  expect(core).toContain('"name":"pods/log"');
  expect(JSON.parse(core)).toMatchObject({
    resources: expect.arrayContaining([
      expect.objectContaining({
        name: "nodes",
        verbs: ["get", "list", "patch", "update", "watch"],
      }),
      expect.objectContaining({
        name: "pods",
        verbs: ["delete", "deletecollection", "get", "list", "watch"],
      }),
    ]),
  });
});

test("unknown groups and versions have no document", () => {
  expect(apiGroup(served, "none.dev")).toBeUndefined();
  expect(apiResourceList(served, "fleet.kurator.dev", "v1", hash)).toBeUndefined();
  expect(apiResourceList(served, "", "v2", hash)).toBeUndefined();
});

test("plain and aggregated discovery name the same groups, and reviews among them", () => {
  const names = (value: unknown): string[] =>
    [...JSON.stringify(value).matchAll(/"name":"([a-z0-9.]+\.(?:dev|io))"/g)].map(
      (m) => m[1] ?? "",
    );
  const plain = names(apiGroupList(served));
  expect(plain).toContain("edge.kurator.dev");
  expect(plain).toContain("authorization.k8s.io");
  expect(names(aggregatedDiscovery(served, "/apis", "v2"))).toEqual(plain);
});

test("aggregated discovery carries scope, verbs and subresources of each resource", () => {
  for (const version of ["v2", "v2beta1"] as const)
    expect(aggregatedDiscovery(served, "/api", version)).toMatchObject({
      kind: "APIGroupDiscoveryList",
      apiVersion: `apidiscovery.k8s.io/${version}`,
      items: [
        {
          metadata: {},
          versions: [
            {
              version: "v1",
              freshness: "Current",
              resources: expect.arrayContaining([
                expect.objectContaining({
                  resource: "namespaces",
                  scope: "Cluster",
                  responseKind: { group: "", version: "v1", kind: "Namespace" },
                }),
              ]),
            },
          ],
        },
      ],
    });
});
