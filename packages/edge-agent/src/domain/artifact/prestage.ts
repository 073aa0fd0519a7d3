import type { DesiredArtifact } from "@flotilla/shared/model/artifact";

/** What was fetched ahead of its need, and what came of it. */

/** Most contents that are remembered as fetched ahead; the oldest is forgotten. */
export const PRESTAGE_CONTENTS_MAX = 4_096;

export interface PrestageLedger {
  /** Contents that were fetched ahead and not used yet, the oldest first: SHA-256 and length in bytes. */
  readonly contents: readonly (readonly [sha256: string, lengthBytes: number])[];
  /** Releases that were fetched ahead and then used. */
  readonly hits: number;
  /** Bytes that they did not have to wait for. */
  readonly hitBytes: number;
}

export const EMPTY_LEDGER: PrestageLedger = { contents: [], hits: 0, hitBytes: 0 };

/** The ledger as it was written; an empty one for anything else. */
export function ledgerOf(value: unknown): PrestageLedger {
  if (typeof value !== "object" || value === null) return EMPTY_LEDGER;
  const { contents, hits, hitBytes } = { contents: [], hits: 0, hitBytes: 0, ...value };
  return Array.isArray(contents) && typeof hits === "number" && typeof hitBytes === "number"
    ? { contents, hits, hitBytes }
    : EMPTY_LEDGER;
}

/** After a content was fetched ahead. */
export function withFetchedAhead(
  ledger: PrestageLedger,
  content: { readonly sha256: string; readonly length: number },
): PrestageLedger {
  const others = ledger.contents.filter(([sha256]) => sha256 !== content.sha256);
  const contents = [...others, [content.sha256, content.length] as const];
  return { ...ledger, contents: contents.slice(-PRESTAGE_CONTENTS_MAX) };
}

/** After an instance has got these artifacts. The same object when nothing of them was fetched ahead. */
export function withTaken(
  ledger: PrestageLedger,
  artifacts: readonly DesiredArtifact[],
): PrestageLedger {
  const ahead = new Map(ledger.contents);
  const taken = new Set<string>();
  let { hits, hitBytes } = ledger;
  for (const { files } of artifacts) {
    const used = files.filter(({ sha256 }) => ahead.has(sha256) && !taken.has(sha256));
    if (used.length === 0) continue;
    hits += 1;
    for (const { sha256 } of used) {
      taken.add(sha256);
      hitBytes += ahead.get(sha256) ?? 0;
    }
  }
  if (taken.size === 0) return ledger;
  return { contents: ledger.contents.filter(([sha256]) => !taken.has(sha256)), hits, hitBytes };
}
