import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { compareVersions } from "./version.ts";

type Release = ObjectOf<"Release">;

/** Another release of the artifact that has this one's counter. */
export function counterRival(release: Release, releases: readonly Release[]): Release | undefined {
  return releases.find(
    (r) =>
      r.spec.artifact === release.spec.artifact &&
      r.spec.counter === release.spec.counter &&
      r.metadata.name !== release.metadata.name,
  );
}

/**
 * Where the order of versions and that of counters disagree, as nodes will find it: they go back to a lower counter only by a signed
 * rollback, whatever the version says. A patch of an older line is rightly so; undefined: the orders agree.
 */
export function orderWarning({ spec }: Release, releases: readonly Release[]): string | undefined {
  const others = releases.filter((r) => r.spec.artifact === spec.artifact);
  const lower = others.find(
    (r) => compareVersions(r.spec.version, spec.version) < 0 && r.spec.counter > spec.counter,
  );
  if (lower === undefined) return undefined;
  return `counter ${spec.counter} of ${spec.artifact} ${spec.version} is below ${lower.spec.counter} of the lower version ${lower.spec.version}: a node that has had ${lower.spec.version} takes ${spec.version} only where signed metadata allows the way back`;
}

/** Releases of each artifact, the highest counter first. */
export function releasesByArtifact(
  releases: readonly Release[],
): ReadonlyMap<string, readonly Release[]> {
  const groups = Map.groupBy(releases, (r) => r.spec.artifact);
  for (const group of groups.values()) group.sort((a, b) => b.spec.counter - a.spec.counter);
  return groups;
}
