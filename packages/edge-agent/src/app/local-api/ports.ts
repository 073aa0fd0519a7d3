import type { ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { ReportedInstance } from "@flotilla/shared/model/reported-state";
import type { LogTail } from "../reconcile/ports.ts";

/** What the agent tells on its own socket, with or without a hub. Plain data: it goes over the socket as JSON. */
export interface LocalApi {
  status(): LocalStatus;
  plan(): LocalPlan;
  /** Undefined: this node knows no such instance. */
  why(instanceId: string): LocalWhy | undefined;
  /** Undefined: there is no such log. */
  log(request: {
    readonly instanceId: string;
    readonly container?: string;
    readonly tailLines: number;
  }): LogTail | undefined;
}

/** What an operator does on the node itself, over the same socket. Throws CodedError with what is wrong. */
export interface LocalOperations {
  /** Holds updates back. Codes: UpdateLockErrorCode. */
  lock(request: {
    readonly instance?: string;
    readonly reason: string;
    readonly forMs: number;
  }): LocalLock;
  /** False: there was none. */
  unlock(instance: string | undefined): boolean;
  /** What failed on an instance may be tried again; returns how many sets of artifacts that are. Code `not-found`. */
  retry(instance: string): number;
  artifacts(): LocalArtifacts;
}

/** What holds updates back now. */
export interface LocalLock {
  /** Absent: every instance. */
  readonly instance?: string;
  readonly by: "operator" | "workload";
  readonly reason: string;
  /** ISO 8601. */
  readonly until: string;
}

/** Everything about artifacts on this node. */
export interface LocalArtifacts {
  readonly node: ReportedArtifacts | undefined;
  readonly instances: readonly LocalInstanceArtifacts[];
}

export interface LocalInstanceArtifacts {
  readonly id: string;
  readonly artifacts: NonNullable<ReportedInstance["artifacts"]>;
  /** Folder that the workload has as FLOTILLA_ARTIFACTS. */
  readonly folder: string;
  /** Sets that failed here and are not tried again. */
  readonly failed: readonly {
    readonly releases: string;
    readonly reason: string;
    readonly message: string;
    readonly failedAt: string;
  }[];
}

export interface LocalStatus {
  readonly nodeId: string;
  readonly agentVersion: string;
  readonly pid: number;
  readonly link: LinkView;
  /** Revision of the desired state that was accepted last; 0 before the first. */
  readonly acceptedRevision: number;
  readonly convergedRevision: number;
  /** Messages that wait for the hub. */
  readonly outboxCount: number;
  /** Time since the last pass of the reconciler. */
  readonly lastPassAgoMs: number;
  readonly instances: readonly ReportedInstance[];
  readonly locks: readonly LocalLock[];
}

/** How the agent stands to its hub. */
export interface LinkView {
  readonly connected: boolean;
  readonly detail: string;
}

/** What would be done now, one line each; empty when everything is as it should be. */
export interface LocalPlan {
  readonly acceptedRevision: number;
  readonly steps: readonly PlannedStep[];
}

export interface PlannedStep {
  readonly instance: string;
  /** Kind of the step; `wait` when it is not done now. */
  readonly step: string;
  readonly reason?: string;
  /** Time until it is looked at again, when that is known. */
  readonly waitMs?: number;
  readonly message: string;
}

/** Everything that explains one instance. */
export interface LocalWhy {
  readonly instance: ReportedInstance;
  readonly desired: {
    readonly revision: number;
    readonly wanted: boolean;
    readonly specDigest?: string;
  };
  readonly step?: PlannedStep;
  readonly failureCount: number;
  readonly runId?: string;
  readonly processes: readonly { readonly container: string; readonly pid: number }[];
  /** The story in sentences. */
  readonly because: readonly string[];
}
