/** Semantic versions 2.0.0 as artifacts have them: lower case, without build metadata (ARTIFACT_VERSION_PATTERN). */

/** Below 0 when `a` comes before `b` (semver §11). Both must be versions. */
export function compareVersions(a: string, b: string): number {
  const [coreA, preA] = partsOf(a);
  const [coreB, preB] = partsOf(b);
  for (let i = 0; i < 3; i++) {
    const difference = Number(coreA[i]) - Number(coreB[i]);
    if (difference !== 0) return difference;
  }
  // A version is after its own pre-releases.
  if (preA.length === 0 || preB.length === 0) return preB.length - preA.length;
  for (let i = 0; i < Math.min(preA.length, preB.length); i++) {
    const difference = compareIdentifiers(preA[i] ?? "", preB[i] ?? "");
    if (difference !== 0) return difference;
  }
  return preA.length - preB.length;
}

/** True for `2.0.0-rc.1`. */
export function isPreRelease(version: string): boolean {
  return version.includes("-");
}

function partsOf(version: string): readonly [readonly string[], readonly string[]] {
  const [core = "", ...rest] = version.split("-");
  return [core.split("."), rest.length === 0 ? [] : rest.join("-").split(".")];
}

/** Numbers by value and before words, words by code units. */
function compareIdentifiers(a: string, b: string): number {
  const [isNumberA, isNumberB] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (isNumberA && isNumberB) return Number(a) - Number(b);
  if (isNumberA !== isNumberB) return isNumberA ? -1 : 1;
  return a === b ? 0 : a < b ? -1 : 1;
}
