import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { assignment, desiredInstance, edgeNode } from "../../../test/support/node-builders.ts";
import {
  artifactWithStatus,
  countUse,
  type ReleaseView,
  releaseWithStatus,
} from "./release-status.ts";

type Release = ObjectOf<"Release">;
const NOW = "2026-06-01T00:00:00.000Z";
const file = (path: string, digit: string) => ({
  path,
  target: `detector/7/${path}`,
  length: 10,
  sha256: digit.repeat(64),
});

function release(version = "2.3.0", counter = 7): Release {
  return {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Release",
    metadata: { name: `detector-${version}`, uid: version, generation: 3 },
    spec: {
      artifact: "detector",
      version,
      counter,
      files: [file("a", "a"), file("b", "b"), file("c", "a")],
    },
  };
}
const view = (change: Partial<ReleaseView> = {}): ReleaseView => ({
  hasArtifact: () => true,
  releases: [],
  isStored: () => true,
  isSigned: () => true,
  useOf: () => ({ heldBy: 0, active: 0, rolledBack: 0 }),
  ...change,
});
const conditionsOf = (r: Release, v: ReleaseView): Record<string, string> =>
  Object.fromEntries(
    (releaseWithStatus(r, v, NOW).status?.conditions ?? []).map((c) => [
      c.type,
      `${c.status} ${c.reason}: ${c.message}`,
    ]),
  );

test("a release is ready once it is stored and signed; each content counts once", () => {
  const after = releaseWithStatus(release(), view(), NOW);
  expect(after.status).toMatchObject({ bytes: 20, heldBy: 0, active: 0, rolledBack: 0 });
  expect(conditionsOf(release(), view())).toEqual({
    Stored: "True Stored: the store has every file",
    Signed: "True Signed: published trust metadata lists every file",
    Ready: "True Ready: every file is stored and signed",
  });
  expect(releaseWithStatus(after, view(), "2027-01-01T00:00:00.000Z")).toEqual(after);
});

test.each<[string, Partial<ReleaseView>, string]>([
  [
    "stored",
    { isStored: (f) => f.path === "a" },
    `False NotStored: 2 of 3 files are not in the store, such as b (sha256 ${"b".repeat(64)}): upload them with "flotilla artifact push"`,
  ],
  [
    "signed",
    { isSigned: (f) => f.path === "a" },
    'False NotSigned: published trust metadata lists 1 of 3 files as they are, not detector/7/b: sign it with "flotilla trust sign" and publish the metadata',
  ],
  [
    "of an Artifact",
    { hasArtifact: () => false },
    "False ArtifactMissing: there is no Artifact detector: make it, so that its format is known",
  ],
  [
    "alone with its counter",
    { releases: [release(), release("2.4.0")] },
    "False CounterTaken: detector-2.4.0 has counter 7 as well: delete one of them",
  ],
])("one that is not %s is not ready, and it is said what to do", (_, change, ready) => {
  expect(conditionsOf(release(), view(change))["Ready"]).toBe(ready);
});

test("what others wrote into the status stays", () => {
  const deltas = [{ from: "2.2.0", bytes: 5, profile: "fast" }];
  const after = releaseWithStatus({ ...release(), status: { deltas } }, view(), NOW);
  expect(after.status?.deltas).toEqual(deltas);
});

test("use is counted by what nodes and instances say, of their own node alone", () => {
  const holding = {
    ...edgeNode("n1"),
    status: {
      artifacts: { held: [{ name: "detector", counter: 7 }], bytes: 1 },
    },
  };
  const saying = (name: string, phase: "Active" | "RolledBack", by = "n1") => {
    const made = assignment(name, "n1");
    const activeVersion = phase === "Active" ? "2.3.0" : "2.2.0";
    const artifacts = [{ name: "detector", version: "2.3.0", phase, activeVersion }];
    const reported = {
      id: desiredInstance("shop.web.api-0").id,
      specDigest: "d",
      phase: "Running" as const,
      ready: true,
      restartCount: 0,
      artifacts,
    };
    return { ...made, status: { reported, reportedBy: by } };
  };
  const useOf = countUse(
    [holding, edgeNode("n2")],
    [saying("a", "Active"), saying("b", "RolledBack"), saying("c", "Active", "n9")],
  );
  expect(useOf(release())).toEqual({ heldBy: 1, active: 1, rolledBack: 1 });
  expect(useOf(release("2.2.0", 6))).toEqual({ heldBy: 0, active: 1, rolledBack: 0 });
});

test("an artifact tells its newest release, and forgets it with the last", () => {
  const artifact: ObjectOf<"Artifact"> = {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Artifact",
    metadata: { name: "detector", uid: "u", generation: 1 },
    spec: { format: "onnx" },
  };
  const after = artifactWithStatus(artifact, [release("2.4.0", 8), release()]);
  expect(after.status).toEqual({
    releases: 2,
    latestVersion: "2.4.0",
    latestCounter: 8,
    bytes: 20,
  });
  expect(artifactWithStatus(after, []).status).toEqual({ releases: 0, bytes: 0 });
});
