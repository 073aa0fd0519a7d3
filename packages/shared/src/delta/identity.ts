import type { Digests } from "./digest.ts";
import type { FileIdentity } from "./envelope.ts";
import type { RandomAccess } from "./random-access.ts";

/** Bytes that are read at once for a digest. */
const DIGEST_BYTES = 256 * 1024;

/** Size and SHA-256 of a file. */
export function identityOf(file: RandomAccess, digests: Digests): FileIdentity {
  const digest = digests.begin();
  const buffer = new Uint8Array(Math.min(DIGEST_BYTES, file.size));
  for (let at = 0; at < file.size; at += DIGEST_BYTES)
    digest.update(file.read(at, Math.min(DIGEST_BYTES, file.size - at), buffer));
  return { size: file.size, sha256: digest.finish() };
}
