import type { Clock } from "@flotilla/shared/kernel/clock";
import { type Random, randomHex } from "@flotilla/shared/kernel/random";
import type { Metrics } from "@flotilla/shared/kernel/service";
import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { deviceEnvironment, runDigest } from "../../domain/reconcile/devices.ts";
import { containerEnvironment, expandContainer } from "../../domain/reconcile/expand.ts";
import type { ContainerProcess, InstanceRecord } from "../../domain/reconcile/instance-record.ts";
import type { Now, SentSignals, Step, StepKind } from "../../domain/reconcile/step.ts";
import {
  endedRecord,
  recordsExit,
  runningRecord,
  startingRecord,
  stoppingRecord,
} from "../../domain/reconcile/transitions.ts";
import type { Notify } from "../state/notices.ts";
import type { AgentStore } from "../state/ports.ts";
import type { ArtifactGate, ProcessRuntime, StartOutcome } from "./ports.ts";

/** Bytes of randomness in a run id. */
const RUN_ID_BYTES = 8;

/** Who this agent is to its workloads. */
export interface AgentIdentity {
  /** Tells the processes of this agent from those of another agent on the same machine; durable. */
  readonly agentId: string;
  readonly nodeId: string;
  /** Address on which workloads of this node are reached. */
  readonly nodeAddress: string;
  /** What workloads inherit of the agent's environment: PATH and LANG, nothing else. */
  readonly inheritedEnvironment: Readonly<Record<string, string>>;
  /** Where a workload finds its artifacts; absent: this agent has none. */
  readonly artifactPathsOf?: ArtifactGate["pathsOf"];
}

export interface ExecutorDeps {
  readonly store: Pick<AgentStore, "putInstance" | "deleteInstance">;
  readonly runtime: ProcessRuntime;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly notify: Notify;
  /** Signals sent by this process, by run id. */
  readonly sent: Map<string, SentSignals>;
  /** Absent: this agent has no artifacts. */
  readonly artifacts?: Pick<ArtifactGate, "beforeStart">;
}

type StepByKind = { readonly [K in StepKind]: Extract<Step, { readonly kind: K }> };
type Executors = { readonly [K in StepKind]: (step: StepByKind[K], now: Now) => void };

/** Carries out one step. Each deed is idempotent or preceded by its durable intent; an exception leaves it to the next pass. */
export function makeExecutor(
  identity: AgentIdentity,
  deps: ExecutorDeps,
): (step: Step, now: Now) => void {
  const { runtime, sent, store } = deps;
  const executors = {
    start: (step, now) => start(step, now, { identity, deps }),
    adopt: (step) => {
      store.putInstance(step.next);
      deps.notify({
        type: "Normal",
        reason: "Adopted",
        message: "found running and taken over",
        instance: step.id,
      });
    },
    "signal-term": (step, now) => {
      store.putInstance(step.next);
      runtime.signal(step.targets, "SIGTERM");
      markTerm(sent, step.next.runId, now);
      const { reason = "Stopping", message = "" } = step.next;
      deps.notify({
        type: isOrderly(reason) ? "Normal" : "Warning",
        reason,
        message,
        instance: step.id,
      });
    },
    "signal-kill": (step, now) => {
      runtime.signal(step.targets, "SIGKILL");
      markKill(sent, step.runId, now);
    },
    "record-exit": (step) => {
      store.putInstance(step.next);
      const { outcome, reason = "Exited", message = "" } = step.next;
      const type = outcome === "succeeded" ? "Normal" : "Warning";
      deps.notify({ type, reason, message, instance: step.id });
    },
    forget: (step) => {
      store.deleteInstance(step.id);
      runtime.forget(step.id);
    },
    "signal-orphan": (step, now) => {
      runtime.signal(step.targets, step.signal);
      (step.signal === "SIGTERM" ? markTerm : markKill)(sent, step.runId, now);
    },
    wait: () => undefined,
  } satisfies Executors;
  const execute = <K extends StepKind>(kind: K, step: StepByKind[K], now: Now): void => {
    const all: Executors = executors;
    all[kind](step, now);
  };
  return (step, now) => execute(step.kind, step, now);
}

function start(
  step: StepByKind["start"],
  now: Now,
  { identity, deps }: { readonly identity: AgentIdentity; readonly deps: ExecutorDeps },
): void {
  const runId = randomHex(deps.random, RUN_ID_BYTES, "reconcile.run-id");
  const starting = startingRecord(step.desired, step.before, runId, now);
  if (step.desired.artifacts !== undefined) deps.artifacts?.beforeStart(step.desired, step.before);
  deps.store.putInstance(starting);
  const processes: ContainerProcess[] = [];
  for (const outcome of startContainers(step.desired, runId, { identity, deps })) {
    if (!outcome.ok) {
      startFailed(starting, { outcome, processes }, now, deps);
      return;
    }
    processes.push(outcome.process);
  }
  // Read again: the kernel's start times lie after the pass began.
  const after: Now = { ...now, bootMs: deps.clock.bootMs(), wallMs: deps.clock.wallMs() };
  deps.store.putInstance(runningRecord(starting, { runId, processes }, after));
  if (starting.restartCount > 0) deps.metrics.count("flotilla_agent_restarts_total");
  deps.notify({
    type: "Normal",
    reason: "Started",
    message:
      starting.restartCount > 0 ? `started again, restart ${starting.restartCount}` : "started",
    instance: step.id,
  });
}

/** Starts one container after the other, as far as they are asked for. */
function* startContainers(
  desired: DesiredInstance,
  runId: string,
  { identity, deps }: { readonly identity: AgentIdentity; readonly deps: ExecutorDeps },
): Generator<StartOutcome> {
  for (const container of desired.containers) {
    const environment = workloadEnvironment(
      desired,
      { runId, container: container.name },
      identity,
    );
    yield deps.runtime.start({
      instanceId: desired.id,
      runId,
      container: expandContainer(container, environment),
      recordExit: recordsExit(desired),
      environment,
    });
  }
}

/** Environment of one container of a run, the same for its exec probes. */
export function workloadEnvironment(
  desired: DesiredInstance,
  run: { readonly runId: string; readonly container: string },
  identity: AgentIdentity,
): Readonly<Record<string, string>> {
  const container = desired.containers.find((c) => c.name === run.container) ?? {
    name: run.container,
  };
  const given = { ...identity.inheritedEnvironment, ...deviceEnvironment(desired) };
  return containerEnvironment(container, given, {
    FLOTILLA_INSTANCE: desired.id,
    FLOTILLA_RUN: run.runId,
    FLOTILLA_AGENT: identity.agentId,
    FLOTILLA_NODE: identity.nodeId,
    FLOTILLA_INDEX: String(desired.index),
    FLOTILLA_NODE_ADDRESS: identity.nodeAddress,
    FLOTILLA_SPEC: runDigest(desired),
    FLOTILLA_CONTAINER: run.container,
    ...(desired.artifacts === undefined ? {} : identity.artifactPathsOf?.(desired.id)),
  });
}

function startFailed(
  starting: InstanceRecord,
  failed: {
    readonly outcome: Extract<StartOutcome, { readonly ok: false }>;
    readonly processes: readonly ContainerProcess[];
  },
  now: Now,
  deps: ExecutorDeps,
): void {
  const { reason, message } = failed.outcome;
  deps.notify({ type: "Warning", reason, message, instance: starting.id });
  if (failed.processes.length === 0) {
    const end = { succeeded: false, finishedWallMs: now.wallMs, reason, message };
    deps.store.putInstance(endedRecord(starting, starting.desired, end, now));
    return;
  }
  const graceMs = starting.desired.terminationGracePeriodSeconds * 1000;
  const { processes } = failed;
  deps.store.putInstance(stoppingRecord(starting, { reason, message, graceMs, processes }, now));
  deps.runtime.signal(processes, "SIGTERM");
  markTerm(deps.sent, starting.runId, now);
}

function isOrderly(reason: string): boolean {
  return reason === "SpecChanged" || reason === "Unwanted" || reason === "IncompleteStart";
}

function markTerm(sent: Map<string, SentSignals>, runId: string | undefined, now: Now): void {
  if (runId !== undefined) sent.set(runId, { termBootMs: now.bootMs });
}

function markKill(sent: Map<string, SentSignals>, runId: string, now: Now): void {
  const termBootMs = sent.get(runId)?.termBootMs ?? now.bootMs;
  sent.set(runId, { termBootMs, killBootMs: now.bootMs });
}
