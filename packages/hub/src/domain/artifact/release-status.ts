import type { ReleaseFile } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { type Condition, withCondition } from "@flotilla/shared/model/metadata";
import type { ArtifactStatus, ReleaseStatus } from "@flotilla/shared/model/resources/artifact";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import { counterRival, releasesByArtifact } from "./release-order.ts";

type Release = ObjectOf<"Release">;
type ConditionDraft = Omit<Condition, "lastTransitionTime" | "observedGeneration">;

/** What is known beside the Release objects. */
export interface ReleaseView {
  readonly hasArtifact: (name: string) => boolean;
  /** Every Release that there is. */
  readonly releases: readonly Release[];
  readonly isStored: (file: ReleaseFile) => boolean;
  readonly isSigned: (file: ReleaseFile) => boolean;
  readonly useOf: (release: Release) => ReleaseUse;
}

/** How far a release has got in the fleet. */
export interface ReleaseUse {
  /** Nodes that have it, complete and verified. */
  readonly heldBy: number;
  /** Instances that run with it. */
  readonly active: number;
  /** Instances that went back from it. */
  readonly rolledBack: number;
}

/** The Release with the part of its status that is written here; the same object when nothing differs but times. */
export function releaseWithStatus(release: Release, view: ReleaseView, nowIso: string): Release {
  const { spec, status = {}, metadata } = release;
  const [stored, signed] = [storedCondition(spec.files, view), signedCondition(spec.files, view)];
  const drafts = [stored, signed, readyCondition(release, { stored, signed }, view)];
  const conditions = drafts.reduce(
    (list, draft) =>
      withCondition(list, { ...draft, observedGeneration: metadata.generation }, nowIso),
    status.conditions ?? [],
  );
  const next: ReleaseStatus = {
    ...status,
    conditions,
    bytes: bytesOf(spec.files),
    ...view.useOf(release),
  };
  return { ...release, status: next };
}

/** The Artifact with its status. */
export function artifactWithStatus(
  artifact: ObjectOf<"Artifact">,
  ofArtifact: readonly Release[],
): ObjectOf<"Artifact"> {
  const [latest] = ofArtifact;
  const {
    latestVersion: _version,
    latestCounter: _counter,
    ...status
  }: ArtifactStatus = artifact.status ?? {};
  return {
    ...artifact,
    status: {
      ...status,
      releases: ofArtifact.length,
      ...(latest === undefined
        ? {}
        : { latestVersion: latest.spec.version, latestCounter: latest.spec.counter }),
      bytes: bytesOf(ofArtifact.flatMap((r) => r.spec.files)),
    },
  };
}

/** How releases are used, counted over the whole fleet at once; asked for by Release. */
export function countUse(
  nodes: readonly ObjectOf<"EdgeNode">[],
  assignments: readonly ObjectOf<"Assignment">[],
): (release: Release) => ReleaseUse {
  const held = new Map<string, number>();
  const active = new Map<string, number>();
  const rolledBack = new Map<string, number>();
  const count = (counts: Map<string, number>, key: string): void => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
  };
  for (const node of nodes)
    for (const { name, counter } of node.status?.artifacts?.held ?? [])
      count(held, heldKey(name, counter));
  for (const { spec, status } of assignments) {
    if (status?.reportedBy === undefined || status.reportedBy !== spec.node) continue;
    for (const { name, version, phase, activeVersion } of status.reported?.artifacts ?? []) {
      if (activeVersion !== undefined) count(active, releaseName(name, activeVersion));
      if (phase === "RolledBack") count(rolledBack, releaseName(name, version));
    }
  }
  return ({ metadata: { name }, spec }) => ({
    heldBy: held.get(heldKey(spec.artifact, spec.counter)) ?? 0,
    active: active.get(name) ?? 0,
    rolledBack: rolledBack.get(name) ?? 0,
  });
}

/** Releases that nodes hold are told by counter. */
export function heldKey(artifact: string, counter: number): string {
  return `${artifact} ${counter}`;
}

/** Every Artifact beside its releases, the highest counter first. */
export function artifactsWithReleases(
  artifacts: readonly ObjectOf<"Artifact">[],
  releases: readonly Release[],
): readonly (readonly [ObjectOf<"Artifact">, readonly Release[]])[] {
  const byArtifact = releasesByArtifact(releases);
  return artifacts.map((a) => [a, byArtifact.get(a.metadata.name) ?? []]);
}

/** Each content once. */
function bytesOf(files: readonly ReleaseFile[]): number {
  const lengths = new Map(files.map((f) => [f.sha256, f.length]));
  return [...lengths.values()].reduce((sum, length) => sum + length, 0);
}

function storedCondition(files: readonly ReleaseFile[], { isStored }: ReleaseView): ConditionDraft {
  const missing = files.filter((f) => !isStored(f));
  const example = missing[0];
  return example === undefined
    ? { type: "Stored", status: "True", reason: "Stored", message: "the store has every file" }
    : {
        type: "Stored",
        status: "False",
        reason: "FilesMissing",
        message: `${missing.length} of ${files.length} files are not in the store, such as ${example.path} (sha256 ${example.sha256}): upload them with "flotilla artifact push"`,
      };
}

function signedCondition(files: readonly ReleaseFile[], { isSigned }: ReleaseView): ConditionDraft {
  const missing = files.filter((f) => !isSigned(f));
  const example = missing[0];
  return example === undefined
    ? {
        type: "Signed",
        status: "True",
        reason: "Signed",
        message: "published trust metadata lists every file",
      }
    : {
        type: "Signed",
        status: "False",
        reason: "NotListed",
        message: `published trust metadata lists ${files.length - missing.length} of ${files.length} files as they are, not ${example.target}: sign it with "flotilla trust sign" and publish the metadata`,
      };
}

function readyCondition(
  release: Release,
  { stored, signed }: { readonly stored: ConditionDraft; readonly signed: ConditionDraft },
  { hasArtifact, releases }: ReleaseView,
): ConditionDraft {
  const { artifact, counter } = release.spec;
  const rival = counterRival(release, releases);
  const no = (reason: string, message: string): ConditionDraft => ({
    type: "Ready",
    status: "False",
    reason,
    message,
  });
  if (rival !== undefined)
    return no(
      "CounterTaken",
      `${rival.metadata.name} has counter ${counter} as well: delete one of them`,
    );
  if (!hasArtifact(artifact))
    return no(
      "ArtifactMissing",
      `there is no Artifact ${artifact}: make it, so that its format is known`,
    );
  if (stored.status !== "True") return no("NotStored", stored.message);
  if (signed.status !== "True") return no("NotSigned", signed.message);
  return {
    type: "Ready",
    status: "True",
    reason: "Ready",
    message: "every file is stored and signed",
  };
}
