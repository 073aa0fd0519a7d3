/** The hub's enrolment endpoints, as the agent calls them. */
export interface EnrolmentClient {
  /**
   * Fetches the CA certificate and returns it only when its SHA-256 is the join string's; not a byte of the token leaves
   * before that. Throws CodedError `ca-mismatch` or `hub-unreachable`.
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
  sign(privateKey: string, message: string): string;
  certificateTimes(certificate: string): {
    readonly notBeforeMs: number;
    readonly notAfterMs: number;
  };
  sha256Hex(text: string): string;
}
