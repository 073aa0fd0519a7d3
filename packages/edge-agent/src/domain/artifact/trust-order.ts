import type { PrestagedRelease } from "@flotilla/shared/model/artifact";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import type { TrustErrorCode } from "@flotilla/shared/trust/refusal";
import type { TrustedTarget, WantedFile } from "@flotilla/shared/trust/state";

/** What trust is asked about a desired state: bundles, each taken whole or not at all. */

/** Files that go together: all artifacts of one instance, or one release that is to lie ready. */
export interface Bundle {
  /** Absent: a prestaged release. */
  readonly instanceId?: string;
  readonly releases: readonly WantedRelease[];
}

export type WantedRelease = Pick<PrestagedRelease, "name" | "version" | "counter" | "files">;

/** Every bundle of a state. */
export function bundlesOf(state: DesiredState): readonly Bundle[] {
  const ofInstances = state.instances.flatMap(({ id, artifacts }) =>
    artifacts === undefined ? [] : [{ instanceId: id, releases: artifacts }],
  );
  return [...ofInstances, ...(state.prestage ?? []).map((release) => ({ releases: [release] }))];
}

/** Name of a release within a node: `detector@7`. */
export function releaseKey(release: Pick<PrestagedRelease, "name" | "counter">): string {
  return `${release.name}@${release.counter}`;
}

/** Files of these releases as an order names them, each once. Two files under one path stay two: trust refuses one of them. */
export function wantedFilesOf(releases: readonly WantedRelease[]): readonly WantedFile[] {
  const files = new Map<string, WantedFile>();
  for (const { target, length, sha256 } of releases.flatMap((r) => r.files))
    files.set(`${target} ${length} ${sha256}`, { path: target, length, sha256 });
  return [...files.values()];
}

/** The same for the same files, whoever wants them. */
export function contentKeyOf(releases: readonly WantedRelease[]): string {
  const releaseTexts = releases.map((release) => {
    const files = wantedFilesOf([release]).map((f) => `${f.path} ${f.length} ${f.sha256}`);
    return `${releaseKey(release)}\n${files.toSorted().join("\n")}`;
  });
  return [...new Set(releaseTexts)].toSorted().join("\n\n");
}

/**
 * Puts what can be asked in one order together: trust judges an order faster than many. Two releases of one artifact, and two
 * claims of what one release consists of, stay apart, since within an order they would be refused.
 */
export function groupsOf(
  asked: readonly (readonly WantedRelease[])[],
): readonly (readonly (readonly WantedRelease[])[])[] {
  const groups: {
    readonly members: (readonly WantedRelease[])[];
    readonly byName: Map<string, string>;
  }[] = [];
  for (const releases of asked) {
    const claims = releases.map((r) => [r.name, contentKeyOf([r])] as const);
    const fits = groups.find(({ byName }) =>
      claims.every(([name, content]) => (byName.get(name) ?? content) === content),
    );
    const group = fits ?? { members: [], byName: new Map<string, string>() };
    if (fits === undefined) groups.push(group);
    group.members.push(releases);
    for (const [name, content] of claims) group.byName.set(name, content);
  }
  return groups.map((group) => group.members);
}

/** Why a bundle is refused though metadata lists its files. */
export interface BundleFault {
  readonly code: TrustErrorCode;
  readonly subject: string;
  readonly message: string;
  readonly mend: string;
}

/**
 * What `decide` cannot see: whether the bundle calls its files what their publisher calls them, and whether parts that were
 * judged at different times are of one release. undefined: nothing is wrong.
 */
export function bundleFault(
  releases: readonly WantedRelease[],
  install: ReadonlyMap<string, TrustedTarget>,
): BundleFault | undefined {
  const counters = new Map<string, number>();
  for (const release of releases)
    for (const { target } of release.files) {
      const custom = install.get(target)?.custom;
      if (custom === undefined) continue;
      const { artifact, releaseCounter } = custom;
      if (artifact !== release.name || releaseCounter !== release.counter)
        return {
          code: "target-disagrees",
          subject: target,
          message: `wanted as ${releaseKey(release)}, released as ${artifact}@${releaseCounter}`,
          mend: "Name artifact and counter of the release as its publisher signed them.",
        };
      const other = counters.get(artifact);
      if (other !== undefined && other !== releaseCounter)
        return {
          code: "release-mixed",
          subject: artifact,
          message: `releases ${other} and ${releaseCounter} in one bundle`,
          mend: "Want the files of one release.",
        };
      counters.set(artifact, releaseCounter);
    }
  return undefined;
}
