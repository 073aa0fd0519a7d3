import { ARTIFACT_VERSION_PATTERN } from "@flotilla/shared/model/artifact";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compareVersions, isPreRelease } from "./version.ts";

test("the order of semver's own example", () => {
  const order = [
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
    "1.2.0",
    "10.0.0",
  ];
  expect(order.toReversed().toSorted(compareVersions)).toEqual(order);
  expect(isPreRelease("1.0.0-rc.1")).toBe(true);
  expect(isPreRelease("1.0.0")).toBe(false);
});

test("it is an order: antisymmetric, transitive, and equal only to itself", () => {
  const number = fc.nat(12).map(String);
  const version = fc
    .tuple(
      number,
      number,
      number,
      fc.array(fc.oneof(number, fc.stringMatching(/^[a-z][a-z0-9-]{0,3}$/)), { maxLength: 3 }),
    )
    .map(([a, b, c, pre]) => `${a}.${b}.${c}${pre.length === 0 ? "" : `-${pre.join(".")}`}`)
    .filter((v) => new RegExp(ARTIFACT_VERSION_PATTERN).test(v));
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0);
      expect(compareVersions(a, b) === 0).toBe(a === b);
      const [least = a, , greatest = a] = [a, b, c].toSorted(compareVersions);
      expect(compareVersions(least, greatest)).toBeLessThanOrEqual(0);
    }),
    { seed: 42, numRuns: 500 },
  );
});
