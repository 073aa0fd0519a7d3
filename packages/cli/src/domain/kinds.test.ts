import { expect, test } from "vitest";
import { kindByName, kindOfManifest } from "./kinds.ts";

test.each(["fleets", "Fleet", "fleet", "fl", "fleets.fleet.kurator.dev"])(
  "%s names the kind Fleet",
  (name) => {
    expect(kindByName(name).kind).toBe("Fleet");
  },
);

test("a misspelt kind is answered with the near one", () => {
  expect(() => kindByName("fleest")).toThrow(
    expect.objectContaining({ code: "usage", mend: 'did you mean "fleets"?' }),
  );
});

test("a manifest of a wrong group is told the right one", () => {
  expect(() => kindOfManifest("apps/v1", "Application")).toThrow(
    expect.objectContaining({ mend: "apiVersion: apps.kurator.dev/v1alpha1" }),
  );
});
