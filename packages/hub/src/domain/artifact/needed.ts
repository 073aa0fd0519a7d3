import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { ARTIFACT_KEEP_DEFAULT } from "@flotilla/shared/model/resources/artifact";
import { releasesByArtifact } from "./release-order.ts";
import { heldKey } from "./release-status.ts";
import { pinsRelease, releasesOfInstance } from "./release-use.ts";

type Release = ObjectOf<"Release">;

/** Everything that decides which releases may still be asked for. */
export interface NeedView {
  readonly artifacts: readonly ObjectOf<"Artifact">[];
  readonly releases: readonly Release[];
  readonly applications: readonly ObjectOf<"Application">[];
  readonly assignments: readonly ObjectOf<"Assignment">[];
  readonly nodes: readonly ObjectOf<"EdgeNode">[];
  /** Names of releases that some node is asked to hold ready. */
  readonly prestaged: ReadonlySet<string>;
}

/**
 * Releases of which the hub keeps every file, as it may be asked for them: pinned by an Application; asked of an instance, or run by
 * one, to go back to; held by a node, as the base of a delta (an absent node holds what it last said); to lie ready somewhere; the
 * newest `keep` of each artifact; and those marked `keep`. Of all others the files may go: the Release stays, and is not Stored.
 */
export function neededReleases(view: NeedView): readonly Release[] {
  const inUse = new Set([
    ...view.assignments.flatMap((a) => releasesOfInstance(a)),
    ...view.prestaged,
  ]);
  const held = new Set(
    view.nodes.flatMap((n) =>
      (n.status?.artifacts?.held ?? []).map((h) => heldKey(h.name, h.counter)),
    ),
  );
  const newest = newestOf(view);
  return view.releases.filter(
    (r) =>
      r.spec.keep === true ||
      r.spec.prestage !== undefined ||
      newest.has(r.metadata.name) ||
      inUse.has(r.metadata.name) ||
      held.has(heldKey(r.spec.artifact, r.spec.counter)) ||
      view.applications.some((a) => pinsRelease(a, r.spec)),
  );
}

/** SHA-256 of every content that must stay in the store. */
export function neededContents(view: NeedView): ReadonlySet<string> {
  return new Set(neededReleases(view).flatMap((r) => r.spec.files.map((f) => f.sha256)));
}

/** Names of the newest releases of each artifact; of one that has no Artifact object too. */
function newestOf({ artifacts, releases }: NeedView): ReadonlySet<string> {
  const keepOf = new Map(artifacts.map((a) => [a.metadata.name, a.spec.keep]));
  const names = [...releasesByArtifact(releases)].flatMap(([artifact, list]) =>
    list.slice(0, keepOf.get(artifact) ?? ARTIFACT_KEEP_DEFAULT).map((r) => r.metadata.name),
  );
  return new Set(names);
}
