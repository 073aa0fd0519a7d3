import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { ReportedArtifact, ReportedArtifacts } from "@flotilla/shared/model/artifact";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import type {
  InstancePhase,
  ReportedInstance,
  ReportedState,
} from "@flotilla/shared/model/reported-state";
import type { InstanceRecord } from "./instance-record.ts";
import { backoffMs } from "./restart.ts";
import type { Health, Hold } from "./step.ts";

/** Longest message of an instance, characters. */
export const REPORTED_MESSAGE_LENGTH_MAX = 256;
/** Above so many instances messages are left out, so that a report stays within one packet (UP_PACKET_BYTES_MAX). */
export const REPORTED_MESSAGES_MAX = 250;

/** What was measured of a running instance; what is absent is not known. */
export type InstanceUse = Pick<ReportedInstance, "milliCpu" | "metrics">;

/** What the agent tells of everything that it runs. Pure: the same facts give the same report, so only changes are sent. */
export function reportedState(facts: {
  readonly desired: DesiredState | undefined;
  readonly convergedRevision: number;
  readonly records: readonly InstanceRecord[];
  readonly health: ReadonlyMap<string, Health>;
  /** What an instance uses; absent: nothing is known. */
  readonly useOf?: (id: string) => InstanceUse;
  /** In what falls short what is carried out of the desired state, by instance. */
  readonly holds?: ReadonlyMap<string, Hold> | undefined;
  readonly artifacts?: ArtifactFacts;
}): ReportedState {
  const records = new Map(facts.records.map((r) => [r.id, r]));
  const wanted = new Map(facts.desired?.instances.map((i) => [i.id, i]));
  const notYet = (facts.desired?.instances ?? []).filter((i) => !records.has(i.id));
  const artifactsOf = (id: string): Pick<ReportedInstance, "artifacts"> => {
    const desired = wanted.get(id);
    const artifacts = desired === undefined ? undefined : facts.artifacts?.reportOf(desired);
    return artifacts === undefined ? {} : { artifacts: [...artifacts] };
  };
  const instances = [
    ...facts.records.map((record) =>
      withUse(reportedInstance(record, facts.health.get(record.id)), facts.useOf?.(record.id)),
    ),
    ...notYet.map((i): ReportedInstance => pending(i.id, i.specDigest, facts.holds?.get(i.id))),
  ]
    .map((instance) => ({
      ...withHold(instance, facts.holds?.get(instance.id)),
      ...artifactsOf(instance.id),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const isLong = instances.length > REPORTED_MESSAGES_MAX;
  const artifacts = facts.artifacts?.report();
  return {
    acceptedRevision: facts.desired?.revision ?? 0,
    convergedRevision: facts.convergedRevision,
    instances: isLong ? instances.map(withoutMessage) : instances,
    ...(artifacts === undefined ? {} : { artifacts }),
  };
}

/** What is told of artifacts. */
export interface ArtifactFacts {
  /** Undefined: the instance has none. */
  reportOf(desired: DesiredInstance): readonly ReportedArtifact[] | undefined;
  /** Undefined: nothing of artifacts was ever on this node. */
  report(): ReportedArtifacts | undefined;
}

function withUse(instance: ReportedInstance, use: InstanceUse | undefined): ReportedInstance {
  return instance.phase === "Running" ? { ...instance, ...use } : instance;
}

/** Of what runs well it is said what holds its next spec back. How far a download is stands with the artifact. */
function withHold(instance: ReportedInstance, hold: Hold | undefined): ReportedInstance {
  if (hold === undefined || hold.reason === "ArtifactsPending") return instance;
  if (instance.phase !== "Running" || instance.message !== undefined) return instance;
  return { ...instance, message: cut(`${hold.reason}: ${hold.message}`) };
}

function pending(id: string, specDigest: string, hold: Hold | undefined): ReportedInstance {
  const none = { id, specDigest, phase: "Pending", ready: false, restartCount: 0 } as const;
  return hold === undefined
    ? { ...none, reason: "NotStarted" }
    : { ...none, reason: hold.reason, message: cut(hold.message) };
}

function withoutMessage(instance: ReportedInstance): ReportedInstance {
  const { message: _, artifacts, ...rest } = instance;
  return artifacts === undefined
    ? rest
    : { ...rest, artifacts: artifacts.map(({ message: __, ...artifact }) => artifact) };
}

/** One record as the hub and the CLI read it. */
export function reportedInstance(
  record: InstanceRecord,
  health: Health | undefined,
): ReportedInstance {
  const phase = phaseOf(record);
  const running = phase === "Running";
  const why = whyOf(record, running ? health : undefined);
  const pid = record.processes[0]?.pid;
  return {
    id: record.id,
    specDigest: record.desired.specDigest,
    phase,
    ready: running && health?.ready === true,
    restartCount: record.restartCount,
    ...(record.startedWallMs === undefined ? {} : { startedAt: isoTime(record.startedWallMs) }),
    ...(record.finishedWallMs === undefined ? {} : { finishedAt: isoTime(record.finishedWallMs) }),
    ...(record.exitCode === undefined ? {} : { exitCode: record.exitCode }),
    ...(pid === undefined || !(running || phase === "Stopping") ? {} : { pid }),
    ...why,
  };
}

function phaseOf(record: InstanceRecord): InstancePhase {
  switch (record.intent) {
    case "idle":
    case "starting":
      return "Pending";
    case "running":
      return "Running";
    case "stopping":
      return "Stopping";
    case "finished":
      return record.outcome === "succeeded" ? "Succeeded" : "Failed";
  }
}

function whyOf(
  record: InstanceRecord,
  health: Health | undefined,
): { readonly reason?: string; readonly message?: string } {
  if (record.intent === "running")
    return health === undefined || health.message === undefined
      ? {}
      : { reason: health.unhealthy?.reason ?? "NotReady", message: cut(health.message) };
  const backOff =
    record.intent === "idle" && record.retryAtBootMs !== undefined
      ? `; tried again after ${backoffMs(record.failureCount) / 1000} s`
      : "";
  return {
    ...(record.reason === undefined ? {} : { reason: record.reason }),
    ...(record.message === undefined ? {} : { message: cut(`${record.message}${backOff}`) }),
  };
}

function cut(message: string): string {
  return message.length <= REPORTED_MESSAGE_LENGTH_MAX
    ? message
    : `${message.slice(0, REPORTED_MESSAGE_LENGTH_MAX - 1)}…`;
}
