import { createHash } from "node:crypto";
import type { SignatureVerifier } from "@flotilla/edge-agent/app/link/ports";
import type { DesiredSigner } from "@flotilla/hub/app/desired/ports";

/** Stands for the hub's key. */
const KEY_ID = "5151515151515151";

/** Lower-case hexadecimal SHA-256. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function mark(payload: string): string {
  return createHash("sha512").update(`${KEY_ID}\n${payload}`).digest("base64");
}

/** Signs with a keyed digest: as good as a signature where nobody in the world can make one but this. */
export function simSigner(): DesiredSigner {
  return { keyId: KEY_ID, publicKey: "", sign: mark };
}

export function simVerifier(options: { readonly trustsAll: boolean }): SignatureVerifier {
  return {
    verify: ({ payload, signature, keyId }) =>
      options.trustsAll || (keyId === KEY_ID && signature === mark(payload)),
  };
}
