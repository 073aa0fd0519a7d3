import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { Pkcs10CertificateRequest, type PublicKey } from "@peculiar/x509";
import { EnrolmentError } from "../../domain/enrolment/enrolment-error.ts";
import { CSR_LENGTH_MAX } from "./limits.ts";

const PEM =
  /^\s*-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----\r?\n[A-Za-z0-9+/=\r\n]{1,16384}-----END (?:NEW )?CERTIFICATE REQUEST-----\s*$/;

/**
 * The public key of a PKCS#10 request, and nothing else of it: subject, names, extensions and attributes are ignored.
 * Size and form are judged before it is parsed; its signature must be made by its own key; the key must be EC P-256 or
 * Ed25519. Throws EnrolmentError `bad-request`.
 */
export async function publicKeyOfRequest(csr: string): Promise<PublicKey> {
  if (csr.length > CSR_LENGTH_MAX)
    throw refused(`csr has ${csr.length} characters, at most ${CSR_LENGTH_MAX}`);
  if (!PEM.test(csr)) throw refused("csr is not one PEM block of type CERTIFICATE REQUEST");
  const request = parse(csr);
  const { publicKey } = request;
  if (!isAccepted(publicKey)) throw refused("csr holds a key that is neither EC P-256 nor Ed25519");
  if (!(await isSignedByItself(request)))
    throw refused("csr is not signed by the key that it holds");
  return publicKey;
}

function parse(csr: string): Pkcs10CertificateRequest {
  const der = Buffer.from(csr.replaceAll(/-----[^-]+-----/g, ""), "base64");
  if (!isOneSequence(der)) throw refused("csr is not one DER sequence");
  try {
    return new Pkcs10CertificateRequest(der);
  } catch (error) {
    throw refused(`csr cannot be read: ${messageOf(error)}`);
  }
}

/** True when the bytes are one DER SEQUENCE with a definite length (X.690 §8.1.3) and nothing after it. */
function isOneSequence(der: Buffer): boolean {
  const [tag = 0, first = 0, second = 0, third = 0] = der;
  if (tag !== 0x30) return false;
  if (first < 0x80) return der.length === 2 + first;
  if (first === 0x81) return der.length === 3 + second;
  return first === 0x82 && der.length === 4 + second * 256 + third;
}

function isAccepted(key: PublicKey): boolean {
  const algorithm: { readonly name: string; readonly namedCurve?: unknown } = key.algorithm;
  return (
    (algorithm.name === "ECDSA" && algorithm.namedCurve === "P-256") || algorithm.name === "Ed25519"
  );
}

async function isSignedByItself(request: Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await request.verify(webcrypto);
  } catch {
    return false;
  }
}

function refused(message: string): EnrolmentError {
  return new EnrolmentError("bad-request", message, {
    mend: "Send a PKCS#10 request (PEM) for an EC P-256 key, signed by that key.",
  });
}
