import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import type { Machine, SimProcess } from "../node/machine.ts";

/** A message's place in the life of its node. */
export interface Position {
  readonly epoch: number;
  readonly seq: number;
}

/** What is known of one node from what it really did. */
export interface NodeTruth {
  readonly machine: Machine;
  /** Newest number that its store gave. */
  gave: Position;
  /** Newest number that it sent, its own or another's. */
  said: Position;
  /** Every instance that it ever reported, as text. */
  readonly reports: Set<string>;
  readonly bootIds: Set<string>;
  /** Instances as they were ever asked for: id and digest of the run. */
  readonly asked: Set<string>;
  accepted: { readonly revision: number; readonly payload: string } | undefined;
  /** Instances of Jobs that ended well here, with their spec, as long as they are asked for. */
  readonly succeeded: Set<string>;
  life: string | undefined;
  /** Ids of messages whose storing the hub has promised. */
  readonly acknowledged: Set<string>;
}

/** True when a comes after b. */
export function isAbove(a: Position, b: Position): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq);
}

/** What a process does, whichever run of it. */
export function workOf({ instanceId, specDigest }: SimProcess): string {
  return `${instanceId} ${specDigest}`;
}

/** The instance of the accepted desired state that a process belongs to. */
export function instanceOf(machine: Machine, process: SimProcess): DesiredInstance | undefined {
  return machine.disk.database.desired?.state.instances.find((i) => i.id === process.instanceId);
}

/** Live processes of one instance on this machine. */
export function copiesOf(machine: Machine, instanceId: string): readonly SimProcess[] {
  return [...machine.processes.values()].filter((p) => p.instanceId === instanceId);
}

/** Live processes of the same run. */
export function runOf(machine: Machine, process: SimProcess): readonly SimProcess[] {
  return copiesOf(machine, process.instanceId).filter((p) => p.runId === process.runId);
}
