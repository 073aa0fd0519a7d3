import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { planRelease, type ReleaseWish, requireNames } from "./release-plan.ts";

const model = (sha: string, path = "model.onnx") => ({
  source: path,
  path,
  length: 3,
  sha256: sha.repeat(64),
});

const wish = (over: Partial<ReleaseWish> = {}): ReleaseWish => ({
  artifact: "detector",
  version: "1.0.0",
  files: [model("a")],
  ...over,
});

const release = (over: Partial<ReleaseWish> = {}, counter = 1): ObjectOf<"Release"> => {
  const { release: spec, name } = planRelease(wish({ counter, ...over }), {
    releases: [],
    signedCounter: 0,
  });
  return {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Release",
    metadata: { name },
    spec,
  } as unknown as ObjectOf<"Release">;
};

test("the counter is the one after the highest, whether hub or signed metadata knows it", () => {
  const counterOf = (releases: readonly ObjectOf<"Release">[], signedCounter: number): number =>
    planRelease(wish({ version: "9.0.0" }), { releases, signedCounter }).release.counter;
  expect(counterOf([], 0)).toBe(1);
  expect(counterOf([release({}, 4)], 0)).toBe(5);
  expect(counterOf([release({}, 4)], 7)).toBe(8);
});

test("a file stands in metadata under four segments, also from a folder", () => {
  const { release: spec } = planRelease(wish({ files: [model("a", "weights/part-1.bin")] }), {
    releases: [],
    signedCounter: 0,
  });
  expect(spec.files[0]?.target).toBe("models/detector/1/weights+part-1.bin");
});

test("two paths that would be one in metadata are refused", () => {
  const files = [model("a", "w/x"), model("b", "w+x")];
  expect(() => planRelease(wish({ files }), { releases: [], signedCounter: 0 })).toThrow(
    /two files would stand under models\/detector\/1\/w\+x/,
  );
});

test("the same version with the same bytes is there already", () => {
  const releases = [release({}, 3)];
  const plan = planRelease(wish(), { releases, signedCounter: 3 });
  expect(plan).toMatchObject({ isThere: true, release: { counter: 3 } });
});

test.each([
  ["other bytes", wish({ files: [model("b")] }), "its model.onnx has other bytes"],
  ["a file more", wish({ files: [model("a"), model("c", "x")] }), "it has no x"],
  ["a file less", wish({ files: [model("a", "other")] }), "it has no other"],
  ["other hardware", wish({ hardwareIds: ["orin"] }), "it is for any hardware"],
])("the same version with %s is refused", (_what, wanted, why) => {
  expect(() => planRelease(wanted, { releases: [release()], signedCounter: 0 })).toThrow(
    expect.objectContaining({ code: "conflict", fields: { why } }),
  );
});

test("a counter that is taken, or is not the version's, is refused", () => {
  const releases = [release({}, 2)];
  const known = { releases, signedCounter: 0 };
  expect(() => planRelease(wish({ version: "2.0.0", counter: 2 }), known)).toThrow(
    /counter 2 is that of detector-1.0.0/,
  );
  expect(() => planRelease(wish({ counter: 9 }), known)).toThrow(/has the counter 2/);
});

test.each([
  ["Detector", "1.0.0"],
  ["a/b", "1.0.0"],
  ["detector", "1.0"],
  ["detector", "v1.0.0"],
  ["detector", "1.0.0+build"],
  ["detector", "1.0.0-RC"],
])("%s %s is refused", (name, version) => {
  expect(() => requireNames(name, version)).toThrow(/is no (name|version)/);
});
