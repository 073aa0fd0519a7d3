import type { Refusal } from "./refusal.ts";
import type { TargetCustom } from "./shapes.ts";

/** The newest release of an artifact that this node has ever installed. */
export interface InstalledRelease {
  readonly releaseCounter: number;
  /** Path of one of its files, where its rollback rule stands. */
  readonly path: string;
}

/** What a node keeps, in one row or file written at once. Every file in it was verified when it came in. */
export interface TrustState {
  /** Last accepted file by role; `root` is always there. */
  readonly trusted: ReadonlyMap<string, Uint8Array>;
  /**
   * No time before this is believed: build time at first, then the last time at which metadata was found fresh. 0 after a root
   * that names other timestamp keys: what the old ones said of the time is not believed any more.
   */
  readonly floorMs: number;
  /** Highest revision of an order (the node's signed desired state) that was followed. */
  readonly orderRevision: number;
  /** By artifact; only grows, also when the node goes back by a rollback rule. */
  readonly installed: ReadonlyMap<string, InstalledRelease>;
}

/** A file that the hub wants on this node. */
export interface WantedFile {
  readonly path: string;
  readonly length: number;
  readonly sha256: string;
}

/**
 * What the hub wants here: files of the node's desired state, whose signature, node and revision `domain/link/desired.ts` of the
 * agent has judged. It is Uptane's director: it chooses among what was released, and adds nothing to it.
 */
export interface Order {
  readonly nodeId: string;
  readonly revision: number;
  readonly files: readonly WantedFile[];
}

/** Who decides. */
export interface Self {
  readonly nodeId: string;
  readonly hardwareId: string;
}

/** What came in. */
export interface OfferedFiles {
  /**
   * By file name: `5.root.json`, `timestamp.json`, `9.snapshot.json`, `3.targets.json`, `4.releases.json`. "absent" where the
   * source was asked and has none.
   */
  readonly metadata: ReadonlyMap<string, Uint8Array | "absent">;
  /** Without one all metadata is verified and nothing is to be installed. */
  readonly order?: { readonly wanted: Order; readonly self: Self };
}

/** A file that may be fetched and installed: released, and wanted here. */
export interface TrustedTarget extends WantedFile {
  readonly custom: TargetCustom;
  /** Role that released it. */
  readonly role: string;
  /** Versions by which it was released, for the receipt. */
  readonly rootVersion: number;
  readonly targetsVersion: number;
}

/** One accepted file, for reports and alarms. */
export interface RoleSummary {
  readonly role: string;
  readonly version: number;
  readonly expiresMs: number;
}

/** In every case `state` is what to store: progress that was verified is kept also when a later step is refused. */
export type Decision =
  /** The next file to fetch. Ask again with it, and with `state` as what is stored. */
  | {
      readonly kind: "needs";
      readonly state: TrustState;
      readonly file: string;
      /** Stop reading here: what is longer would be refused. */
      readonly bytesMax: number;
    }
  | {
      readonly kind: "accepted";
      readonly state: TrustState;
      /** All of it or nothing. */
      readonly install: readonly TrustedTarget[];
      /** "unattested": no trusted time was there, expiry was judged by the floor alone. */
      readonly freshness: "attested" | "unattested";
      readonly roles: readonly RoleSummary[];
    }
  | ({ readonly kind: "refused"; readonly state: TrustState } & Refusal);
