import "reflect-metadata";
import {
  createHash,
  createPrivateKey,
  X509Certificate as NodeCertificate,
  verify,
} from "node:crypto";
import { isIP } from "node:net";
import { join } from "node:path";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { CodedError } from "@flotilla/shared/kernel/errors";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log } from "@flotilla/shared/kernel/service";
import {
  ensureDirectory,
  readFileIfExists,
  writeFileDurable,
} from "@flotilla/shared/platform/files";
import { X509Certificate } from "@peculiar/x509";
import type { CertificateAuthority, IssuedCertificate } from "../../app/enrolment/ports.ts";
import { publicKeyOfRequest } from "./certificate-request.ts";
import {
  BACKDATE_MS,
  CA_CERTIFICATE_MS,
  CERTIFICATE_LENGTH_MAX,
  NODE_CERTIFICATE_MS,
  PROOF_MESSAGE_LENGTH_MAX,
  RENEWAL_GRACE_MS,
  SERVER_CERTIFICATE_MS,
  SERVER_RENEWAL_MS,
} from "./limits.ts";
import { nodeIdOf, normalSerial } from "./node-identity.ts";
import {
  type Issuer,
  importKeyPair,
  makeCaCertificate,
  makeLeafCertificate,
  makePrivateKeyPem,
  pemOf,
  randomSerial,
} from "./x509.ts";

const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;
const CLIENT_AUTH_OID = "1.3.6.1.5.5.7.3.2";
const LOCAL_NAMES: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/** The CA cannot be used as it lies on the disk. */
export type PkiErrorCode = "ca-key-missing" | "ca-mismatch";

/** A server's certificate and key, PEM. */
export interface ServerCredentials {
  readonly certificate: string;
  readonly privateKey: string;
  readonly expiresAtMs: number;
}

interface Deps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Opens the certificate authority in `directory`, and makes it when there is none. The key is written, durably, before
 * the certificate; a crash between the two leaves a key for which the certificate is made at the next start, and since
 * nothing was signed yet nobody is any the wiser. A certificate without its key is never replaced: throws CodedError
 * `ca-key-missing`, or `ca-mismatch` when the two do not belong together.
 */
export async function openCertificateAuthority(
  options: { readonly directory: string; readonly name?: string },
  deps: Deps,
): Promise<FileCertificateAuthority> {
  const { directory } = options;
  ensureDirectory(directory, 0o700);
  const keyPath = join(directory, "ca.key");
  const certificatePath = join(directory, "ca.crt");
  const keyPem = readFileIfExists(keyPath);
  const certificatePem = readFileIfExists(certificatePath);
  if (keyPem === undefined && certificatePem !== undefined) throw keyMissing(keyPath);
  const usedKey = keyPem ?? makePrivateKeyPem();
  if (keyPem === undefined) writeFileDurable(keyPath, usedKey, KEY_MODE);
  const keys = await importKeyPair(usedKey);
  if (certificatePem !== undefined) {
    const certificate = new X509Certificate(certificatePem);
    if (!new NodeCertificate(certificatePem).checkPrivateKey(createPrivateKey(usedKey)))
      throw mismatch(directory);
    return new FileCertificateAuthority(
      { directory },
      { ...deps, issuer: { certificate, ...keys } },
    );
  }
  const certificate = await makeCaCertificate(keys, {
    name: options.name ?? "Flotilla hub CA",
    notAfterMs: deps.clock.wallMs() + CA_CERTIFICATE_MS,
    serial: randomSerial(deps.random),
  });
  writeFileDurable(certificatePath, pemOf(certificate), CERTIFICATE_MODE);
  deps.log.info({ directory }, "certificate authority made");
  return new FileCertificateAuthority({ directory }, { ...deps, issuer: { certificate, ...keys } });
}

/** The hub's own certificate authority: signs nodes' client certificates and the hub's server certificates. */
export class FileCertificateAuthority implements CertificateAuthority {
  readonly caCertificate: string;
  readonly fingerprint: string;
  readonly #directory: string;
  readonly #deps: Deps & { readonly issuer: Issuer };
  readonly #caForNode: NodeCertificate;

  constructor(options: { readonly directory: string }, deps: Deps & { readonly issuer: Issuer }) {
    this.#directory = options.directory;
    this.#deps = deps;
    this.caCertificate = pemOf(deps.issuer.certificate);
    this.#caForNode = new NodeCertificate(this.caCertificate);
    this.fingerprint = createHash("sha256").update(this.#caForNode.raw).digest("hex");
  }

  async issueNodeCertificate(request: {
    readonly csr: string;
    readonly nodeId: string;
    readonly nowMs: number;
  }): Promise<IssuedCertificate> {
    const publicKey = await publicKeyOfRequest(request.csr);
    const serial = randomSerial(this.#deps.random);
    const certificate = await makeLeafCertificate(this.#deps.issuer, {
      commonName: request.nodeId,
      names: [{ type: "dns", value: request.nodeId }],
      usage: "client",
      publicKey,
      serial,
      notBeforeMs: request.nowMs - BACKDATE_MS,
      notAfterMs: request.nowMs + NODE_CERTIFICATE_MS,
    });
    return {
      certificate: pemOf(certificate),
      serial,
      expiresAtMs: certificate.notAfter.getTime(),
    };
  }

  async verifyPossession(proof: {
    readonly certificate: string;
    readonly message: string;
    readonly signature: string;
  }): Promise<
    | { readonly ok: true; readonly nodeId: string; readonly serial: string }
    | { readonly ok: false; readonly reason: string }
  > {
    const certificate = readCertificate(proof.certificate);
    if (certificate === undefined) return no("certificate cannot be read");
    if (proof.message.length > PROOF_MESSAGE_LENGTH_MAX) return no("message is too long");
    if (!this.#isOurs(certificate)) return no("certificate was not issued by this hub");
    if (this.#deps.clock.wallMs() > certificate.validToDate.getTime() + RENEWAL_GRACE_MS)
      return no("certificate expired too long ago; enrol the node again with a join token");
    const nodeId = nodeIdOf(certificate);
    if (nodeId === undefined || certificate.keyUsage?.includes(CLIENT_AUTH_OID) !== true)
      return no("certificate is not a node's");
    if (!isSignedBy(certificate, proof))
      return no("signature is not made by the certificate's key");
    return { ok: true, nodeId, serial: normalSerial(certificate.serialNumber) };
  }

  /**
   * The certificate and key of one of the hub's servers, `<name>.crt` and `<name>.key` in the data dir. Made anew when
   * missing, when less than SERVER_RENEWAL_MS is left, when a name is not covered or when it is another CA's. The names
   * of the own machine are always in it.
   */
  async serverCredentials(request: {
    readonly name: "api" | "broker" | "artifacts";
    /** Host names and IP addresses that clients connect to. */
    readonly hosts: readonly string[];
  }): Promise<ServerCredentials> {
    const hosts = [...new Set([...LOCAL_NAMES, ...request.hosts])];
    const keyPath = join(this.#directory, `${request.name}.key`);
    const certificatePath = join(this.#directory, `${request.name}.crt`);
    const privateKey = readFileIfExists(keyPath) ?? makePrivateKeyPem();
    const stored = readCertificate(readFileIfExists(certificatePath) ?? "");
    if (stored !== undefined && this.#isServable(stored, privateKey, hosts))
      return {
        certificate: stored.toString(),
        privateKey,
        expiresAtMs: stored.validToDate.getTime(),
      };
    const certificate = await makeLeafCertificate(this.#deps.issuer, {
      commonName: `flotilla hub ${request.name}`,
      names: hosts.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
      usage: "server",
      publicKey: (await importKeyPair(privateKey)).publicKey,
      serial: randomSerial(this.#deps.random),
      notAfterMs: this.#deps.clock.wallMs() + SERVER_CERTIFICATE_MS,
    });
    writeFileDurable(keyPath, privateKey, KEY_MODE);
    writeFileDurable(certificatePath, pemOf(certificate), CERTIFICATE_MODE);
    this.#deps.log.info({ server: request.name, hosts }, "server certificate made");
    return {
      certificate: pemOf(certificate),
      privateKey,
      expiresAtMs: certificate.notAfter.getTime(),
    };
  }

  #isServable(certificate: NodeCertificate, privateKey: string, hosts: readonly string[]): boolean {
    const leftMs = certificate.validToDate.getTime() - this.#deps.clock.wallMs();
    return (
      leftMs > SERVER_RENEWAL_MS &&
      this.#isOurs(certificate) &&
      certificate.checkPrivateKey(createPrivateKey(privateKey)) &&
      hosts.every((host) =>
        isIP(host) === 0
          ? certificate.checkHost(host) !== undefined
          : certificate.checkIP(host) !== undefined,
      )
    );
  }

  #isOurs(certificate: NodeCertificate): boolean {
    return (
      certificate.checkIssued(this.#caForNode) &&
      certificate.verify(this.#caForNode.publicKey) &&
      !certificate.ca
    );
  }
}

function isSignedBy(
  certificate: NodeCertificate,
  proof: { readonly message: string; readonly signature: string },
): boolean {
  const key = certificate.publicKey;
  const hash = key.asymmetricKeyType === "ec" ? "sha256" : null;
  try {
    return verify(hash, Buffer.from(proof.message), key, Buffer.from(proof.signature, "base64"));
  } catch {
    return false;
  }
}

function readCertificate(pem: string): NodeCertificate | undefined {
  if (pem.length === 0 || pem.length > CERTIFICATE_LENGTH_MAX) return undefined;
  try {
    return new NodeCertificate(pem);
  } catch {
    return undefined;
  }
}

function no(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason };
}

function keyMissing(path: string): CodedError<PkiErrorCode> {
  return new CodedError("ca-key-missing", `the CA's certificate is there but not its key ${path}`, {
    fields: { path },
    mend: "Restore the key from the backup; only when it is lost for good, remove ca.crt and enrol every node anew.",
  });
}

function mismatch(directory: string): CodedError<PkiErrorCode> {
  return new CodedError("ca-mismatch", `ca.key and ca.crt in ${directory} do not belong together`, {
    fields: { directory },
    mend: "Restore both from the same backup.",
  });
}
