import { expect, test } from "vitest";
import { negotiateDiscovery, negotiateForm, parseMediaType } from "./media-types.ts";

test("a media type is parsed with its parameters, whatever their order and case", () => {
  expect(parseMediaType("Application/JSON; Charset=utf-8;as=Table")).toEqual({
    type: "application/json",
    parameters: new Map([
      ["charset", "utf-8"],
      ["as", "Table"],
    ]),
  });
  for (const bad of ["", "json", "a/b/c", "a b/c", "/"])
    expect(parseMediaType(bad)).toBeUndefined();
});

test.each([
  [
    "kubectl get",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
    { as: "table", version: "v1" },
  ],
  [
    "an older table",
    "application/json;g=meta.k8s.io;as=Table;v=v1beta1",
    { as: "table", version: "v1beta1" },
  ],
  [
    "a table we do not have, then JSON",
    "application/json;as=Table;v=v9;g=meta.k8s.io,application/json",
    { as: "object", yaml: false },
  ],
  [
    "metadata",
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    { as: "metadata", version: "v1" },
  ],
  [
    "a typed client",
    "application/vnd.kubernetes.protobuf,application/json",
    { as: "object", yaml: false },
  ],
  ["the JavaScript client", "application/json, */*;q=0.8", { as: "object", yaml: false }],
  [
    "YAML over JSON by quality",
    "application/json;q=0.5,application/yaml",
    { as: "object", yaml: true },
  ],
  ["nothing", undefined, { as: "object", yaml: false }],
  ["an empty header", " ", { as: "object", yaml: false }],
  ["only what we do not have", "application/vnd.kubernetes.protobuf,text/html", undefined],
  ["JSON refused", "application/json;q=0", undefined],
] as const)("%s is answered in the first form that we have", (_name, accept, form) => {
  expect(negotiateForm(accept)).toEqual(form);
});

test.each([
  [
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
    "v2",
  ],
  ["application/json;v=v2;g=apidiscovery.k8s.io;as=APIGroupDiscoveryList", "v2"],
  [
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
    "v2beta1",
  ],
  [
    "application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,application/json",
    "plain",
  ],
  ["application/json", "plain"],
  [undefined, "plain"],
] as const)("discovery asked for by %s is answered as %s", (accept, form) => {
  expect(negotiateDiscovery(accept)).toBe(form);
});
