import { AssertionError } from "@flotilla/shared/kernel/assert";
import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Random } from "@flotilla/shared/kernel/random";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import type { InstancePhase, ReportedState } from "@flotilla/shared/model/reported-state";
import type { InstanceRecord } from "../../domain/reconcile/instance-record.ts";
import { plan } from "../../domain/reconcile/plan.ts";
import { type InstanceUse, reportedState } from "../../domain/reconcile/report.ts";
import type { Health, Now, PlanInput, SentSignals, Step } from "../../domain/reconcile/step.ts";
import { makeNotify } from "../state/notices.ts";
import type { AgentStore } from "../state/ports.ts";
import { type AgentIdentity, makeExecutor } from "./executors.ts";
import { HealthMonitor } from "./health-monitor.ts";
import { observe } from "./observe.ts";
import type { ArtifactGate, ProbeRunner, ProcessRuntime } from "./ports.ts";

/** Longest time between two looks at the processes. */
export const PASS_INTERVAL_MS = 1_000;
/** Pause after a pass that did something, before the next looks at the effect. */
export const PASS_GAP_MS = 20;
/** How often all processes of the machine are looked through for runs that no record names. */
export const SWEEP_INTERVAL_MS = 60_000;

/** Key under which a newer reported state takes the place of one that still waits. */
export const REPORT_COALESCE_KEY = "report";

const PHASES: readonly InstancePhase[] = ["Pending", "Running", "Succeeded", "Failed", "Stopping"];

/** Who the agent is; and the machine's boot id. */
export interface ReconcilerOptions extends AgentIdentity {
  /** /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

export interface ReconcilerDeps {
  readonly store: AgentStore;
  readonly runtime: ProcessRuntime;
  readonly probeRunner: ProbeRunner;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
  /** What an instance uses; absent: nothing is known. */
  readonly useOf?: (id: string) => InstanceUse;
  /** Absent: this agent has no artifacts. */
  readonly artifacts?: ArtifactGate;
  /** Something waits in the outbox: wakes the link. */
  readonly onChange: (reported: ReportedState) => void;
}

/** What the reconciler knows at this moment, for those who ask. */
export interface Snapshot {
  readonly desired: DesiredState | undefined;
  readonly records: readonly InstanceRecord[];
  readonly health: ReadonlyMap<string, Health>;
  /** What would be done now, and what waits. */
  readonly steps: readonly Step[];
  readonly reported: ReportedState;
  readonly nowBootMs: number;
  readonly lastPassBootMs: number;
}

/**
 * Makes the node as its desired state says: look, plan, act, report, again. It needs no hub and no memory but the store's,
 * and stopping it stops no workload.
 */
export class Reconciler implements Service {
  readonly name = "reconciler";
  readonly #options: ReconcilerOptions;
  readonly #deps: ReconcilerDeps;
  readonly #monitor: HealthMonitor;
  readonly #sent = new Map<string, SentSignals>();
  readonly #execute: (step: Step, now: Now) => void;
  readonly #startedBootMs: number;
  #lastSweepBootMs: number | undefined;
  #lastPassBootMs: number;
  #sentReport: ReportedState | undefined;
  #lastFailure = "";
  #orphansSeen = false;
  #holds: PlanInput["holds"];
  #nextBoundBootMs = 0;
  #woken = false;
  #alarm: AbortController | undefined;

  constructor(options: ReconcilerOptions, deps: ReconcilerDeps) {
    this.#options = options;
    this.#deps = deps;
    const { clock, metrics, probeRunner, random, runtime, store } = deps;
    const onVerdict = (): void => this.wake();
    this.#monitor = new HealthMonitor(options, { probeRunner, clock, metrics, onVerdict });
    this.#execute = makeExecutor(options, {
      store,
      runtime,
      clock,
      random,
      metrics,
      notify: makeNotify(deps),
      sent: this.#sent,
      ...(deps.artifacts === undefined ? {} : { artifacts: deps.artifacts }),
    });
    this.#startedBootMs = clock.bootMs();
    this.#lastPassBootMs = this.#startedBootMs;
  }

  /** Looks again soon: a new desired state, a process that ended, a probe that told something. */
  wake(): void {
    this.#woken = true;
    this.#alarm?.abort(new DOMException("woken", "AbortError"));
  }

  /** Boot clock of the last pass that ended; the watchdog goes by it. */
  get lastPassBootMs(): number {
    return this.#lastPassBootMs;
  }

  /** What runs here, as it is or will be told to the hub. */
  reported(): ReportedState {
    return reportedState({
      desired: this.#deps.store.desired()?.state,
      convergedRevision: this.#deps.store.convergedRevision(),
      records: this.#deps.store.instances(),
      health: this.#monitor.health(),
      ...(this.#deps.useOf === undefined ? {} : { useOf: this.#deps.useOf }),
      ...(this.#deps.artifacts === undefined ? {} : { artifacts: this.#deps.artifacts }),
      holds: this.#holds,
    });
  }

  /** Looks and plans without acting. */
  snapshot(): Snapshot {
    const seen = this.#look({ sweep: this.#orphansSeen });
    const { desired, records, health, now } = seen;
    return {
      desired,
      records,
      health,
      steps: plan(this.#effective(seen)),
      reported: this.reported(),
      nowBootMs: now.bootMs,
      lastPassBootMs: this.#lastPassBootMs,
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#lastSweepBootMs = undefined;
    const ended = new AbortController();
    const probing = this.#monitor.run(AbortSignal.any([signal, ended.signal]));
    try {
      while (!signal.aborted) {
        const pass = this.pass();
        await this.#rest(pass, signal);
      }
    } finally {
      ended.abort(new DOMException("the reconciler ended", "AbortError"));
      this.#monitor.stop();
      await probing;
    }
  }

  /**
   * One pass: look, plan, act, report. Every step stands alone: what fails is tried again by the next pass and keeps
   * nothing else. `run` calls it; so do those that drive the reconciler by hand.
   */
  pass(): { readonly acted: boolean; readonly steps: readonly Step[] } {
    const { clock, metrics } = this.#deps;
    const startedBootMs = clock.bootMs();
    this.#woken = false;
    const seen = this.#look({ sweep: this.#sweepIsDue(startedBootMs) });
    this.#deps.artifacts?.settle(seen, seen.desired);
    const input = this.#effective(seen);
    this.#holds = input.holds;
    // Until they are gone they are looked for in every pass: nothing else would see them.
    this.#orphansSeen = input.orphans.length > 0;
    const steps = plan(input);
    const results = steps.filter((s) => s.kind !== "wait").map((s) => this.#try(s, input.now));
    this.#monitor.track(this.#deps.store.instances());
    this.#monitor.tick();
    this.#pruneSent(input);
    this.#report(input.desired, steps);
    this.#deps.artifacts?.wake();
    this.#boundLogs(startedBootMs);
    this.#lastPassBootMs = clock.bootMs();
    const seconds = (this.#lastPassBootMs - startedBootMs) / 1000;
    metrics.observe("flotilla_agent_reconcile_pass_seconds", seconds);
    return { acted: results.includes(true), steps };
  }

  /** With what of the desired state can be carried out now. */
  #effective(seen: PlanInput): PlanInput {
    const { artifacts } = this.#deps;
    if (artifacts === undefined || seen.desired === undefined) return seen;
    return { ...seen, ...artifacts.effective(seen.desired, seen) };
  }

  #look(options: { readonly sweep: boolean }): PlanInput {
    const { clock, runtime, store } = this.#deps;
    const records = this.#deps.store.instances();
    return {
      desired: store.desired()?.state,
      records,
      ...observe(records, runtime, options),
      health: this.#monitor.health(),
      sent: this.#sent,
      now: { bootMs: clock.bootMs(), wallMs: clock.wallMs(), bootId: this.#options.bootId },
      agentStartedBootMs: this.#startedBootMs,
    };
  }

  #boundLogs(nowBootMs: number): void {
    if (nowBootMs < this.#nextBoundBootMs) return;
    this.#nextBoundBootMs = nowBootMs + PASS_INTERVAL_MS;
    this.#deps.runtime.boundLogs();
  }

  #sweepIsDue(nowBootMs: number): boolean {
    const last = this.#lastSweepBootMs;
    if (this.#orphansSeen) return true;
    if (last !== undefined && nowBootMs - last < SWEEP_INTERVAL_MS) return false;
    this.#lastSweepBootMs = nowBootMs;
    return true;
  }

  #try(step: Step, now: Now): boolean {
    const { log, metrics } = this.#deps;
    try {
      this.#execute(step, now);
      metrics.count("flotilla_agent_steps_total", { kind: step.kind });
      log.info({ step: step.kind, instance: step.id }, "step done");
      return true;
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      metrics.count("flotilla_agent_step_failures_total", { kind: step.kind });
      const failure = `${step.kind} ${step.id} ${messageOf(error)}`;
      const fields = { step: step.kind, instance: step.id, err: error };
      if (failure !== this.#lastFailure) log.error(fields, "step failed and is tried again");
      this.#lastFailure = failure;
      return false;
    }
  }

  /** Signals are remembered as long as their run can still be seen. */
  #pruneSent(input: PlanInput): void {
    const runIds = new Set([
      ...this.#deps.store.instances().map((r) => r.runId),
      ...input.orphans.map((o) => o.runId),
    ]);
    for (const runId of this.#sent.keys()) if (!runIds.has(runId)) this.#sent.delete(runId);
  }

  #report(desired: DesiredState | undefined, steps: readonly Step[]): void {
    const { log, metrics, onChange, store } = this.#deps;
    try {
      const isConverged = desired !== undefined && steps.length === 0;
      if (isConverged && desired.revision > store.convergedRevision()) {
        store.setConvergedRevision(desired.revision);
        log.info({ revision: desired.revision }, "desired state carried out");
      }
      const reported = this.reported();
      if (jsonEqual(reported, this.#sentReport)) return;
      store.enqueue({ kind: "report", body: { reported }, coalesceKey: REPORT_COALESCE_KEY });
      this.#sentReport = reported;
      for (const phase of PHASES) {
        const count = reported.instances.filter((i) => i.phase === phase).length;
        metrics.set("flotilla_agent_instances", count, { phase });
      }
      onChange(reported);
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      log.warn({ err: error }, "a report could not be stored; the next pass tries again");
    }
  }

  async #rest(
    pass: { readonly acted: boolean; readonly steps: readonly Step[] },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#deps;
    const sleepMs = pass.acted ? PASS_GAP_MS : this.#restMs(pass.steps, clock.bootMs());
    if (this.#woken && !pass.acted) {
      // Woken during the pass: let the loop breathe, then look again.
      await clock.sleep(PASS_GAP_MS, signal).catch(() => undefined);
      return;
    }
    this.#alarm = new AbortController();
    const until = AbortSignal.any([signal, this.#alarm.signal]);
    await clock.sleep(sleepMs, until).catch(() => undefined);
    this.#alarm = undefined;
  }

  #restMs(steps: readonly Step[], nowBootMs: number): number {
    const waits = steps.flatMap((s) =>
      s.kind === "wait" && s.untilBootMs !== undefined ? [s.untilBootMs] : [],
    );
    const nextMs = Math.min(nowBootMs + PASS_INTERVAL_MS, ...waits);
    return Math.max(PASS_GAP_MS, nextMs - nowBootMs);
  }
}
