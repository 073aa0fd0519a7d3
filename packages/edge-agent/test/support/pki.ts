// tsyringe, inside @peculiar/x509, wants this loaded before it.
import "reflect-metadata";
import { createHash, generateKeyPairSync, X509Certificate as Parsed, webcrypto } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;

export interface KeyAndCertificate {
  readonly privateKey: string;
  readonly certificate: string;
}

/** A certificate authority for one test. */
export interface TestCa {
  readonly certificate: string;
  /** Lower-case hexadecimal SHA-256 of the certificate's DER. */
  readonly fingerprint: string;
  server(names?: readonly string[]): Promise<KeyAndCertificate>;
  client(
    name: string,
    times?: { readonly notBeforeMs: number; readonly notAfterMs: number },
  ): Promise<KeyAndCertificate>;
  /** A client certificate for the key of a PKCS#10 request. */
  signCsr(
    name: string,
    csr: string,
    times?: { readonly notBeforeMs: number; readonly notAfterMs: number },
  ): Promise<string>;
}

export async function makeTestCa(name = "test CA"): Promise<TestCa> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  const ca = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: "01",
      name: [{ CN: [name] }],
      notBefore: new Date(0),
      notAfter: new Date("2100-01-01"),
      signingAlgorithm: SIGNING,
      keys,
      extensions: [new BasicConstraintsExtension(true, 0, true)],
    },
    webcrypto,
  );
  const leaf = (options: LeafOptions): Promise<string> => makeLeaf({ ca, keys }, options);
  const certificate = ca.toString("pem");
  return {
    certificate,
    fingerprint: createHash("sha256").update(new Parsed(certificate).raw).digest("hex"),
    server: async (names = ["localhost", "127.0.0.1"]) => {
      const pair = await newPair();
      const usage = ExtendedKeyUsage.serverAuth;
      const { publicKey, privateKey } = pair;
      return { privateKey, certificate: await leaf({ name: "hub", names, usage, publicKey }) };
    },
    client: async (node, times) => {
      const { publicKey, privateKey } = await newPair();
      const usage = ExtendedKeyUsage.clientAuth;
      const options = { name: node, names: [node], usage, publicKey, ...times };
      return { privateKey, certificate: await leaf(options) };
    },
    signCsr: async (node, csr, times) => {
      const publicKey = await new Pkcs10CertificateRequest(csr).publicKey.export(webcrypto);
      const usage = ExtendedKeyUsage.clientAuth;
      return leaf({ name: node, names: [node], usage, publicKey, ...times });
    },
  };
}

interface LeafOptions {
  readonly name: string;
  readonly names: readonly string[];
  readonly usage: ExtendedKeyUsage;
  readonly publicKey: webcrypto.CryptoKey;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
}

async function makeLeaf(
  issuer: { readonly ca: X509Certificate; readonly keys: webcrypto.CryptoKeyPair },
  options: LeafOptions,
): Promise<string> {
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString("hex"),
      subject: [{ CN: [options.name] }],
      issuer: issuer.ca.subjectName,
      notBefore: new Date(options.notBeforeMs ?? 0),
      notAfter: new Date(options.notAfterMs ?? Date.parse("2100-01-01")),
      signingAlgorithm: SIGNING,
      publicKey: options.publicKey,
      signingKey: issuer.keys.privateKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new ExtendedKeyUsageExtension([options.usage], false),
        new SubjectAlternativeNameExtension(
          options.names.map((value) => ({
            type: /^[\d.]+$/.test(value) ? ("ip" as const) : ("dns" as const),
            value,
          })),
          false,
        ),
      ],
    },
    webcrypto,
  );
  return certificate.toString("pem");
}

async function newPair(): Promise<{
  readonly publicKey: webcrypto.CryptoKey;
  readonly privateKey: string;
}> {
  const pair = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const publicKey = await webcrypto.subtle.importKey("spki", pair.publicKey, P256, true, [
    "verify",
  ]);
  return { publicKey, privateKey: pair.privateKey };
}
