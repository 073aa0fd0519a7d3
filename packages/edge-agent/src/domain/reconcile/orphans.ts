import { must } from "@flotilla/shared/kernel/assert";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { runDigest } from "./devices.ts";
import type { InstanceRecord } from "./instance-record.ts";
import type { OrphanRun, PlanInput, Step } from "./step.ts";
import { runningRecord } from "./transitions.ts";

/**
 * Runs that carry this agent's id and that no record names. After a lost or restored store they are the workloads
 * themselves: what runs as desired is taken over, the rest is stopped, and before any desired state is known nothing is touched.
 */

/** Grace of a run that nobody asks for, between SIGTERM and SIGKILL. */
export const ORPHAN_GRACE_MS = 10_000;
const ORPHAN_KILL_AGAIN_MS = 1_000;

interface OrphanPlan {
  readonly steps: readonly Step[];
  /** Adoption in place of the instance's own step. */
  readonly adoptions: ReadonlyMap<string, Step>;
  /** Instances that may not start yet. */
  readonly blocked: ReadonlySet<string>;
}

/** What to do about each orphan. */
export function planOrphans(input: PlanInput): OrphanPlan {
  const steps: Step[] = [];
  const adoptions = new Map<string, Step>();
  const blocked = new Set<string>();
  for (const orphan of input.orphans) {
    const adoption = adoptions.has(orphan.instanceId) ? undefined : adoptOrphan(orphan, input);
    if (adoption !== undefined) adoptions.set(orphan.instanceId, adoption);
    else {
      blocked.add(orphan.instanceId);
      steps.push(stopOrphan(orphan, input));
    }
  }
  return { steps, adoptions, blocked };
}

function adoptOrphan(orphan: OrphanRun, input: PlanInput): Step | undefined {
  const wanted = input.desired?.instances.find((i) => i.id === orphan.instanceId);
  if (wanted === undefined || runDigest(wanted) !== orphan.specDigest) return undefined;
  const record = input.records.find((r) => r.id === orphan.instanceId);
  if (record !== undefined && !isFree(record, input)) return undefined;
  const processes = wanted.containers.map((c) =>
    orphan.processes
      .filter((p) => p.container === c.name && p.leadsGroup)
      .reduce<OrphanRun["processes"][number] | undefined>(
        (first, p) => (first === undefined || p.startTicks < first.startTicks ? p : first),
        undefined,
      ),
  );
  if (processes.includes(undefined)) return undefined;
  const next = runningRecord(
    record ?? emptyRecord(wanted, input),
    {
      runId: orphan.runId,
      processes: processes.map((p) => {
        const { pid, startTicks, bootId, container } = must(p, "checked above");
        return { pid, startTicks, bootId, container };
      }),
    },
    input.now,
  );
  return { kind: "adopt", id: orphan.instanceId, next: { ...next, desired: wanted } };
}

/** True when the record's own run is gone and its work is not done. */
function isFree(record: InstanceRecord, input: PlanInput): boolean {
  const run = input.observed.get(record.id);
  const gone = run === undefined || (run.leaders.length === 0 && run.remnants.length === 0);
  return gone && record.intent !== "finished";
}

function emptyRecord(desired: DesiredInstance, input: PlanInput): InstanceRecord {
  return {
    id: desired.id,
    desired,
    intent: "idle",
    processes: [],
    restartCount: 0,
    failureCount: 0,
    bootId: input.now.bootId,
  };
}

function stopOrphan(orphan: OrphanRun, input: PlanInput): Step {
  const { instanceId: id, runId, processes: targets } = orphan;
  if (input.desired === undefined)
    return {
      kind: "wait",
      id,
      reason: "NoDesiredState",
      message: "it runs, and whether it is wanted is not known before the first desired state",
    };
  const hold = input.holds?.get(id);
  // What would take its place is not there yet.
  if (hold !== undefined && !input.desired.instances.some((i) => i.id === id))
    return { kind: "wait", id, ...hold };
  const sent = input.sent.get(runId);
  if (sent === undefined) return { kind: "signal-orphan", id, runId, signal: "SIGTERM", targets };
  const nowMs = input.now.bootMs;
  const killAt =
    sent.killBootMs === undefined
      ? sent.termBootMs + ORPHAN_GRACE_MS
      : sent.killBootMs + ORPHAN_KILL_AGAIN_MS;
  if (nowMs >= killAt) return { kind: "signal-orphan", id, runId, signal: "SIGKILL", targets };
  const message = "a run that nobody asks for was asked to end";
  return { kind: "wait", id, reason: "Stopping", untilBootMs: killAt, message };
}
