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
