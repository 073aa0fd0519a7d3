import { expect, test } from "vitest";
import { openApiDocument, openApiPaths } from "./openapi-v3.ts";
import { servedResources } from "./served-resources.ts";

const served = servedResources();

test("every group and version has a document of its own path", () => {
  expect(openApiPaths(served).map((p) => p.path)).toEqual([
    "api/v1",
    "apis/apps.kurator.dev/v1alpha1",
    "apis/artifacts.kurator.dev/v1alpha1",
    "apis/cluster.kurator.dev/v1alpha1",
    "apis/coordination.k8s.io/v1",
    "apis/edge.kurator.dev/v1alpha1",
    "apis/fleet.kurator.dev/v1alpha1",
    "apis/networking.kurator.dev/v1alpha1",
    "apis/policy.kurator.dev/v1alpha1",
    "apis/scheduling.k8s.io/v1",
    "apis/scheduling.kurator.dev/v1alpha1",
  ]);
  expect(openApiDocument(served, "none.dev/v1")).toBeUndefined();
});

test("PATCH names its kind and the fieldValidation parameter, which kubectl looks for before it applies", () => {
  const path = "/apis/fleet.kurator.dev/v1alpha1/namespaces/{namespace}/fleets/{name}";
  expect(openApiDocument(served, "fleet.kurator.dev/v1alpha1")).toMatchObject({
    openapi: "3.0.0",
    paths: {
      [path]: {
        patch: {
          "x-kubernetes-action": "patch",
          "x-kubernetes-group-version-kind": {
            group: "fleet.kurator.dev",
            version: "v1alpha1",
            kind: "Fleet",
          },
          parameters: expect.arrayContaining([
            expect.objectContaining({ name: "fieldValidation", in: "query" }),
          ]),
        },
      },
      [`${path}/status`]: { put: {} },
      "/apis/fleet.kurator.dev/v1alpha1/fleets": { get: {} },
      "/apis/fleet.kurator.dev/v1alpha1/performanceprofiles/{name}": { delete: {} },
    },
  });
});

test("every reference in every document leads to a component", () => {
  for (const { groupVersion } of openApiPaths(served)) {
    const text = JSON.stringify(openApiDocument(served, groupVersion));
    const names = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((m) => m[1]);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(text).toContain(`"${name}":{`);
  }
});
