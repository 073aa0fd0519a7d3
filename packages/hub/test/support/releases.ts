import type { ReportedArtifact } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ResourceStore } from "../../src/app/resources/ports.ts";
import type { World } from "./world.ts";

type Spec = ObjectOf<"Release">["spec"];

/** A release of one file whose content is told from others by a digit. */
export function releaseSpec(
  artifact: string,
  version: string,
  counter: number,
  change: Partial<Spec> = {},
): Spec {
  const digit = (counter % 16).toString(16);
  return {
    artifact,
    version,
    counter,
    files: [
      {
        path: "model.onnx",
        target: `${artifact}/${counter}/model.onnx`,
        length: 1_000 + counter,
        sha256: digit.repeat(64),
      },
    ],
    ...change,
  };
}

/** Puts a release, ready (or not) as the release controller would say. */
export async function putRelease<S extends ResourceStore>(
  world: World<S>,
  spec: Spec,
  isReady = true,
): Promise<void> {
  const name = `${spec.artifact}-${spec.version}`;
  await world.apply("Release", name, spec);
  const release = world.store.get("Release", "", name);
  if (release === undefined) throw new Error("it was not put");
  const message = isReady ? "every file is stored and signed" : "1 of 1 files is not signed";
  const ready = {
    type: "Ready",
    status: isReady ? "True" : "False",
    reason: isReady ? "Ready" : "NotSigned",
    message,
    lastTransitionTime: "2026-01-01T00:00:00Z",
  } as const;
  await world.put({ ...release, status: { ...release.status, conditions: [ready] } });
}

/** The node's word on the artifacts of an instance that runs with the digest of its assignment, or of an earlier one. */
export async function reportArtifacts<S extends ResourceStore>(
  world: World<S>,
  name: string,
  artifacts: readonly ReportedArtifact[],
  specDigest?: string,
): Promise<void> {
  const a = world.assignment(name);
  const { desired, node = "" } = a.spec;
  const reported = {
    id: desired.id,
    specDigest: specDigest ?? desired.specDigest,
    phase: "Running" as const,
    ready: true,
    restartCount: 0,
    artifacts: [...artifacts],
  };
  await world.put({ ...a, status: { ...a.status, reported, reportedBy: node } });
}
