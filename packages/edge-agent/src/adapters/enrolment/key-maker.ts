// tsyringe, inside @peculiar/x509, wants this loaded before it.
import "reflect-metadata";
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  sign,
  webcrypto,
  X509Certificate,
} from "node:crypto";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import type { KeyMaker } from "../../app/enrolment/ports.ts";

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;

/** Keys and requests of this device, and what is read from certificates. */
export class DeviceKeyMaker implements KeyMaker {
  async makeKeyAndCsr(
    nodeName: string,
  ): Promise<{ readonly privateKey: string; readonly csr: string }> {
    const pair = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      publicKeyEncoding: { type: "spki", format: "der" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    const pkcs8 = createPrivateKey(pair.privateKey).export({ type: "pkcs8", format: "der" });
    const { subtle } = webcrypto;
    const keys = {
      privateKey: await subtle.importKey("pkcs8", pkcs8, P256, false, ["sign"]),
      publicKey: await subtle.importKey("spki", pair.publicKey, P256, true, ["verify"]),
    };
    const csr = await Pkcs10CertificateRequestGenerator.create(
      {
        name: [{ CN: [nodeName] }],
        keys,
        signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      },
      webcrypto,
    );
    return { privateKey: pair.privateKey, csr: `${csr.toString("pem").trimEnd()}\n` };
  }

  sign(privateKey: string, message: string): string {
    return sign("sha256", Buffer.from(message), createPrivateKey(privateKey)).toString("base64");
  }

  isUsable(credentials: {
    readonly certificate: string;
    readonly privateKey: string;
    readonly caCertificate: string;
    readonly nodeId: string;
  }): boolean {
    try {
      const certificate = new X509Certificate(credentials.certificate);
      const ca = new X509Certificate(credentials.caCertificate);
      return (
        certificate.subject === `CN=${credentials.nodeId}` &&
        certificate.checkPrivateKey(createPrivateKey(credentials.privateKey)) &&
        certificate.checkIssued(ca) &&
        certificate.verify(ca.publicKey)
      );
    } catch {
      return false;
    }
  }

  certificateTimes(certificate: string): {
    readonly notBeforeMs: number;
    readonly notAfterMs: number;
  } {
    const { validFromDate, validToDate } = new X509Certificate(certificate);
    return { notBeforeMs: validFromDate.getTime(), notAfterMs: validToDate.getTime() };
  }

  sha256Hex(text: string): string {
    return createHash("sha256").update(text).digest("hex");
  }
}
