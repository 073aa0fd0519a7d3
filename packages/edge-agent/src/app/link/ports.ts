/** The MQTT session as a port. mqtt.js stays behind it. */
export interface SessionOptions {
  readonly url: string;
  readonly nodeId: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly caCertificate: string;
  /** Published by the broker when the session breaks. */
  readonly will: { readonly topic: string; readonly payload: Uint8Array };
  readonly subscriptions: readonly string[];
  readonly keepaliveSeconds: number;
  readonly connectTimeoutMs: number;
}

/** Why a session could not be opened or has ended. */
export type SessionEnd =
  | { readonly kind: "closed" }
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "unreachable"; readonly detail: string }
  /** The certificate was not accepted: renew it before trying again. */
  | { readonly kind: "unauthorized"; readonly detail: string };

export interface Session {
  /** Resolves when the broker has acknowledged (QoS 1), which the hub does after its commit. Rejects when the session ends first. */
  publish(topic: string, payload: Uint8Array, options: { readonly retain: boolean }): Promise<void>;
  /** Resolves when the session is over; never rejects. */
  readonly ended: Promise<SessionEnd>;
  close(): Promise<void>;
}

export interface Link {
  /**
   * Opens a clean session and subscribes. Resolves with the end when it could not be opened, also when `signal` is aborted
   * first; a session that is open is closed by the abort.
   */
  open(
    options: SessionOptions,
    onMessage: (topic: string, payload: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<
    | { readonly ok: true; readonly session: Session }
    | { readonly ok: false; readonly end: SessionEnd }
  >;
}

/** Checks the hub's signature over a desired state. */
export interface SignatureVerifier {
  /** True when `signature` (base64) is the hub's over `payload`. `keyId` must be the known key's. */
  verify(desired: {
    readonly payload: string;
    readonly signature: string;
    readonly keyId: string;
  }): boolean;
}

/** Key, certificate and addresses: what enrolment left in the state directory. */
export interface Credentials {
  readonly nodeId: string;
  readonly shard: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly caCertificate: string;
  readonly signingKey: string;
  readonly mqttUrl: string;
  readonly apiUrl: string;
  readonly certificateNotBeforeMs: number;
  readonly certificateExpiresMs: number;
}

export interface CredentialStore {
  load(): Credentials | undefined;
  /** Durable, files 0600, atomically as a whole. */
  save(credentials: Credentials): void;
}
