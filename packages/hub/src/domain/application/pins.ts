import { parseDurationMs } from "@flotilla/shared/kernel/duration";
import { parseBytes } from "@flotilla/shared/kernel/quantity";
import {
  ARTIFACT_HEALTH_WINDOW_MS_DEFAULT,
  type ArtifactPin,
  type DesiredArtifact,
} from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { Component } from "@flotilla/shared/model/resources/application";
import type { ReleaseNeeds } from "@flotilla/shared/scheduling/facts";

type Release = ObjectOf<"Release">;

/** What resolving pins needs to know. */
export interface PinContext {
  /** The Release of this very artifact and version. */
  readonly releaseOf: (artifact: string, version: string) => Release | undefined;
  /** Whether an instance of the component was given this release before. */
  readonly runsWith: (component: string, artifact: string, version: string) => boolean;
}

/** The releases that a component pins, ready for a desired state, and what they ask of nodes. */
export interface ResolvedPins {
  readonly artifacts: readonly DesiredArtifact[];
  readonly needs: readonly ReleaseNeeds[];
}

/** Why the pins cannot be carried out. `waits`: it will be well by itself, once the release is. */
export interface PinProblem {
  readonly problem: string;
  readonly waits: boolean;
}

/**
 * Pins → releases. One that is not ready is waited for; one that an instance of the component has already is not asked again, so
 * that a release whose metadata expired, or whose file the hub lost, goes on being scaled and moved: whether it may be
 * installed somewhere is for the node to say.
 */
export function resolvePins(
  { name, artifacts = [] }: Component,
  context: PinContext,
): ResolvedPins | PinProblem {
  const resolved: DesiredArtifact[] = [];
  const needs: ReleaseNeeds[] = [];
  for (const pin of artifacts) {
    const release = context.releaseOf(pin.name, pin.version);
    if (release === undefined)
      return {
        problem: `artifact ${pin.name} has no release ${pin.version}; push it, or pin a version that is listed by "kubectl get releases"`,
        waits: false,
      };
    const waiting = context.runsWith(name, pin.name, pin.version) ? undefined : unready(release);
    if (waiting !== undefined) return { problem: waiting, waits: true };
    resolved.push(desiredArtifact(pin, release));
    const needed = needsOf(release);
    if (needed !== undefined) needs.push(needed);
  }
  return { artifacts: resolved, needs };
}

/** Whether every file of it is stored and signed. */
export function isReady({ status }: Release): boolean {
  return status?.conditions?.find((c) => c.type === "Ready")?.status === "True";
}

/** What a release asks of the machines it runs on; undefined: nothing. */
export function needsOf({ spec }: Release): ReleaseNeeds | undefined {
  const { artifact, version, constraints } = spec;
  if (constraints === undefined) return undefined;
  const { hardwareIds, nodeLabels, memory } = constraints;
  const memoryBytes = memory === undefined ? undefined : parseBytes(memory);
  return {
    release: `${artifact} ${version}`,
    ...(hardwareIds === undefined ? {} : { hardwareIds }),
    ...(nodeLabels === undefined ? {} : { nodeLabels }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
  };
}

/** What of the artifacts means a restart when it changes, for the digest of the spec: where which content lies. */
export function restartPart(artifacts: readonly DesiredArtifact[]): unknown {
  return artifacts
    .filter((a) => a.reload === "restart")
    .map(({ path, files }) => ({
      path,
      files: files.map((f) => ({ path: f.path, sha256: f.sha256 })),
    }));
}

/** Why it has to be waited for; undefined once it is ready. */
function unready(release: Release): string | undefined {
  if (isReady(release)) return undefined;
  const { artifact, version } = release.spec;
  const condition = release.status?.conditions?.find((c) => c.type === "Ready");
  return `release ${artifact} ${version} is not ready yet: ${condition?.message ?? "the hub has not looked at it"}`;
}

function desiredArtifact(pin: ArtifactPin, { spec }: Release): DesiredArtifact {
  const { reload = "restart", signal, http, healthWindow } = pin;
  return {
    name: spec.artifact,
    version: spec.version,
    counter: spec.counter,
    files: spec.files,
    path: pin.path ?? pin.name,
    reload,
    ...(reload === "signal" ? { signal: signal ?? "SIGHUP" } : {}),
    ...(http === undefined ? {} : { http }),
    healthWindowMs:
      (healthWindow === undefined ? undefined : parseDurationMs(healthWindow)) ??
      ARTIFACT_HEALTH_WINDOW_MS_DEFAULT,
  };
}
