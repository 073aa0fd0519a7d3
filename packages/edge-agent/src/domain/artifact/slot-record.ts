import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { TrustedTarget } from "@flotilla/shared/trust/state";

/**
 * What the agent knows of the artifacts of one instance beyond what lies on the disk. There are two slots; one is current, in the
 * other the next set of artifacts is made. Written before the deed, so that a crash between the two is found again.
 */

/** The two halves of an instance's place for artifacts. */
export type SlotName = "a" | "b";

/** Most sets that are remembered as failed, the newest first. */
export const FAILED_SETS_MAX = 16;

/** Where an instance's artifacts are between two sets. SPEC.md holds the table. */
export type SlotPhase =
  /** No set lies here that can be used. */
  | "absent"
  /** The next set is being made in the other slot. */
  | "preparing"
  /** The next set lies whole in the other slot. */
  | "prepared"
  /** `current` is about to lead to the next set. */
  | "switching"
  /** The current set is being tried: its health window runs. */
  | "trial"
  /** The current set is good. */
  | "committed"
  /** The current set has failed; `current` is about to lead to the last good one. */
  | "rolling-back";

/** A whole, verified set of artifacts in one slot. */
export interface SlotContents {
  /** Digest of the set: `SetDigest`. */
  readonly set: string;
  /** What was desired with it; its `artifacts` are the set. What is gone back to is this. */
  readonly desired: DesiredInstance;
  /** By what the files may be installed; receipts are made of it at the commit. */
  readonly targets: readonly TrustedTarget[];
  /** It passed its health window, and has not been switched to since. */
  readonly isGood: boolean;
}

/** How the current set does. */
export interface Trial {
  /** Boot clock by which it must have passed its health window; valid with `bootId` only. */
  readonly deadlineBootMs: number;
  readonly bootId: string;
  /** Boots of the machine during the trial, the first not counted. */
  readonly boots: number;
  /** Failures in a row of the instance when it was switched to: they are not the set's. */
  readonly failuresBefore: number;
  /** Why it failed though there is nothing to go back to: it is tried on. */
  readonly failing?: Failure;
}

export interface Failure {
  /** One word, such as CrashLoop. */
  readonly reason: string;
  readonly message: string;
}

/** A set that failed here. It is not tried again until an operator asks. */
export interface FailedSet extends Failure {
  readonly set: string;
  /** For people: `detector 8.0.0`. */
  readonly releases: readonly { readonly name: string; readonly version: string }[];
  readonly failedWallMs: number;
}

/** How a running workload is told that its files are others now. */
export type Reload =
  | { readonly kind: "signal"; readonly signal: "SIGHUP" | "SIGUSR1" | "SIGUSR2" }
  | { readonly kind: "http"; readonly port: number; readonly path: string };

/** Durable, one for each instance that has, or is to have, artifacts. */
export interface SlotRecord {
  /** Of the instance. */
  readonly id: string;
  readonly phase: SlotPhase;
  /** What lies whole in each slot; absent: nothing that is known to be whole. */
  readonly a?: SlotContents;
  readonly b?: SlotContents;
  /** Where `current` leads to; absent before the first switch. */
  readonly current?: SlotName;
  /** While preparing, prepared and switching: the other slot. */
  readonly next?: SlotName;
  readonly trial?: Trial;
  /** The last good set, when its files were found to be others: it is made anew where what is wanted has failed. */
  readonly damaged?: SlotContents;
  /** What the running workload has still to be told after a switch under it. */
  readonly reloads: readonly Reload[];
  readonly failed: readonly FailedSet[];
}

/** The slot that is not this one. */
export function otherSlot(slot: SlotName): SlotName {
  return slot === "a" ? "b" : "a";
}

/** What `current` leads to, when it is whole. */
export function currentContents(record: SlotRecord): SlotContents | undefined {
  return record.current === undefined ? undefined : record[record.current];
}

/** The slot whose set can be gone back to: it passed its health window. */
export function goodSlot(record: SlotRecord): SlotName | undefined {
  const { current } = record;
  if (current === undefined) return undefined;
  if (record[current]?.isGood === true) return current;
  const other = otherSlot(current);
  return record[other]?.isGood === true ? other : undefined;
}

/** A slot that nobody goes on with or back to: what lies in it was dropped, or has failed. */
export function isIdleSlot(record: SlotRecord, slot: SlotName): boolean {
  return slot !== record.current && slot !== record.next && record[slot]?.isGood !== true;
}

/**
 * The slot from which an instance may be run with this set: the current one, the one that is prepared to become it, the one that is
 * gone back to. Whatever else lies whole is made ready first.
 */
export function usableSlot(record: SlotRecord | undefined, set: string): SlotName | undefined {
  if (record === undefined) return undefined;
  const { current, next, phase } = record;
  const good = phase === "rolling-back" ? goodSlot(record) : undefined;
  const ready = phase === "prepared" || phase === "switching" ? next : undefined;
  const slots = phase === "rolling-back" ? [good] : [current, ready];
  return slots.find((slot) => slot !== undefined && record[slot]?.set === set);
}

/** What is run where what is wanted has failed: the last good set, whether it lies whole or has to be made anew. */
export function lastGood(record: SlotRecord | undefined): SlotContents | undefined {
  if (record === undefined) return undefined;
  const slot = goodSlot(record);
  return slot === undefined ? record.damaged : record[slot];
}

/** What failed of a set here; undefined: nothing. */
export function failureOf(record: SlotRecord | undefined, set: string): FailedSet | undefined {
  return record?.failed.find((failure) => failure.set === set);
}
