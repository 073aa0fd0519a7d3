import { createHash, timingSafeEqual } from "node:crypto";
import type { User } from "../../app/resources/ports.ts";

/** A bearer token that is known by its hash only. */
export interface KnownToken {
  /** Hexadecimal SHA-256 of the token. */
  readonly sha256: string;
  readonly user: User;
}

/** Longest token that is hashed at all. */
const TOKEN_LENGTH_MAX = 512;

/** Finds the user of a token. Every known hash is compared in constant time, and all of them, whatever matches. */
export function tokenAuthenticator(
  tokens: readonly KnownToken[],
): (token: string) => User | undefined {
  const known = tokens.map((t) => ({ hash: Buffer.from(t.sha256, "hex"), user: t.user }));
  return (token) => {
    if (token.length > TOKEN_LENGTH_MAX) return undefined;
    const hash = createHash("sha256").update(token).digest();
    let found: User | undefined;
    for (const candidate of known)
      if (candidate.hash.length === hash.length && timingSafeEqual(candidate.hash, hash))
        found = candidate.user;
    return found;
  };
}

/** The token of an Authorization header; undefined when it carries none. */
export function bearerToken(header: string | undefined): string | undefined {
  const match = /^bearer +(\S+)$/i.exec(header ?? "");
  return match?.[1];
}
