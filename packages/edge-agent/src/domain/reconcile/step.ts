import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import type { ContainerProcess, InstanceRecord, ProcessIdentity } from "./instance-record.ts";

/** Why something is not done now. */
export type WaitReason =
  /** It failed a moment ago. */
  | "BackOff"
  /** SIGTERM was sent; the grace period runs. */
  | "Stopping"
  /** SIGKILL was sent; the kernel has not ended it yet. */
  | "Killing"
  /** An agent died while it started this; a process that has not shown itself yet gets a moment to. */
  | "Settling"
  /** A process of an earlier run, or of a lost record, is being stopped first. */
  | "LeftoverRuns"
  /** A device that it has is still used by another instance, which is stopping. */
  | "DeviceBusy"
  /** Others are started first; so many in one pass. */
  | "StartQueue"
  /** No desired state was accepted yet, so nothing that runs is judged. */
  | "NoDesiredState"
  /** The artifacts that it is to run with are not there yet; what ran goes on. */
  | "ArtifactsPending"
  /** An update lock holds back the change; what ran goes on. */
  | "UpdateLocked"
  /** The artifacts that it is to run with failed here; the last good ones run. */
  | "RolledBack";

/** Why an instance is not, or not yet, as the desired state says. */
export interface Hold {
  readonly reason: WaitReason;
  /** Boot clock; absent: until something happens. */
  readonly untilBootMs?: number;
  readonly message: string;
}

/**
 * One next step. The planner returns data, the reconciler has exactly one executor for each kind. Steps that carry `next`
 * or `record` write that record before the deed.
 */
export type Step =
  /** Write `starting` under a new run id, start every container, write `running`. */
  | {
      readonly kind: "start";
      readonly id: string;
      readonly desired: DesiredInstance;
      readonly before: InstanceRecord | undefined;
    }
  /** Take over a run that lives: found by its run id in the environment. */
  | {
      readonly kind: "adopt";
      readonly id: string;
      readonly next: InstanceRecord;
    }
  /** Write `stopping`, then ask the process groups to end. */
  | {
      readonly kind: "signal-term";
      readonly id: string;
      readonly next: InstanceRecord;
      readonly targets: readonly ProcessIdentity[];
    }
  /** The grace period is over. */
  | {
      readonly kind: "signal-kill";
      readonly id: string;
      readonly runId: string;
      readonly targets: readonly ProcessIdentity[];
    }
  /** A run has ended: `next` says how, and when it is tried again. */
  | { readonly kind: "record-exit"; readonly id: string; readonly next: InstanceRecord }
  /** Nothing is left and nobody asks for it: drop the record, its logs and exit records. */
  | { readonly kind: "forget"; readonly id: string }
  /** Stop a run that carries this agent's id and that no record names. */
  | {
      readonly kind: "signal-orphan";
      readonly id: string;
      readonly runId: string;
      readonly signal: "SIGTERM" | "SIGKILL";
      readonly targets: readonly ProcessIdentity[];
    }
  | {
      readonly kind: "wait";
      readonly id: string;
      readonly reason: WaitReason;
      /** Boot clock; absent: until something happens. */
      readonly untilBootMs?: number;
      readonly message: string;
    };

export type StepKind = Step["kind"];

/** A live process with what its environment says. */
export interface FoundProcess extends ContainerProcess {
  readonly instanceId: string;
  readonly runId: string;
  /** What it was started from: `runDigest`. */
  readonly specDigest: string;
  /** True for the leader of a process group, as every container's first process is. */
  readonly leadsGroup: boolean;
}

/** How a container's first process ended. */
export interface ExitStatus {
  /** 128 + signal number when a signal ended it. */
  readonly exitCode: number;
  readonly finishedWallMs: number;
}

/** What is seen of the run that a record names. */
export interface ObservedRun {
  /** First processes of the containers that live. */
  readonly leaders: readonly ContainerProcess[];
  /** Other live processes of the run; looked for only when the run is not simply whole. */
  readonly remnants: readonly ProcessIdentity[];
  /** Exits that are known, by container. */
  readonly exits: ReadonlyMap<string, ExitStatus>;
}

/** A live run of this agent that no record names: after a crash with a lost or restored store. */
export interface OrphanRun {
  readonly instanceId: string;
  readonly runId: string;
  /** What it was started from: `runDigest`. */
  readonly specDigest: string;
  readonly processes: readonly FoundProcess[];
}

/** What the probes say of an instance. */
export interface Health {
  readonly ready: boolean;
  /** A container is to be restarted: its startup or liveness probe failed as often as it may. */
  readonly unhealthy?: {
    readonly reason: "StartupFailed" | "LivenessFailed";
    readonly message: string;
  };
  /** Why it is not ready. */
  readonly message?: string;
}

/** Signals that this agent process has sent to a run; not durable, so a new agent asks again. */
export interface SentSignals {
  readonly termBootMs: number;
  readonly killBootMs?: number;
}

/** Time of a pass, read once. */
export interface Now {
  readonly bootMs: number;
  readonly wallMs: number;
  readonly bootId: string;
}

/** Everything that one pass looks at. */
export interface PlanInput {
  /** The last accepted desired state, as far as it can be carried out now; undefined before the first. */
  readonly desired: DesiredState | undefined;
  /** By instance: in what `desired` falls short of what was accepted. */
  readonly holds?: ReadonlyMap<string, Hold>;
  /** By instance: why it may run on, but not be started. */
  readonly startHolds?: ReadonlyMap<string, Hold>;
  readonly records: readonly InstanceRecord[];
  /** What is seen of each record's run, by instance id. */
  readonly observed: ReadonlyMap<string, ObservedRun>;
  readonly orphans: readonly OrphanRun[];
  readonly health: ReadonlyMap<string, Health>;
  /** Signals that this agent process sent, by run id. */
  readonly sent: ReadonlyMap<string, SentSignals>;
  readonly now: Now;
  /** Boot clock when this agent process began to look. */
  readonly agentStartedBootMs: number;
}
