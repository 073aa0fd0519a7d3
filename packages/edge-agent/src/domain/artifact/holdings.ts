import { HELD_RELEASES_MAX, type ReleaseFile } from "@flotilla/shared/model/artifact";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import { currentContents, isIdleSlot, type SlotContents, type SlotRecord } from "./slot-record.ts";

/** What of artifacts is on the node, and what must stay. */

interface KnownRelease {
  readonly name: string;
  readonly counter: number;
  readonly files: readonly ReleaseFile[];
}

/** Every release that slots or the desired state name: what is current first, then what lies beside it, then what is to come. */
export function knownReleases(
  slots: readonly SlotRecord[],
  desired: DesiredState | undefined,
): readonly KnownRelease[] {
  const current = slots.flatMap((record) => releasesOf(currentContents(record)));
  const beside = slots.flatMap(({ a, b, damaged }) => [a, b, damaged].flatMap(releasesOf));
  const wanted = (desired?.instances ?? []).flatMap((instance) => instance.artifacts ?? []);
  const releases = new Map<string, KnownRelease>();
  for (const release of [...current, ...beside, ...wanted, ...(desired?.prestage ?? [])]) {
    const key = `${release.name}@${release.counter}`;
    if (!releases.has(key)) releases.set(key, release);
  }
  return [...releases.values()];
}

/** Those that lie here complete, as the node reports them. */
export function heldReleases(
  known: readonly KnownRelease[],
  hasContent: (sha256: string) => boolean,
): readonly { readonly name: string; readonly counter: number }[] {
  return known
    .filter(({ files }) => files.every((file) => hasContent(file.sha256)))
    .slice(0, HELD_RELEASES_MAX)
    .map(({ name, counter }) => ({ name, counter }));
}

/** Contents that must not be removed: what every instance has and may go back to, what is wanted, what is to lie ready. */
export function neededContents(
  slots: readonly SlotRecord[],
  desired: DesiredState | undefined,
): ReadonlySet<string> {
  return new Set(
    knownReleases(slots.map(withoutIdle), desired).flatMap((release) =>
      release.files.map((file) => file.sha256),
    ),
  );
}

function withoutIdle(record: SlotRecord): SlotRecord {
  const { a, b, ...rest } = record;
  return {
    ...rest,
    ...(a === undefined || isIdleSlot(record, "a") ? {} : { a }),
    ...(b === undefined || isIdleSlot(record, "b") ? {} : { b }),
  };
}

/** True when there is nothing to be told of artifacts: none are wanted, and none were. */
export function isWithoutArtifacts(
  slots: readonly SlotRecord[],
  desired: DesiredState | undefined,
): boolean {
  return slots.length === 0 && knownReleases([], desired).length === 0;
}

function releasesOf(contents: SlotContents | undefined): readonly KnownRelease[] {
  return contents?.desired.artifacts ?? [];
}
