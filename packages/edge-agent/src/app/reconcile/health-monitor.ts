import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Metrics } from "@flotilla/shared/kernel/service";
import type { Container } from "@flotilla/shared/model/workload";
import {
  activeKinds,
  afterProbe,
  dueKinds,
  firstProbeStates,
  judgeHealth,
  type ProbeKind,
  type ProbeStates,
  probeOf,
  timeoutMs,
} from "../../domain/reconcile/health.ts";
import type { InstanceRecord } from "../../domain/reconcile/instance-record.ts";
import type { Health } from "../../domain/reconcile/step.ts";
import { type AgentIdentity, workloadEnvironment } from "./executors.ts";
import type { ProbeRunner } from "./ports.ts";

/** Longest time between two looks at which probes are due. */
export const PROBE_TICK_MS = 250;
/** Most probes under way at once; the rest of those that are due waits for the next tick. */
export const PROBES_CONCURRENT_MAX = 32;

const PROBE_TICK_MS_MIN = 10;

interface MonitorDeps {
  readonly probeRunner: ProbeRunner;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** A probe's verdict is another one than before. */
  readonly onVerdict: () => void;
}

interface WatchedContainer {
  readonly container: Container;
  readonly environment: Readonly<Record<string, string>>;
  states: ProbeStates;
  readonly underWay: Set<ProbeKind>;
}

interface WatchedRun {
  readonly instanceId: string;
  readonly containers: readonly WatchedContainer[];
  readonly stop: AbortController;
}

/** Runs the health probes of what runs, each at its own period, and judges their outcomes. Holds nothing durable. */
export class HealthMonitor {
  readonly #identity: AgentIdentity;
  readonly #deps: MonitorDeps;
  readonly #runs = new Map<string, WatchedRun>();
  #underWayCount = 0;

  constructor(identity: AgentIdentity, deps: MonitorDeps) {
    this.#identity = identity;
    this.#deps = deps;
  }

  /** Begins with runs that are new and lets go of those that are over. */
  track(records: readonly InstanceRecord[]): void {
    const running = records.filter((r) => r.intent === "running" && r.runId !== undefined);
    const runIds = new Set(running.map((r) => r.runId));
    for (const [runId, run] of this.#runs) if (!runIds.has(runId)) this.#drop(runId, run);
    for (const record of running) {
      const runId = record.runId ?? "";
      if (!this.#runs.has(runId)) this.#runs.set(runId, this.#watch(record, runId));
    }
  }

  /** Runs the probes of what is tracked until aborted, apart from the reconciler's passes: many probes make no more passes. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      this.tick();
      const nowBootMs = clock.bootMs();
      const dueMs = (this.nextDueBootMs() ?? Number.POSITIVE_INFINITY) - nowBootMs;
      const sleepMs = Math.max(PROBE_TICK_MS_MIN, Math.min(PROBE_TICK_MS, dueMs));
      await clock.sleep(sleepMs, signal).catch(() => undefined);
    }
  }

  /** Starts the probes that are due. */
  tick(): void {
    const nowBootMs = this.#deps.clock.bootMs();
    for (const run of this.#runs.values())
      for (const watched of run.containers)
        for (const kind of dueKinds(watched.states, nowBootMs)) this.#begin(run, watched, kind);
  }

  /** Boot clock of the next probe; undefined when there is none. */
  nextDueBootMs(): number | undefined {
    const due = [...this.#runs.values()].flatMap((run) =>
      run.containers.flatMap((watched) =>
        activeKinds(watched.states)
          .filter((kind) => !watched.underWay.has(kind))
          .map((kind) => watched.states[kind]?.nextBootMs ?? 0),
      ),
    );
    return due.length === 0 ? undefined : Math.min(...due);
  }

  /** Judgement by instance id, of what runs. */
  health(): ReadonlyMap<string, Health> {
    return new Map(
      [...this.#runs.values()].map((run) => [
        run.instanceId,
        judgeHealth(run.containers.map((c) => ({ name: c.container.name, states: c.states }))),
      ]),
    );
  }

  /** Ends all probes. */
  stop(): void {
    for (const [runId, run] of this.#runs) this.#drop(runId, run);
  }

  #watch(record: InstanceRecord, runId: string): WatchedRun {
    const startedBootMs = record.startedBootMs ?? this.#deps.clock.bootMs();
    const containers = record.desired.containers.map((container) => ({
      container,
      environment: workloadEnvironment(
        record.desired,
        { runId, container: container.name },
        this.#identity,
      ),
      states: firstProbeStates(container, startedBootMs),
      underWay: new Set<ProbeKind>(),
    }));
    return { instanceId: record.id, containers, stop: new AbortController() };
  }

  #drop(runId: string, run: WatchedRun): void {
    run.stop.abort(new DOMException("the run is over", "AbortError"));
    this.#runs.delete(runId);
  }

  #begin(run: WatchedRun, watched: WatchedContainer, kind: ProbeKind): void {
    if (watched.underWay.has(kind) || this.#underWayCount >= PROBES_CONCURRENT_MAX) return;
    watched.underWay.add(kind);
    this.#underWayCount++;
    const before = watched.states[kind]?.passed;
    void this.#probe(run, watched, kind).finally(() => {
      watched.underWay.delete(kind);
      this.#underWayCount--;
      if (watched.states[kind]?.passed !== before) this.#deps.onVerdict();
    });
  }

  async #probe(run: WatchedRun, watched: WatchedContainer, kind: ProbeKind): Promise<void> {
    const probe = probeOf(watched.container, kind);
    const before = watched.states[kind];
    if (probe === undefined || before === undefined) return;
    const context = {
      host: this.#identity.nodeAddress,
      container: watched.container,
      environment: watched.environment,
      timeoutMs: timeoutMs(probe),
    };
    const outcome = await this.#deps.probeRunner.run(probe, context, run.stop.signal);
    if (run.stop.signal.aborted) return;
    if (!outcome.ok)
      this.#deps.metrics.count("flotilla_agent_probe_failures_total", { probe: kind });
    const after = afterProbe(before, probe, outcome, this.#deps.clock.bootMs());
    watched.states = { ...watched.states, [kind]: after };
  }
}
