import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from "node:crypto";
import { join } from "node:path";
import {
  ensureDirectory,
  readFileIfExists,
  writeFileDurable,
} from "@flotilla/shared/platform/files";
import { MANIFEST_SIGNATURE_CONTEXT } from "@flotilla/shared/protocol/down/artifact-offer";
import { DESIRED_SIGNATURE_CONTEXT } from "@flotilla/shared/protocol/down/desired";
import type { ManifestSigner } from "../../app/artifact/ports.ts";
import type { DesiredSigner } from "../../app/desired/ports.ts";

const KEY_ID_LENGTH = 16;

/**
 * Opens the Ed25519 key `desired.key` (0600) in `directory`, and makes it when there is none. Nodes keep its public half
 * since enrolment: lose the key and every node has to be enrolled anew.
 */
export function openDesiredSigner(options: {
  readonly directory: string;
}): DesiredSigner & ManifestSigner {
  ensureDirectory(options.directory, 0o700);
  const path = join(options.directory, "desired.key");
  const stored = readFileIfExists(path);
  if (stored !== undefined) return signerOf(createPrivateKey(stored));
  const { privateKey } = generateKeyPairSync("ed25519");
  writeFileDurable(path, privateKey.export({ type: "pkcs8", format: "pem" }).toString(), 0o600);
  return signerOf(privateKey);
}

function signerOf(privateKey: KeyObject): DesiredSigner & ManifestSigner {
  const publicKey = createPublicKey(privateKey);
  const spki = publicKey.export({ type: "spki", format: "der" });
  const signed = (text: string): string =>
    sign(null, Buffer.from(text), privateKey).toString("base64");
  return {
    keyId: createHash("sha256").update(spki).digest("hex").slice(0, KEY_ID_LENGTH),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
    sign: (payload) => signed(DESIRED_SIGNATURE_CONTEXT + payload),
    signManifest: (manifestSha256) => signed(MANIFEST_SIGNATURE_CONTEXT + manifestSha256),
  };
}
