/** A content on this node's disk. */
export interface StoredBlob {
  readonly sha256: string;
  readonly lengthBytes: number;
  /** Wall clock of its last use. */
  readonly usedWallMs: number;
}

/**
 * Contents to remove so that `bytes` more are free: those that nothing needs, the least recently used first, no more than it
 * takes. Undefined when all of them together are not enough: then removing any would help nobody.
 *
 * `needed`: what is current or previous in any slot, what lies ready for later, the bases of transfers that run.
 */
export function evictionsFor(
  bytes: number,
  held: readonly StoredBlob[],
  needed: ReadonlySet<string>,
): readonly string[] | undefined {
  const spare = held
    .filter((blob) => !needed.has(blob.sha256))
    .toSorted((a, b) => a.usedWallMs - b.usedWallMs || compareText(a.sha256, b.sha256));
  const chosen: string[] = [];
  let freed = 0;
  for (const blob of spare) {
    if (freed >= bytes) break;
    chosen.push(blob.sha256);
    freed += blob.lengthBytes;
  }
  return freed >= bytes ? chosen : undefined;
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
