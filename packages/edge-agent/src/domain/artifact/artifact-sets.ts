import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredArtifact } from "@flotilla/shared/model/artifact";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { Reload } from "./slot-record.ts";

/** The artifacts of one instance as one thing: their files are switched together. */

/** Digest of a set of artifacts: what lies on the disk, not how it is reloaded. "" for none. */
export type SetDigest = (artifacts: readonly DesiredArtifact[] | undefined) => string;

/** The digest of no artifacts. */
export const NO_SET = "";

/** One text per set, in any order of pins and files; its SHA-256 is the set's digest. */
export function setText(artifacts: readonly DesiredArtifact[]): string {
  const pins = artifacts.map(({ path, name, version, counter, files }) => ({
    path,
    name,
    version,
    counter,
    files: files.toSorted(byPath),
  }));
  return canonicalJson(pins.toSorted(byPath));
}

/** Files of a slot with this set. */
export function filesOfSet(
  artifacts: readonly DesiredArtifact[],
): readonly { readonly path: string; readonly sha256: string; readonly lengthBytes: number }[] {
  return artifacts.flatMap((pin) =>
    pin.files.map(({ path, sha256, length }) => ({
      path: `${pin.path}/${path}`,
      sha256,
      lengthBytes: length,
    })),
  );
}

/** How long the instance has to be ready with its set, in milliseconds: as long as the most careful of its artifacts asks. */
export function healthWindowMs(desired: DesiredInstance): number {
  return Math.max(0, ...(desired.artifacts ?? []).map((pin) => pin.healthWindowMs));
}

/** `detector 8.0.0, labels 2.0.0`. */
export function releasesText(
  releases: readonly { readonly name: string; readonly version: string }[],
): string {
  return releases.map(({ name, version }) => `${name} ${version}`).join(", ");
}

/** Pins of `to` whose files are others than in `from`. */
export function changedPins(
  from: readonly DesiredArtifact[],
  to: readonly DesiredArtifact[],
): readonly DesiredArtifact[] {
  const before = new Map(from.map((pin) => [pin.path, setText([pin])]));
  return to.filter((pin) => before.get(pin.path) !== setText([pin]));
}

/** What a running workload has to be told when its files change from one set to another, each thing once. */
export function reloadsBetween(
  from: readonly DesiredArtifact[],
  to: readonly DesiredArtifact[],
): readonly Reload[] {
  const reloads = new Map<string, Reload>();
  for (const pin of changedPins(from, to)) {
    if (pin.reload === "signal") {
      const signal = pin.signal ?? "SIGHUP";
      reloads.set(signal, { kind: "signal", signal });
    } else if (pin.reload === "http" && pin.http !== undefined) {
      const { port, path } = pin.http;
      reloads.set(`${port} ${path}`, { kind: "http", port, path });
    }
  }
  return [...reloads.values()];
}

function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
