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
  /** Makes a greater epoch durable (hub said `epoch-behind`); `nextSeq` begins again at 1. */
  raiseEpoch(epoch: number): void;
  /**
   * Number of the next message of this epoch, from 1. Given when a message is sent, not when it is queued: a birth comes
   * before what waited. Kept in memory only: the epoch grows at each start, so no pair is ever given twice.
   */
  nextSeq(): number;

  /** The desired state that was last accepted; undefined before the first. */
  desired(): AcceptedDesired | undefined;
  /**
   * Least revision that may be accepted: above the present one, and no less than any that was ever accepted, also when
   * the database had to be restored from an older copy.
   */
  revisionFloor(): number;
  /** Asserts that the revision is not below the floor. */
  acceptDesired(desired: AcceptedDesired): void;
  convergedRevision(): number;
  setConvergedRevision(revision: number): void;

  instances(): readonly InstanceRecord[];
  putInstance(record: InstanceRecord): void;
  deleteInstance(id: string): void;

  /**
   * Puts a message at the end of the outbox. One with a `coalesceKey` removes the waiting one with the same key; was that
   * one under way already, the hub gets both, in order. At OUTBOX_COUNT_MAX the oldest notice is dropped and counted (the
   * oldest message, when there is no notice). Throws CodedError `database-full` when the disk is.
   */
  enqueue(message: OutboxDraft): void;
  /** Oldest first. */
  outbox(limit: number): readonly OutboxMessage[];
  /** How many messages wait. */
  outboxCount(): number;
  /** Removes what the hub has acknowledged; no error when it is gone already. */
  acknowledge(ids: readonly string[]): void;
  /** Drops every waiting report and birth: a new birth supersedes them. */
  supersedeReports(): void;
  /** Messages dropped at the limit, over the life of this store. */
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

/** Its `id` stays the same however often it is sent, so that the hub can tell a repetition. */
export interface OutboxMessage {
  readonly id: string;
  readonly kind: UpKind;
  readonly body: unknown;
  readonly replyTo?: string;
}

export type { ContainerProcess, InstanceRecord, ProcessIdentity };

/** Observed instance as the agent reports it. */
export type Reported = ReportedInstance;
