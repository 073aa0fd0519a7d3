/**
 * Why an enrolment or a renewal did not come about. `enrolment-refused` carries the hub's own code in its fields and the
 * hub's message and mend.
 */
export type EnrolmentErrorCode =
  | "ca-mismatch"
  | "hub-unreachable"
  | "enrolment-refused"
  | "bad-answer"
  | "bad-join-string"
  | "not-enrolled";

/** The hub's enrolment endpoints, as the agent calls them. Both throw CodedError with an EnrolmentErrorCode. */
export interface EnrolmentClient {
  /**
   * Fetches the CA certificate and goes on only when its SHA-256 is the join string's; not a byte of the token leaves
   * before that, nor to a server that has no certificate of that CA.
   */
  join(request: {
    readonly join: JoinString;
    readonly nodeName: string;
    readonly csr: string;
  }): Promise<EnrolmentAnswer>;
  renew(request: {
    readonly apiUrl: string;
    readonly caCertificate: string;
    readonly certificate: string;
    readonly csr: string;
    readonly message: string;
    readonly signature: string;
  }): Promise<EnrolmentAnswer>;
}

/** Parts of `flotilla://<host:port>/<token name>.<secret>#sha256:<fingerprint>`. */
export interface JoinString {
  readonly apiUrl: string;
  readonly token: string;
  readonly caFingerprint: string;
}

export interface EnrolmentAnswer {
  readonly nodeId: string;
  readonly shard: string;
  readonly certificate: string;
  readonly caCertificate: string;
  readonly signingKey: string;
  readonly mqttUrl: string;
}

/** Makes keys and requests. The private key never leaves the device. */
export interface KeyMaker {
  /** EC P-256 key (PKCS#8 PEM) and a PKCS#10 request (PEM) signed by it. */
  makeKeyAndCsr(nodeName: string): Promise<{ readonly privateKey: string; readonly csr: string }>;
  /** Base64 of the ECDSA signature with SHA-256, DER. */
  sign(privateKey: string, message: string): string;
  /** True when the certificate was issued by this CA for this key and this node. */
  isUsable(credentials: {
    readonly certificate: string;
    readonly privateKey: string;
    readonly caCertificate: string;
    readonly nodeId: string;
  }): boolean;
  certificateTimes(certificate: string): {
    readonly notBeforeMs: number;
    readonly notAfterMs: number;
  };
  sha256Hex(text: string): string;
}
