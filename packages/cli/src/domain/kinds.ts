import { apiVersionOf, KINDS, type KindInfo, VIEWS } from "@flotilla/shared/model/kinds";
import { CliError } from "./errors.ts";

/** A kind as the command line names it. */
export interface NamedKind {
  readonly kind: string;
  readonly apiVersion: string;
  readonly plural: string;
  readonly namespaced: boolean;
}

const ALL: readonly (NamedKind & {
  readonly group: string;
  readonly shortNames: readonly string[];
})[] = [
  ...Object.entries<Omit<KindInfo, "fields">>(KINDS),
  ...Object.entries<Omit<KindInfo, "fields">>(VIEWS),
].map(([kind, info]) => ({
  kind,
  group: info.group,
  apiVersion: apiVersionOf(info),
  plural: info.plural,
  namespaced: info.namespaced,
  shortNames: info.shortNames,
}));

/** Finds a kind by its plural, singular, short name or `plural.group`. Throws with the nearest names when there is none. */
export function kindByName(name: string): NamedKind {
  const wanted = name.toLowerCase();
  const found = ALL.find(
    (k) =>
      k.plural === wanted ||
      k.kind.toLowerCase() === wanted ||
      k.shortNames.includes(wanted) ||
      `${k.plural}.${k.group}` === wanted,
  );
  if (found !== undefined) return found;
  const near = nearest(wanted, kindNames());
  throw new CliError("usage", `there is no kind "${name}"`, {
    mend: near === undefined ? `one of: ${kindNames().join(", ")}` : `did you mean "${near}"?`,
  });
}

/** Finds the kind of a manifest. */
export function kindOfManifest(apiVersion: string, kind: string): NamedKind {
  const found = ALL.find((k) => k.kind === kind && k.apiVersion === apiVersion);
  if (found !== undefined) return found;
  const sameKind = ALL.find((k) => k.kind === kind);
  const message = `apiVersion "${apiVersion}", kind "${kind}": the hub serves no such kind`;
  throw new CliError(
    "invalid",
    message,
    sameKind === undefined ? {} : { mend: `apiVersion: ${sameKind.apiVersion}` },
  );
}

/** Plural names of all kinds, sorted. */
export function kindNames(): string[] {
  return ALL.map((k) => k.plural).sort();
}

/** The candidate that is at most three edits away, nearest first; undefined when all are farther. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= 3 ? best.candidate : undefined;
}

/** Levenshtein distance by the usual two-row table. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
