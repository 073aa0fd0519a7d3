// tsyringe, inside @peculiar/x509, wants this loaded before it.
import "reflect-metadata";
import { createPrivateKey, createPublicKey, generateKeyPairSync, webcrypto } from "node:crypto";
import type { Random } from "@flotilla/shared/kernel/random";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  type PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
const SERIAL_BYTES = 16;

/** The beginning of time: a device without a battery starts in 1970 and must find CA and hub valid. */
const ALWAYS = new Date(0);

/** What signs: the CA's certificate and its private key. */
export interface Issuer {
  readonly certificate: X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
}

/** A fresh EC P-256 key as PKCS#8 PEM. */
export function makePrivateKeyPem(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: P256.namedCurve });
  return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
}

/** The key pair of a PKCS#8 PEM, as WebCrypto wants it. Throws when the text is no P-256 key. */
export async function importKeyPair(privateKeyPem: string): Promise<{
  readonly privateKey: webcrypto.CryptoKey;
  readonly publicKey: webcrypto.CryptoKey;
}> {
  const pkcs8 = createPrivateKey(privateKeyPem).export({ type: "pkcs8", format: "der" });
  const spki = createPublicKey(privateKeyPem).export({ type: "spki", format: "der" });
  const { subtle } = webcrypto;
  return {
    privateKey: await subtle.importKey("pkcs8", pkcs8, P256, false, ["sign"]),
    publicKey: await subtle.importKey("spki", spki, P256, true, ["verify"]),
  };
}

/** The CA's own certificate: signs certificates and revocation lists, no CA below it. */
export async function makeCaCertificate(
  keys: { readonly privateKey: webcrypto.CryptoKey; readonly publicKey: webcrypto.CryptoKey },
  options: { readonly name: string; readonly notAfterMs: number; readonly serial: string },
): Promise<X509Certificate> {
  return X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: options.serial,
      name: [{ CN: [options.name] }],
      notBefore: ALWAYS,
      notAfter: new Date(options.notAfterMs),
      signingAlgorithm: SIGNING,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
}

/** What a leaf certificate says. */
export interface LeafOptions {
  readonly commonName: string;
  readonly names: readonly JsonGeneralName[];
  readonly usage: "client" | "server";
  readonly publicKey: PublicKey | webcrypto.CryptoKey;
  readonly serial: string;
  /** Absent: from the beginning of time. */
  readonly notBeforeMs?: number;
  readonly notAfterMs: number;
}

/** A leaf certificate with exactly these extensions, whatever the request asked for. */
export async function makeLeafCertificate(
  issuer: Issuer,
  leaf: LeafOptions,
): Promise<X509Certificate> {
  const usage = leaf.usage === "client" ? ExtendedKeyUsage.clientAuth : ExtendedKeyUsage.serverAuth;
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([usage], false),
    new SubjectAlternativeNameExtension([...leaf.names], false),
    await AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey, false, webcrypto),
    await SubjectKeyIdentifierExtension.create(leaf.publicKey, false, webcrypto),
  ];
  return X509CertificateGenerator.create(
    {
      serialNumber: leaf.serial,
      subject: [{ CN: [leaf.commonName] }],
      issuer: issuer.certificate.subjectName,
      notBefore: leaf.notBeforeMs === undefined ? ALWAYS : new Date(leaf.notBeforeMs),
      notAfter: new Date(leaf.notAfterMs),
      signingAlgorithm: SIGNING,
      publicKey: leaf.publicKey,
      signingKey: issuer.privateKey,
      extensions,
    },
    webcrypto,
  );
}

/** A random positive serial of 16 bytes (RFC 5280 §4.1.2.2), lower-case hexadecimal without leading zeros. */
export function randomSerial(random: Random): string {
  const bytes = Buffer.from(random.bytes(SERIAL_BYTES, "pki.serial"));
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString("hex");
}

/** PEM with the newline at its end. */
export function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString("pem").trimEnd()}\n`;
}
