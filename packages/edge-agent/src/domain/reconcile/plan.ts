import { assert } from "@flotilla/shared/kernel/assert";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { holdBackForDevices, runDigest } from "./devices.ts";
import type { InstanceRecord } from "./instance-record.ts";
import { LIFECYCLE, type Life, type Reaction, type Wish } from "./lifecycle.ts";
import { planOrphans } from "./orphans.ts";
import type { ObservedRun, PlanInput, Step } from "./step.ts";
import {
  deadlineMs,
  endedRecord,
  isBlamelessStop,
  type RunEnd,
  recordsExit,
  runEnd,
  runningRecord,
  stoppingRecord,
} from "./transitions.ts";

/**
 * The reconciler's judgement: what is wanted, what is known, what is seen → the next steps, at most one an instance. Level
 * triggered: nothing is remembered from pass to pass but what the records say. SPEC.md holds the table and the invariants.
 */

/** How long a start that an agent's death interrupted is given to show its processes. */
export const SETTLE_MS = 1_000;
/** Most starts of one pass; the rest waits for the next, so that neither disk nor loop is held for long. */
export const STARTS_PER_PASS_MAX = 8;
/** How often SIGKILL is sent again to what does not go. */
export const KILL_AGAIN_MS = 1_000;

/** One instance with all that is known of it. */
interface View {
  readonly id: string;
  readonly wanted: DesiredInstance | undefined;
  readonly record: InstanceRecord | undefined;
  readonly run: ObservedRun;
  readonly input: PlanInput;
}

const NOTHING_SEEN: ObservedRun = { leaders: [], remnants: [], exits: new Map() };

/** The next steps. Empty: everything is as it should be. */
export function plan(input: PlanInput): Step[] {
  const wanted = new Map(input.desired?.instances.map((i) => [i.id, i]));
  const records = new Map(input.records.map((r) => [r.id, r]));
  const ids = [...new Set([...records.keys(), ...wanted.keys()])].sort();
  const orphans = planOrphans(input);
  const steps = ids.flatMap((id) => {
    const adoption = orphans.adoptions.get(id);
    if (adoption !== undefined) return [adoption];
    const run = input.observed.get(id) ?? NOTHING_SEEN;
    const view: View = { id, wanted: wanted.get(id), record: records.get(id), run, input };
    const step = nextStep(view);
    return step === undefined ? [] : [holdBack(step, orphans.blocked, input)];
  });
  steps.push(...waitsFor(input, [...orphans.steps, ...steps]));
  return limitStarts(holdBackForDevices([...orphans.steps, ...steps], input));
}

/** The situation of one instance looked up in the table. */
export function reactionOf(view: Pick<View, "wanted" | "record" | "run">): Reaction {
  const state = view.record?.intent ?? "absent";
  return LIFECYCLE[state][`${wishOf(view)}-${lifeOf(view)}`];
}

function wishOf(view: Pick<View, "wanted" | "record">): Wish {
  if (view.wanted === undefined) return "unwanted";
  if (view.record === undefined) return "same";
  const { desired, intent } = view.record;
  // What has finished is not run again because it would get another device.
  const same =
    intent === "finished"
      ? desired.specDigest === view.wanted.specDigest
      : runDigest(desired) === runDigest(view.wanted);
  return same ? "same" : "changed";
}

function lifeOf(view: Pick<View, "record" | "run">): Life {
  const { record, run } = view;
  if (run.leaders.length === 0 && run.remnants.length === 0) return "gone";
  if (record === undefined || run.leaders.length === 0) return "broken";
  const alive = new Set(run.leaders.map((p) => p.container));
  const fine = (name: string): boolean =>
    alive.has(name) || (recordsExit(record.desired) && run.exits.get(name)?.exitCode === 0);
  return record.desired.containers.every((c) => fine(c.name)) ? "whole" : "broken";
}

const STEP_FOR: Readonly<Record<Reaction, (view: View) => Step | undefined>> = {
  nothing: () => undefined,
  begin,
  "begin-anew": (view) => startNow(view),
  adopt,
  "begin-again": beginAgain,
  check,
  "stop-broken": stopBroken,
  "stop-changed": (view) => stop(view, "SpecChanged", changeOf(view)),
  "stop-unwanted": (view) => stop(view, "Unwanted", "the desired state does not name it"),
  "go-on-stopping": goOnStopping,
  "settle-exit": settleExit,
  "settle-stop": settleStop,
  forget: (view) => ({ kind: "forget", id: view.id }),
  impossible: (view) => {
    assert(false, `instance ${view.id}: a state without a run has living processes`);
  },
};

function changeOf({ record, wanted }: View): string {
  return record?.desired.specDigest === wanted?.specDigest
    ? "it gets other devices"
    : "the desired spec is another one";
}

function nextStep(view: View): Step | undefined {
  return STEP_FOR[reactionOf(view)](view);
}

function begin(view: View): Step | undefined {
  const { record, input } = view;
  const retryAt = record?.bootId === input.now.bootId ? record.retryAtBootMs : undefined;
  if (retryAt === undefined || input.now.bootMs >= retryAt) return startNow(view);
  return {
    kind: "wait",
    id: view.id,
    reason: "BackOff",
    untilBootMs: retryAt,
    message: `failed ${record?.failureCount ?? 0} times in a row: ${record?.message ?? ""}`,
  };
}

function startNow(view: View): Step | undefined {
  if (view.wanted === undefined) return undefined;
  return { kind: "start", id: view.id, desired: view.wanted, before: view.record };
}

function adopt(view: View): Step | undefined {
  const { record, run, input } = view;
  if (record?.runId === undefined) return undefined;
  const adopted = { runId: record.runId, processes: run.leaders };
  return { kind: "adopt", id: view.id, next: runningRecord(record, adopted, input.now) };
}

/** Between `starting` and the first sight of its processes an agent died: they may be about to appear, or have come and gone. */
function beginAgain(view: View): Step | undefined {
  const { record, run, input } = view;
  const settledAt = input.agentStartedBootMs + SETTLE_MS;
  if (record?.bootId === input.now.bootId && input.now.bootMs < settledAt)
    return {
      kind: "wait",
      id: view.id,
      reason: "Settling",
      untilBootMs: settledAt,
      message: "a start was interrupted; what it started may still appear",
    };
  if (wishOf(view) === "unwanted") return { kind: "forget", id: view.id };
  if (wishOf(view) === "same" && run.exits.size > 0) return settleExit(view);
  return startNow(view);
}

function check(view: View): Step | undefined {
  const { record, wanted, input } = view;
  if (record === undefined || wanted === undefined) return undefined;
  const ranMs = input.now.bootMs - (record.startedBootMs ?? input.now.bootMs);
  if ((record.activeBeforeMs ?? 0) + ranMs >= deadlineMs(wanted))
    return stop(view, "DeadlineExceeded", `ran longer than ${wanted.activeDeadlineSeconds} s`);
  const unhealthy = input.health.get(view.id)?.unhealthy;
  return unhealthy === undefined ? undefined : stop(view, unhealthy.reason, unhealthy.message);
}

/** One container has ended: they live and die together. */
function stopBroken(view: View): Step | undefined {
  const { record, run, input } = view;
  if (record === undefined) return undefined;
  if (record.intent === "starting")
    return stop(view, "IncompleteStart", "its start was interrupted half way");
  const end = runEnd(diedOf(record, run), run.exits, input.now);
  return stop(view, end.reason, end.message, end.exitCode);
}

/** The record as if it had only the containers that are dead, to find the one to blame. */
function diedOf(record: InstanceRecord, run: ObservedRun): InstanceRecord {
  const alive = new Set(run.leaders.map((p) => p.container));
  const containers = record.desired.containers.filter((c) => !alive.has(c.name));
  return { ...record, desired: { ...record.desired, containers } };
}

function stop(view: View, reason: string, message: string, exitCode?: number): Step | undefined {
  const { record, run, wanted, input } = view;
  if (record === undefined) return undefined;
  const graceSeconds = (wanted ?? record.desired).terminationGracePeriodSeconds;
  const next = stoppingRecord(
    record,
    {
      reason,
      message,
      graceMs: graceSeconds * 1000,
      processes: run.leaders,
      ...(exitCode === undefined ? {} : { exitCode }),
    },
    input.now,
  );
  return { kind: "signal-term", id: view.id, next, targets: [...run.leaders, ...run.remnants] };
}

function goOnStopping(view: View): Step | undefined {
  const { record, run, input } = view;
  if (record?.runId === undefined) return undefined;
  const { runId } = record;
  const targets = [...run.leaders, ...run.remnants];
  const sent = input.sent.get(runId);
  const killAt = record.killAtBootMs ?? input.now.bootMs;
  if (input.now.bootMs < killAt) {
    // An agent that died after writing `stopping` may not have come to the signal.
    if (sent === undefined) return { kind: "signal-term", id: view.id, next: record, targets };
    const message = `asked to end (${record.reason ?? ""}); killed when the grace period is over`;
    return { kind: "wait", id: view.id, reason: "Stopping", untilBootMs: killAt, message };
  }
  const againAt = (sent?.killBootMs ?? Number.NEGATIVE_INFINITY) + KILL_AGAIN_MS;
  if (input.now.bootMs >= againAt) return { kind: "signal-kill", id: view.id, runId, targets };
  const message = "killed; the kernel has not ended it yet";
  return { kind: "wait", id: view.id, reason: "Killing", untilBootMs: againAt, message };
}

function settleExit(view: View): Step | undefined {
  const { record, wanted, run, input } = view;
  if (record === undefined || wanted === undefined) return undefined;
  const end = runEnd(record, run.exits, input.now);
  // The machine went down under it: no failure of its own.
  if (end.exitCode === undefined && record.bootId !== input.now.bootId) return startNow(view);
  return ended(view, end);
}

function settleStop(view: View): Step | undefined {
  const { record, run, input } = view;
  if (record === undefined) return undefined;
  const end = runEnd(record, run.exits, input.now);
  // It was finished and only its leftovers were stopped.
  if (end.succeeded) return ended(view, end);
  if (isBlamelessStop(record) || record.reason === "Unwanted") return startNow(view);
  if (record.bootId !== input.now.bootId && record.exitCode === undefined) return startNow(view);
  return ended(view, {
    succeeded: false,
    finishedWallMs: end.finishedWallMs,
    reason: record.reason ?? end.reason,
    message: record.message ?? end.message,
    ...(record.exitCode === undefined ? {} : { exitCode: record.exitCode }),
  });
}

function ended(view: View, end: RunEnd): Step | undefined {
  const { record, wanted, input } = view;
  if (record === undefined || wanted === undefined) return undefined;
  return { kind: "record-exit", id: view.id, next: endedRecord(record, wanted, end, input.now) };
}

/** A start waits until no other run of the instance is left: never two copies. And until its files are known to be right. */
function holdBack(step: Step, blocked: ReadonlySet<string>, input: PlanInput): Step {
  if (step.kind !== "start") return step;
  const hold = input.startHolds?.get(step.id);
  if (hold !== undefined) return { kind: "wait", id: step.id, ...hold };
  if (!blocked.has(step.id)) return step;
  const message = "a run that no record names is being stopped first";
  return { kind: "wait", id: step.id, reason: "LeftoverRuns", message };
}

/** What is held back of the desired state is said where nothing else is to be done. */
function waitsFor(input: PlanInput, steps: readonly Step[]): Step[] {
  if (input.holds === undefined) return [];
  const busy = new Set(steps.map((s) => s.id));
  return [...input.holds]
    .filter(([id]) => !busy.has(id))
    .map(([id, hold]) => ({ kind: "wait", id, ...hold }));
}

function limitStarts(steps: readonly Step[]): Step[] {
  let starts = 0;
  return steps.map((step): Step => {
    if (step.kind !== "start" || ++starts <= STARTS_PER_PASS_MAX) return step;
    const message = "others are started first";
    return { kind: "wait", id: step.id, reason: "StartQueue", message };
  });
}
