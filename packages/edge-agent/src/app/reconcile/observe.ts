import type {
  ContainerProcess,
  InstanceRecord,
  ProcessIdentity,
} from "../../domain/reconcile/instance-record.ts";
import type {
  ExitStatus,
  FoundProcess,
  ObservedRun,
  OrphanRun,
} from "../../domain/reconcile/step.ts";
import type { ProcessRuntime } from "./ports.ts";

/** Looks at the processes. Reality is asked each pass; only looking through all processes is done when something calls for it. */

/** What one look has seen. */
export interface Observation {
  readonly observed: ReadonlyMap<string, ObservedRun>;
  readonly orphans: readonly OrphanRun[];
}

/**
 * Sees the run of each record. All processes of the machine are looked through (`sweep`) when asked, and when a record is
 * between two states or has lost a process: in quiet times a pass costs one small read per container.
 */
export function observe(
  records: readonly InstanceRecord[],
  runtime: ProcessRuntime,
  options: { readonly sweep: boolean },
): Observation {
  const found =
    options.sweep || records.some((r) => isUnsettled(r, runtime)) ? runtime.findAll() : undefined;
  const byRun = groupByRun(found ?? []);
  const observed = new Map(
    records.map((r) => [r.id, observeRun(r, byRun.get(r.runId ?? "") ?? [], runtime)]),
  );
  const known = new Set(records.map((r) => r.runId));
  const orphans = [...byRun].filter(([runId]) => !known.has(runId)).map(([, p]) => orphanRun(p));
  return { observed, orphans: orphans.flatMap((o) => (o === undefined ? [] : [o])) };
}

function isUnsettled(record: InstanceRecord, runtime: ProcessRuntime): boolean {
  if (record.intent === "starting" || record.intent === "stopping") return true;
  if (record.intent !== "running") return false;
  return record.processes.some((p) => !runtime.isAlive(p));
}

function observeRun(
  record: InstanceRecord,
  found: readonly FoundProcess[],
  runtime: ProcessRuntime,
): ObservedRun {
  const leaders =
    record.intent === "starting"
      ? firstOfEachContainer(found)
      : record.processes.filter((p) => runtime.isAlive(p));
  const leading = new Set(leaders.map((p) => p.pid));
  const remnants: ProcessIdentity[] = found.filter((p) => !leading.has(p.pid));
  return { leaders, remnants, exits: exitsOf(record, leaders, runtime) };
}

/** A container's first process leads its group and is the oldest that does; what it forked may lead groups of its own. */
function firstOfEachContainer(found: readonly FoundProcess[]): readonly ContainerProcess[] {
  const first = new Map<string, FoundProcess>();
  for (const process of found.filter((p) => p.leadsGroup)) {
    const other = first.get(process.container);
    if (other === undefined || isOlder(process, other)) first.set(process.container, process);
  }
  return [...first.values()].map(({ container, pid, startTicks, bootId }) => ({
    container,
    pid,
    startTicks,
    bootId,
  }));
}

function isOlder(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.startTicks < b.startTicks || (a.startTicks === b.startTicks && a.pid < b.pid);
}

function exitsOf(
  record: InstanceRecord,
  leaders: readonly ContainerProcess[],
  runtime: ProcessRuntime,
): ReadonlyMap<string, ExitStatus> {
  const exits = new Map<string, ExitStatus>();
  const { runId } = record;
  if (runId === undefined) return exits;
  const alive = new Set(leaders.map((p) => p.container));
  for (const { name } of record.desired.containers) {
    if (alive.has(name)) continue;
    const exit = runtime.exitOf({ instanceId: record.id, runId, container: name });
    if (exit !== undefined) exits.set(name, exit);
  }
  return exits;
}

function groupByRun(found: readonly FoundProcess[]): ReadonlyMap<string, FoundProcess[]> {
  const byRun = new Map<string, FoundProcess[]>();
  for (const process of found) {
    const run = byRun.get(process.runId);
    if (run === undefined) byRun.set(process.runId, [process]);
    else run.push(process);
  }
  return byRun;
}

function orphanRun(processes: readonly FoundProcess[]): OrphanRun | undefined {
  const first = processes[0];
  if (first === undefined) return undefined;
  const { instanceId, runId, specDigest } = first;
  return { instanceId, runId, specDigest, processes };
}
