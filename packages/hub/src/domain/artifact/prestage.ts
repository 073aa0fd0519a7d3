import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { PrestagedRelease } from "@flotilla/shared/model/artifact";
import { PRESTAGED_RELEASES_MAX } from "@flotilla/shared/model/artifact";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { releaseName } from "@flotilla/shared/model/resources/artifact";
import { matchesSelector } from "@flotilla/shared/model/selectors";
import type { NodeFacts } from "@flotilla/shared/scheduling/facts";
import { releaseMisfit } from "@flotilla/shared/scheduling/filter";
import { isReady, needsOf } from "../application/pins.ts";
import { releasesByArtifact } from "./release-order.ts";
import { isPreRelease } from "./version.ts";

/** Most files of all releases that one node is to hold ready: what names them is part of one message. */
export const PRESTAGED_FILES_MAX = 512;
/** A release is expected everywhere for so long after it was made: 14 days. After that nobody seems to mean it for these nodes. */
export const PRESTAGE_EXPECTED_MS: number = 14 * 86_400_000;

type Release = ObjectOf<"Release">;

/** Why a release is to lie ready on a node before anything there runs with it; the most urgent first. */
export const PRESTAGE_CAUSES = ["asked", "dependency", "access"] as const;
export type PrestageCause = (typeof PRESTAGE_CAUSES)[number];

export interface Prestaging {
  readonly release: Release;
  readonly cause: PrestageCause;
}

/** Releases, sorted for the question what a node may need. */
export interface ReleaseBook {
  /** Ready ones, the highest counter first. */
  readonly byArtifact: ReadonlyMap<string, readonly Release[]>;
  readonly byName: ReadonlyMap<string, Release>;
  /** Ready ones that somebody asked to be held somewhere. */
  readonly asked: readonly Release[];
}

/** One node, as far as it decides what is to lie ready on it. */
export interface PrestageView {
  readonly node: Pick<NodeFacts, "labels" | "capacity"> & {
    readonly site: { readonly name: string };
  };
  /** What its instances are asked to run with. */
  readonly runs: readonly {
    readonly name: string;
    readonly version: string;
    readonly counter: number;
  }[];
  /** Names of releases that it may need though nothing on it runs with them yet. */
  readonly foreseen: ReadonlySet<string>;
  /** Names of releases that it was asked to hold ready so far. */
  readonly held: ReadonlySet<string>;
  /** It is an hour in which its site is used much. */
  readonly isBusy: boolean;
  /** Its link costs by the byte. */
  readonly isMetered: boolean;
}

export function releaseBook(releases: readonly Release[]): ReleaseBook {
  const ready = releases.filter((r) => isReady(r) && r.metadata.deletionTimestamp === undefined);
  return {
    byArtifact: releasesByArtifact(ready),
    byName: new Map(ready.map((r) => [r.metadata.name, r])),
    asked: ready.filter((r) => r.spec.prestage !== undefined),
  };
}

/**
 * What is to lie ready on a node before it is needed, the most urgent first. `asked`: somebody said so. `dependency`: what it may
 * have to take over or start next. `access`: the next release of what it runs with, before its rollout begins. The first two at any
 * time; the last was asked for by nobody, and so waits for an hour in which the site is not busy, and is not done over
 * a link that costs by the byte. What has begun is not given up for an hour.
 */
export function prestagingsOf(
  view: PrestageView,
  book: ReleaseBook,
  nowMs: number,
): readonly Prestaging[] {
  const found = new Map<string, Prestaging>();
  const running = new Set(view.runs.map((r) => releaseName(r.name, r.version)));
  const add = (release: Release, cause: PrestageCause): void => {
    const { name } = release.metadata;
    if (!running.has(name) && !found.has(name) && fits(release, view.node))
      found.set(name, { release, cause });
  };
  for (const release of book.asked) if (isAskedFor(release, view)) add(release, "asked");
  for (const name of [...view.foreseen].toSorted()) {
    const release = book.byName.get(name);
    if (release !== undefined) add(release, "dependency");
  }
  for (const run of view.runs) {
    const next = nextOf(run, book, nowMs);
    if (next !== undefined && mayBegin(next, view)) add(next, "access");
  }
  return bounded([...found.values()]);
}

/** The releases as a desired state names them, in the order of names, so that the same ones are the same text. */
export function prestagedReleases(list: readonly Prestaging[]): readonly PrestagedRelease[] {
  return list
    .map(({ release: { spec } }) => ({
      name: spec.artifact,
      version: spec.version,
      counter: spec.counter,
      files: spec.files,
    }))
    .toSorted((a, b) => (a.name === b.name ? a.counter - b.counter : a.name < b.name ? -1 : 1));
}

function isAskedFor({ spec }: Release, { node }: PrestageView): boolean {
  const { nodeSelector, sites } = spec.prestage ?? {};
  return (
    (sites === undefined || sites.includes(node.site.name)) &&
    matchesSelector(nodeSelector, node.labels)
  );
}

function fits(release: Release, node: PrestageView["node"]): boolean {
  const needs = needsOf(release);
  return needs === undefined || releaseMisfit(needs, node) === undefined;
}

/** The newest release above what runs, if it is new and did not fail anywhere. Who runs final versions gets no pre-release. */
function nextOf(
  { name, version, counter }: PrestageView["runs"][number],
  { byArtifact }: ReleaseBook,
  nowMs: number,
): Release | undefined {
  const next = (byArtifact.get(name) ?? []).find(
    ({ spec }) => isPreRelease(version) || !isPreRelease(spec.version),
  );
  if (next === undefined || next.spec.counter <= counter) return undefined;
  const madeMs = parseIsoTimeMs(next.metadata.creationTimestamp ?? "") ?? 0;
  const isNew = nowMs - madeMs < PRESTAGE_EXPECTED_MS;
  return isNew && (next.status?.rolledBack ?? 0) === 0 ? next : undefined;
}

function mayBegin({ metadata }: Release, { held, isBusy, isMetered }: PrestageView): boolean {
  return held.has(metadata.name) || (!isBusy && !isMetered);
}

/** As many as a desired state takes; a release is named whole or not at all. */
function bounded(list: readonly Prestaging[]): readonly Prestaging[] {
  const kept: Prestaging[] = [];
  let fileCount = 0;
  for (const prestaging of list) {
    const { length } = prestaging.release.spec.files;
    if (kept.length === PRESTAGED_RELEASES_MAX) break;
    if (fileCount + length > PRESTAGED_FILES_MAX) continue;
    fileCount += length;
    kept.push(prestaging);
  }
  return kept;
}
