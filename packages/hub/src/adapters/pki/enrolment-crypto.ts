import { createHash, timingSafeEqual } from "node:crypto";
import type { Random } from "@flotilla/shared/kernel/random";
import type { EnrolmentCrypto } from "../../app/enrolment/ports.ts";

/** 256 bits: not to be guessed, so a fast hash of it is enough at rest. */
const SECRET_BYTES = 32;

/** Secrets, hashes and comparison for enrolment. */
export function enrolmentCrypto(deps: { readonly random: Random }): EnrolmentCrypto {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return {
    randomSecret: () =>
      Buffer.from(deps.random.bytes(SECRET_BYTES, "enrolment.secret")).toString("base64url"),
    sha256Hex: (text) => digest(text).toString("hex"),
    // Both are hashed first, so that neither content nor length shows in the time.
    equal: (a, b) => timingSafeEqual(digest(a), digest(b)),
  };
}
