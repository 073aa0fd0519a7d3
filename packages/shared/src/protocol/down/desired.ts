import { type Static, Type } from "typebox";

/**
 * A signed desired state. `payload` is the canonical JSON of model/desired-state.ts as text; the Ed25519 signature covers
 * DESIRED_SIGNATURE_CONTEXT followed by the UTF-8 bytes of `payload`, so the text is verified before it is parsed.
 */
export const Desired = Type.Object({
  payload: Type.String({ minLength: 2 }),
  /** Base64 of 64 bytes. */
  signature: Type.String({ minLength: 88, maxLength: 88 }),
  /** First 16 hexadecimal digits of the SHA-256 of the SPKI public key that signed. */
  keyId: Type.String({ minLength: 16, maxLength: 16 }),
});
export type Desired = Static<typeof Desired>;

/** Domain separation: a signature made for something else is never one of a desired state. */
export const DESIRED_SIGNATURE_CONTEXT = "flotilla/desired-state/v1\n";
