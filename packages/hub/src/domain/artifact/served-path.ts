/** What lies on the artifact server, as the end of `/v1/…`. Anything else than these forms is not there. */

/** A content by its digest, or a file of trust metadata by its name. */
export type ServedPath =
  | { readonly kind: "blobs"; readonly sha256: string }
  | { readonly kind: "payloads"; readonly sha256: string }
  | { readonly kind: "manifests"; readonly sha256: string }
  | { readonly kind: "metadata"; readonly file: string };

/** Lower-case hexadecimal: one name for one content. */
export const SHA256_PATTERN = /^[0-9a-f]{64}$/;
/** Files of trust metadata: `timestamp.json`, `12.snapshot.json`, `3.releases.json`. Begins with no dot and leads nowhere. */
export const METADATA_FILE_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,122}\.json$/;

/** Reads `payloads/<sha256>` and its like; undefined for anything else, percent signs and dots included. */
export function parseServedPath(path: string): ServedPath | undefined {
  const [kind = "", name = "", ...rest] = path.split("/");
  if (rest.length > 0) return undefined;
  switch (kind) {
    case "blobs":
    case "payloads":
    case "manifests":
      return SHA256_PATTERN.test(name) ? { kind, sha256: name } : undefined;
    case "metadata":
      return METADATA_FILE_PATTERN.test(name) ? { kind, file: name } : undefined;
    default:
      return undefined;
  }
}
