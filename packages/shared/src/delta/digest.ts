/** SHA-256, which the pure part does not bring along. */
export interface Digests {
  sha256(bytes: Uint8Array): Uint8Array;
  /** For what is read piece by piece. */
  begin(): { update(bytes: Uint8Array): void; finish(): Uint8Array };
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
