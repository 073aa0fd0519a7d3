import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";

type Release = ObjectOf<"Release">;

/** Where a release may be in use. */
export interface UseView {
  readonly applications: readonly ObjectOf<"Application">[];
  readonly assignments: readonly ObjectOf<"Assignment">[];
}

/** True when the component asks for this very release. */
export function pinsRelease(
  { spec }: ObjectOf<"Application">,
  { artifact, version }: Pick<Release["spec"], "artifact" | "version">,
): boolean {
  return spec.components.some((c) =>
    (c.artifacts ?? []).some((pin) => pin.name === artifact && pin.version === version),
  );
}

/** Names of the releases that an instance is to run with, or that its node says it runs with. */
export function releasesOfInstance({ spec, status }: ObjectOf<"Assignment">): readonly string[] {
  const asked = (spec.desired.artifacts ?? []).map((a) => releaseName(a.name, a.version));
  const active = (status?.reported?.artifacts ?? []).flatMap(({ name, activeVersion }) =>
    activeVersion === undefined ? [] : [releaseName(name, activeVersion)],
  );
  return [...asked, ...active];
}

/** Why a release must not be deleted; undefined when it may be. That nodes hold it as a base is no reason: they keep what they have. */
export function useOfRelease(
  { metadata, spec }: Release,
  { applications, assignments }: UseView,
): string | undefined {
  const pinning = applications.find((a) => pinsRelease(a, spec));
  if (pinning !== undefined)
    return `application ${pinning.metadata.namespace}/${pinning.metadata.name} pins it: pin another version first`;
  const running = assignments.find((a) => releasesOfInstance(a).includes(metadata.name));
  return running === undefined
    ? undefined
    : `instance ${running.metadata.namespace}/${running.metadata.name} runs with it on ${running.spec.node ?? "no node"}: wait until it runs with another version, or delete it`;
}
