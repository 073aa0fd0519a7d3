import "reflect-metadata";
import { createHash, createPrivateKey, generateKeyPairSync, sign, webcrypto } from "node:crypto";
import {
  type Extension,
  type Pkcs10CertificateRequestCreateParams,
  Pkcs10CertificateRequestGenerator,
} from "@peculiar/x509";

/** A device's key and its request, as an agent makes them. */
export interface DeviceKey {
  readonly privateKey: string;
  readonly csr: string;
}

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;

export async function makeDeviceKey(
  options: {
    readonly subject?: string;
    readonly extensions?: Extension[];
    readonly algorithm?:
      | webcrypto.EcKeyGenParams
      | webcrypto.RsaHashedKeyGenParams
      | { name: "Ed25519" };
    readonly attributes?: Pkcs10CertificateRequestCreateParams["attributes"];
  } = {},
): Promise<DeviceKey> {
  const algorithm = options.algorithm ?? P256;
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const csr = await Pkcs10CertificateRequestGenerator.create(
    {
      name: options.subject ?? "CN=device",
      keys,
      signingAlgorithm: algorithm.name === "ECDSA" ? { name: "ECDSA", hash: "SHA-256" } : algorithm,
      extensions: options.extensions ?? [],
      ...(options.attributes === undefined ? {} : { attributes: options.attributes }),
    },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    csr: csr.toString("pem"),
  };
}

/** Proof of possession for a renewal, as an agent makes it. */
export function renewalProof(
  device: { readonly privateKey: string; readonly certificate: string },
  options: { readonly nodeId: string; readonly csr: string; readonly wallMs?: number },
): { certificate: string; csr: string; message: string; signature: string } {
  const hash = createHash("sha256").update(options.csr).digest("hex");
  const message = `renew\n${options.nodeId}\n${options.wallMs ?? 0}\n${hash}`;
  const key = createPrivateKey(device.privateKey);
  const digest = key.asymmetricKeyType === "ec" ? "sha256" : null;
  const signature = sign(digest, Buffer.from(message), key).toString("base64");
  return { certificate: device.certificate, csr: options.csr, message, signature };
}

/** A key that belongs to nothing. */
export function strangerKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}
