import { expect, test } from "vitest";
import { kindByName } from "../domain/kinds.ts";
import { resourcePath } from "./api-client.ts";

test("a path names one object by its kind, namespace and name", () => {
  expect(resourcePath(kindByName("applications"), { namespace: "shop", name: "a" })).toBe(
    "/apis/apps.kurator.dev/v1alpha1/namespaces/shop/applications/a",
  );
  expect(resourcePath(kindByName("sites"), { namespace: "shop" })).toBe(
    "/apis/edge.kurator.dev/v1alpha1/sites",
  );
});

test.each(["", ".", "..", "a/b"])(
  "the name %j would lead to another path, in the worst case to all objects, and is refused",
  (name) => {
    expect(() => resourcePath(kindByName("sites"), { name })).toThrow(/name/);
    expect(() => resourcePath(kindByName("pods"), { namespace: name, name: "a" })).toThrow(
      /namespace/,
    );
  },
);
