/** Randomness as a port: real entropy in production, a seeded stream in tests. */
export interface Random {
  /** Uniform in [0, 1). `label` names the draw, so that a replay that diverges can be told. */
  unit(label: string): number;
  /** `count` random bytes. */
  bytes(count: number, label: string): Uint8Array;
}

/** Two hexadecimal digits of each byte. */
const HEX: readonly string[] = Array.from({ length: 256 }, (_, b) =>
  b.toString(16).padStart(2, "0"),
);

/** Lower-case hexadecimal of `byteCount` random bytes. */
export function randomHex(random: Random, byteCount: number, label: string): string {
  return hexOf(random.bytes(byteCount, label));
}

/** A version 4 UUID (RFC 9562 §5.4). */
export function uuid(random: Random, label: string): string {
  const hex = hexOf(random.bytes(16, label));
  // The version is 4; of the variant's digit two bits are 10 and two are left to chance.
  const variant = (Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8;
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant.toString(16)}${hex.slice(17, 20)}-${hex.slice(20)}`;
}

function hexOf(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += HEX[byte];
  return hex;
}
