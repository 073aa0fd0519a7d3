import type { DesiredState } from "@flotilla/shared/model/desired-state";
import type { ReportedInstance } from "@flotilla/shared/model/reported-state";
import type { UpKind } from "@flotilla/shared/protocol/topics";
import type {
  ContainerProcess,
  InstanceRecord,
  ProcessIdentity,
} from "../../domain/reconcile/instance-record.ts";

/**
 * Everything that the agent must know after a power cut. One SQLite file, one writer; each method is one durable
 * transaction (synchronous=FULL) unless it runs inside `transaction`. Synchronous on purpose: there is no await between
 * reading and writing.
 */
export interface AgentStore {
  /** Runs `work` as one transaction; rolls back when it throws. */
  transaction<T>(work: () => T): T;

  /** Epoch of this agent start: durable and greater than every one before, also after a restore from an older copy. */
  readonly epoch: number;
  /** Makes a greater epoch durable (hub said `epoch-behind`); `seq` begins again at 1. */
  raiseEpoch(epoch: number): void;

  /** The desired state that was last accepted; undefined before the first. */
  desired(): AcceptedDesired | undefined;
  /** Asserts that the revision grows. */
  acceptDesired(desired: AcceptedDesired): void;
  convergedRevision(): number;
  setConvergedRevision(revision: number): void;

  instances(): readonly InstanceRecord[];
  putInstance(record: InstanceRecord): void;
  deleteInstance(id: string): void;

  /**
   * Puts a message into the outbox with the next `seq` of the epoch. A message with a `coalesceKey` takes the place of a
   * waiting one with the same key that has not been sent yet. At OUTBOX_COUNT_MAX the oldest notice is dropped and counted.
   */
  enqueue(message: OutboxDraft): void;
  /** Oldest first. */
  outbox(limit: number): readonly OutboxMessage[];
  /** Removes what the hub has acknowledged. */
  acknowledge(id: string): void;
  /** Drops every waiting report and birth: a new birth supersedes them. */
  supersedeReports(): void;
  readonly droppedCount: number;
}

/** Most messages that wait for the hub. */
export const OUTBOX_COUNT_MAX = 10_000;

export interface AcceptedDesired {
  readonly state: DesiredState;
  /** The signed text as it came, kept so that a restart can verify it again. */
  readonly payload: string;
  readonly signature: string;
  readonly keyId: string;
}

export interface OutboxDraft {
  readonly kind: UpKind;
  readonly body: unknown;
  readonly coalesceKey?: string;
  readonly replyTo?: string;
}

export interface OutboxMessage {
  readonly id: string;
  readonly kind: UpKind;
  readonly epoch: number;
  readonly seq: number;
  readonly body: unknown;
  readonly replyTo?: string;
}

export type { ContainerProcess, InstanceRecord, ProcessIdentity };

/** Observed instance as the agent reports it. */
export type Reported = ReportedInstance;
