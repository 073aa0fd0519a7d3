import "reflect-metadata";
import { webcrypto } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";

/** A CA and a server certificate of 127.0.0.1 and localhost, made for one test file. PEM. */
export interface TestTls {
  readonly caCertificate: string;
  readonly tlsKey: string;
  readonly tlsCertificate: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const VALID_MS = 3_600_000;

export async function makeTestTls(): Promise<TestTls> {
  const nowMs = Date.now();
  const validity = { notBefore: new Date(nowMs - VALID_MS), notAfter: new Date(nowMs + VALID_MS) };
  const caKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const ca = await X509CertificateGenerator.createSelfSigned(
    {
      ...validity,
      serialNumber: "01",
      name: "CN=flotilla-test-ca",
      keys: caKeys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
        await SubjectKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    },
    webcrypto,
  );
  const certificate = await X509CertificateGenerator.create(
    {
      ...validity,
      serialNumber: "02",
      subject: "CN=flotilla-test-hub",
      issuer: ca.subject,
      publicKey: keys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new SubjectAlternativeNameExtension([
          { type: "ip", value: "127.0.0.1" },
          { type: "dns", value: "localhost" },
        ]),
        await AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
      ],
    },
    webcrypto,
  );
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    caCertificate: `${ca.toString("pem")}\n`,
    tlsKey: PemConverter.encode(pkcs8, "PRIVATE KEY"),
    tlsCertificate: `${certificate.toString("pem")}\n`,
  };
}
