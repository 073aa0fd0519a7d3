import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { TrustTools } from "../trust/ports.ts";
import type { SigningKey } from "../trust/publish.ts";
import type { TrustKey } from "../trust/shapes.ts";

/** SubjectPublicKeyInfo of an Ed25519 key up to the 32 bytes of the key (RFC 8410). */
const SPKI_PREFIX = "302a300506032b6570032100";

/** A private Ed25519 key as what signs trust metadata. */
export function signingKeyOf(privateKey: KeyObject, tools: TrustTools): SigningKey {
  const spki = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const key: TrustKey = {
    keytype: "ed25519",
    scheme: "ed25519",
    keyval: { public: spki.subarray(-32).toString("hex") },
  };
  return {
    keyId: tools.keyIdOf(key),
    key,
    sign: (bytes) => sign(null, bytes, privateKey).toString("hex"),
  };
}

/** True when `signature` (hexadecimal) is this key's over these bytes. Never throws. */
export function isSignature(key: TrustKey, bytes: Uint8Array, signature: string): boolean {
  try {
    const der = Buffer.from(SPKI_PREFIX + key.keyval.public, "hex");
    const publicKey = createPublicKey({ key: der, format: "der", type: "spki" });
    return verify(null, bytes, publicKey, Buffer.from(signature, "hex"));
  } catch {
    return false;
  }
}
