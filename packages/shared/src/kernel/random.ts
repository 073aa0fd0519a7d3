/** Randomness as a port: real entropy in production, a seeded stream in tests. */
export interface Random {
  /** Uniform in [0, 1). `label` names the draw, so that a replay that diverges can be told. */
  unit(label: string): number;
  /** `count` random bytes. */
  bytes(count: number, label: string): Uint8Array;
}

/** Lower-case hexadecimal of `byteCount` random bytes. */
export function randomHex(random: Random, byteCount: number, label: string): string {
  return Array.from(random.bytes(byteCount, label), (b) => b.toString(16).padStart(2, "0")).join(
    "",
  );
}

/** A version 4 UUID (RFC 9562 §5.4). */
export function uuid(random: Random, label: string): string {
  const bytes = random.bytes(16, label);
  const hex = Array.from(bytes, (b, i) => {
    const masked = i === 6 ? (b & 0x0f) | 0x40 : i === 8 ? (b & 0x3f) | 0x80 : b;
    return masked.toString(16).padStart(2, "0");
  }).join("");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}
