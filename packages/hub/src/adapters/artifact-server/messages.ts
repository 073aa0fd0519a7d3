import type { ServedPath } from "../../domain/artifact/served-path.ts";

/** What the hub's main thread and the thread of the artifact server tell each other. */

/** The server's certificate and the CA whose node certificates it takes, PEM. */
export interface ServerTls {
  readonly certificate: string;
  readonly privateKey: string;
  readonly caCertificate: string;
}

/** Where a server listens; port 0: any free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Ports that were had. */
export interface ServerPorts {
  readonly nodes: number;
  readonly administrators: number;
}

/** Given to the thread when it is made. */
export interface ServerSetup {
  readonly dataDir: string;
  /** Where nodes fetch. */
  readonly nodes: ListenAddress;
  /** Where administrators upload. */
  readonly administrators: ListenAddress;
  readonly tls: ServerTls;
  /** Hexadecimal SHA-256 of each administrator's token. */
  readonly tokenHashes: readonly string[];
  /** Overrides, for tests. */
  readonly limits?: Partial<ServerLimits>;
}

/** Limits that a test makes smaller. */
export interface ServerLimits {
  readonly nodeConnectionsMax: number;
  readonly pieceMsMax: number;
  readonly uploadIdleMsMax: number;
  readonly headersTimeoutMs: number;
  readonly admissionMs: number;
}

/** Questions of the thread; each is answered by a `reply` with its id. */
export type Question =
  | { readonly kind: "admits"; readonly nodeId: string; readonly serial: string }
  | { readonly kind: "time"; readonly nonce: string }
  | { readonly kind: "claim"; readonly sha256: string }
  | { readonly kind: "reserve"; readonly sha256: string; readonly bytes: number }
  | { readonly kind: "release"; readonly sha256: string }
  | { readonly kind: "stored"; readonly sha256: string; readonly bytes: number };

/** What comes back, by kind of question. */
export interface Answers {
  readonly admits: boolean;
  readonly time: Uint8Array;
  readonly claim: number | undefined;
  readonly reserve: undefined;
  readonly release: undefined;
  readonly stored: undefined;
}

/** A CodedError as it crosses from thread to thread. */
export interface ToldError {
  readonly code: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly mend: string | undefined;
}

export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: ToldError };

/** Thread to hub. */
export type FromServer =
  /** Uploads that an earlier life left open; comes before anything is asked. */
  | {
      readonly type: "found";
      readonly uploads: readonly { readonly sha256: string; readonly bytes: number }[];
    }
  | { readonly type: "listening"; readonly ports: ServerPorts }
  | { readonly type: "question"; readonly id: number; readonly question: Question }
  | { readonly type: "taken"; readonly id: number; readonly outcome: Outcome }
  | { readonly type: "counted"; readonly counts: Counts }
  | {
      readonly type: "log";
      readonly level: "debug" | "info" | "warn" | "error";
      readonly fields: Readonly<Record<string, unknown>>;
      readonly message: string;
    };

/** Hub to thread. */
export type ToServer =
  | { readonly type: "reply"; readonly id: number; readonly outcome: Outcome }
  | { readonly type: "tls"; readonly tls: ServerTls }
  /** Its connections are cut, and the hub is asked anew. */
  | { readonly type: "refused"; readonly nodeId: string }
  | { readonly type: "take"; readonly id: number; readonly path: string; readonly bytesMax: number }
  | { readonly type: "stop" };

export type ServedKind = ServedPath["kind"] | "time" | "none";
/** How a request for bytes ended. */
export type ServedOutcome =
  | "whole"
  | "part"
  | "unchanged"
  | "not-found"
  | "bad-request"
  | "refused"
  | "cut"
  | "failed";
export type UploadOutcome = "stored" | "altered" | "refused" | "cut" | "expired" | "failed";
/** Why a connection was closed before its first request. */
export type ConnectionRefusal = "half-open" | "tls" | "certificate" | "node-limit" | "limit";

/** What happened since it was told last. */
export interface Counts {
  readonly served: readonly {
    readonly kind: ServedKind;
    readonly outcome: ServedOutcome;
    readonly count: number;
    readonly bytes: number;
  }[];
  readonly uploads: readonly { readonly outcome: UploadOutcome; readonly count: number }[];
  readonly uploadedBytes: number;
  readonly refusals: readonly { readonly reason: ConnectionRefusal; readonly count: number }[];
  /** Open now. */
  readonly connections: number;
}
