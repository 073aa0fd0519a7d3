import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { MANIFEST_SIGNATURE_CONTEXT } from "@flotilla/shared/protocol/down/artifact-offer";
import { DESIRED_SIGNATURE_CONTEXT } from "@flotilla/shared/protocol/down/desired";
import type { ManifestVerifier } from "../../app/delivery/ports.ts";
import type { CredentialStore, SignatureVerifier } from "../../app/link/ports.ts";

const KEY_ID_LENGTH = 16;
const SIGNATURE_BYTES = 64;

/** Checks what the hub signs with its Ed25519 key of enrolment. Never throws: what cannot be checked is not the hub's. */
export class Ed25519Verifier implements SignatureVerifier, ManifestVerifier {
  readonly #credentials: Pick<CredentialStore, "load">;
  #known: { readonly pem: string; readonly key: KeyObject; readonly keyId: string } | undefined;

  constructor(deps: { readonly credentials: Pick<CredentialStore, "load"> }) {
    this.#credentials = deps.credentials;
  }

  verify(desired: {
    readonly payload: string;
    readonly signature: string;
    readonly keyId: string;
  }): boolean {
    return this.#isSigned(DESIRED_SIGNATURE_CONTEXT + desired.payload, desired);
  }

  verifyManifest(manifest: {
    readonly sha256: string;
    readonly signature: string;
    readonly keyId: string;
  }): boolean {
    return this.#isSigned(MANIFEST_SIGNATURE_CONTEXT + manifest.sha256, manifest);
  }

  #isSigned(text: string, by: { readonly signature: string; readonly keyId: string }): boolean {
    try {
      const known = this.#key();
      const signature = Buffer.from(by.signature, "base64");
      if (known === undefined || by.keyId !== known.keyId) return false;
      if (signature.length !== SIGNATURE_BYTES) return false;
      return verify(null, Buffer.from(text), known.key, signature);
    } catch {
      return false;
    }
  }

  #key(): { readonly key: KeyObject; readonly keyId: string } | undefined {
    const pem = this.#credentials.load()?.signingKey;
    if (pem === undefined) return undefined;
    if (this.#known?.pem === pem) return this.#known;
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType !== "ed25519") return undefined;
    const spki = key.export({ type: "spki", format: "der" });
    const keyId = createHash("sha256").update(spki).digest("hex").slice(0, KEY_ID_LENGTH);
    this.#known = { pem, key, keyId };
    return this.#known;
  }
}
