import type { ReleaseFile } from "@flotilla/shared/model/artifact";
import { ARTIFACT_NAME_PATTERN, ARTIFACT_VERSION_PATTERN } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import { TARGET_PATH_LENGTH_MAX } from "@flotilla/shared/trust/limits";
import { CliError } from "../domain/errors.ts";

type Release = ObjectOf<"Release">;

/** A file with what it is. */
export interface MeasuredSource {
  readonly source: string;
  readonly path: string;
  readonly length: number;
  readonly sha256: string;
}

/** What somebody asks to release. */
export interface ReleaseWish {
  readonly artifact: string;
  readonly version: string;
  /** Absent: the one after the highest that is known. */
  readonly counter?: number | undefined;
  readonly hardwareIds?: readonly string[] | undefined;
  /** Absent: nothing is held ready. */
  readonly prestage?: { readonly sites?: readonly string[] } | undefined;
  readonly files: readonly MeasuredSource[];
}

/** What is known of the artifact's releases. */
export interface KnownReleases {
  /** Of this artifact, at the hub. */
  readonly releases: readonly Release[];
  /** Highest counter that signed metadata has for it; 0: none. */
  readonly signedCounter: number;
}

/** Where a file of a release stands in trust metadata: four segments, which is what `releases` may release. */
export function targetPathOf(artifact: string, counter: number, path: string): string {
  return `models/${artifact}/${counter}/${path.replaceAll("/", "+")}`;
}

/** Name and version, judged before anything is read or sent. Throws CliError `usage`. */
export function requireNames(artifact: string, version: string): void {
  if (!new RegExp(ARTIFACT_NAME_PATTERN).test(artifact))
    throw new CliError("usage", `"${artifact}" is no name of an artifact`, {
      mend: "At most 63 lower-case letters, digits, - and ., for example detector",
    });
  if (!new RegExp(ARTIFACT_VERSION_PATTERN).test(version) || version.length > 64)
    throw new CliError("usage", `--version ${version} is no version`, {
      mend: "A semantic version in lower case, for example 2.3.0 or 2.4.0-rc.1",
    });
}

/**
 * The Release to be made, or the one that is there already with the same content: then nothing is left to do for it. Throws
 * CliError `conflict` where a version or a counter is taken by another content.
 */
export function planRelease(
  wish: ReleaseWish,
  { releases, signedCounter }: KnownReleases,
): { readonly release: Release["spec"]; readonly name: string; readonly isThere: boolean } {
  const name = releaseName(wish.artifact, wish.version);
  const present = releases.find((release) => release.metadata.name === name);
  const highest = Math.max(signedCounter, ...releases.map((release) => release.spec.counter));
  const counter = wish.counter ?? present?.spec.counter ?? highest + 1;
  const spec = specOf(wish, counter);
  if (present !== undefined) {
    requireSame(name, present.spec, spec);
    return { release: present.spec, name, isThere: true };
  }
  const rival = releases.find((release) => release.spec.counter === counter);
  if (rival !== undefined)
    throw new CliError("conflict", `counter ${counter} is that of ${rival.metadata.name}`, {
      mend: `Leave --counter out, or give one above ${highest}.`,
    });
  return { release: spec, name, isThere: false };
}

function specOf(wish: ReleaseWish, counter: number): Release["spec"] {
  const { artifact, version, hardwareIds, prestage } = wish;
  const files = wish.files.map(({ path, length, sha256 }): ReleaseFile => {
    const target = targetPathOf(artifact, counter, path);
    if (target.length > TARGET_PATH_LENGTH_MAX)
      throw new CliError("usage", `${path}: its path in metadata would be ${target.length} long`, {
        mend: `Shorten it: ${target} may have ${TARGET_PATH_LENGTH_MAX} characters.`,
      });
    return { path, target, length, sha256 };
  });
  const clash = files.find((file, i) => files.findIndex((f) => f.target === file.target) !== i);
  if (clash !== undefined)
    throw new CliError("usage", `two files would stand under ${clash.target} in metadata`, {
      mend: "Rename one of them: / and + are the same there.",
    });
  return {
    artifact,
    version,
    counter,
    files,
    ...(hardwareIds === undefined ? {} : { constraints: { hardwareIds: [...hardwareIds] } }),
    ...(prestage === undefined
      ? {}
      : { prestage: prestage.sites === undefined ? {} : { sites: [...prestage.sites] } }),
  };
}

/** A version stands for one content for ever. */
function requireSame(name: string, present: Release["spec"], wanted: Release["spec"]): void {
  if (present.counter !== wanted.counter)
    throw new CliError("conflict", `${name} has the counter ${present.counter}`, {
      mend: "Leave --counter out, or push a new version.",
    });
  const difference =
    firstDifference(present.files, wanted.files) ??
    (sameList(present.constraints?.hardwareIds, wanted.constraints?.hardwareIds)
      ? undefined
      : `it is for ${present.constraints?.hardwareIds?.join(", ") ?? "any hardware"}`);
  if (difference !== undefined)
    throw new CliError("conflict", `${name} is there with another content`, {
      fields: { why: difference },
      mend: "A version is never replaced: push these files under a new --version.",
    });
}

function firstDifference(
  present: readonly ReleaseFile[],
  wanted: readonly ReleaseFile[],
): string | undefined {
  const before = new Map(present.map((file) => [file.path, file]));
  for (const file of wanted) {
    const other = before.get(file.path);
    if (other === undefined) return `it has no ${file.path}`;
    if (other.sha256 !== file.sha256) return `its ${file.path} has other bytes`;
    before.delete(file.path);
  }
  const [missing] = before.keys();
  return missing === undefined ? undefined : `it has ${missing}, too`;
}

function sameList(a: readonly string[] = [], b: readonly string[] = []): boolean {
  return a.length === b.length && a.toSorted().join("\n") === b.toSorted().join("\n");
}
