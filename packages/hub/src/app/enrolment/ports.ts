import type { ObjectOf } from "@flotilla/shared/model/kinds";

/** Enrolment: a join token becomes a client certificate; a certificate near its end becomes a new one. */

/** Signs certificates. `serial` is lower-case hexadecimal without leading zeros; PEM texts end with a newline. */
export interface CertificateAuthority {
  /** The CA's certificate, PEM. */
  readonly caCertificate: string;
  /** Lower-case hexadecimal SHA-256 of the CA certificate's DER. */
  readonly fingerprint: string;
  /**
   * A client certificate for this node. Of the PKCS#10 request only the public key is taken, after its self-signature was
   * checked; EC P-256 or Ed25519 only. Throws EnrolmentError `bad-request` for anything else.
   */
  issueNodeCertificate(request: {
    readonly csr: string;
    readonly nodeId: string;
    readonly nowMs: number;
  }): Promise<IssuedCertificate>;
  /**
   * Checks that a renewal comes from who holds the key: the certificate is a node's, of this CA (an expired one too, up to
   * RENEWAL_GRACE_MS), and `signature` is made by its key over the UTF-8 bytes of `message`: base64 of Ed25519, or of
   * ECDSA with SHA-256 in DER.
   */
  verifyPossession(proof: {
    readonly certificate: string;
    readonly message: string;
    readonly signature: string;
  }): Promise<
    | { readonly ok: true; readonly nodeId: string; readonly serial: string }
    | { readonly ok: false; readonly reason: string }
  >;
}

export interface IssuedCertificate {
  readonly certificate: string;
  readonly serial: string;
  readonly expiresAtMs: number;
}

/** Body of POST /enrolment/v1/join. */
export interface JoinRequest {
  readonly token: string;
  readonly nodeName: string;
  readonly csr: string;
}

/** Body of POST /enrolment/v1/renew. `message` is `renew\n<nodeId>\n<wall ms>\n<sha256 of the csr PEM>`. */
export interface RenewRequest {
  readonly certificate: string;
  readonly csr: string;
  readonly message: string;
  /** Base64. */
  readonly signature: string;
}

/** Answer to both: everything that an agent needs to connect. */
export interface EnrolmentAnswer {
  readonly nodeId: string;
  readonly shard: string;
  readonly certificate: string;
  readonly caCertificate: string;
  /** Ed25519 public key, SPKI PEM, that signs desired states. */
  readonly signingKey: string;
  /** `mqtts://host:port`. */
  readonly mqttUrl: string;
}

/** Served over HTTP. Throws EnrolmentError (domain/enrolment/enrolment-error.ts) with a code from a closed set. */
export interface EnrolmentApi {
  join(request: JoinRequest, remoteAddress: string): Promise<EnrolmentAnswer>;
  renew(request: RenewRequest, remoteAddress: string): Promise<EnrolmentAnswer>;
  /** Makes the secret of a new JoinToken; called by the resource API before the token is stored. */
  mintSecret(): { readonly secret: string; readonly secretHash: string };
  /** `flotilla://<api host:port>/<token name>.<secret>#sha256:<CA fingerprint>`. */
  joinString(tokenName: string, secret: string): string;
}

/** Hash and random, as a port so that the service stays free of I/O. */
export interface EnrolmentCrypto {
  randomSecret(): string;
  sha256Hex(text: string): string;
  /** Comparison in constant time. */
  equal(a: string, b: string): boolean;
}

/** Where enrolment reports what an operator should see on a node; the hub's EventRecorder is one. Never throws. */
export interface EnrolmentEvents {
  record(event: {
    readonly about: ObjectOf<"EdgeNode">;
    readonly type: "Normal" | "Warning";
    readonly reason: string;
    readonly message: string;
  }): void;
}
