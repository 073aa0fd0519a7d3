import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { bytesOf, type MadeDelta } from "./choice.ts";

/** What an update to a release costs from each release of the same artifact that deltas were made from. */
export function deltasOf(
  release: ObjectOf<"Release">,
  others: readonly ObjectOf<"Release">[],
  made: readonly MadeDelta[],
): readonly { readonly from: string; readonly bytes: number; readonly profile: string }[] {
  return others.flatMap((other) => {
    if (other.spec.artifact !== release.spec.artifact) return [];
    if (other.spec.counter === release.spec.counter) return [];
    const shas = new Set(other.spec.files.map((f) => f.sha256));
    const changed = release.spec.files.filter((f) => !shas.has(f.sha256));
    const least = (sha256: string, isFrom: (base: string | undefined) => boolean) =>
      made
        .filter((d) => d.target === sha256 && isFrom(d.base))
        .toSorted((a, b) => bytesOf(a) - bytesOf(b))[0];
    const deltas = changed.map((f) => least(f.sha256, (b) => b !== undefined && shas.has(b)));
    if (!deltas.some((d) => d !== undefined)) return [];
    const bytes = changed.reduce((sum, f, i) => {
      const way = deltas[i] ?? least(f.sha256, (b) => b === undefined);
      return sum + (way === undefined ? f.length : bytesOf(way));
    }, 0);
    const profile = deltas.find((d) => d !== undefined)?.profile ?? "fast";
    return [{ from: other.spec.version, bytes, profile }];
  });
}
