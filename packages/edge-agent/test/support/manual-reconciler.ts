import type { DesiredInstance } from "@flotilla/shared/model/desired-state";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import type { ProbeOutcome, ProbeRunner } from "../../src/app/reconcile/ports.ts";
import { Reconciler } from "../../src/app/reconcile/reconciler.ts";
import type { AgentStore, ContainerProcess } from "../../src/app/state/ports.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { memoryAgentStore } from "./memory-agent-store.ts";
import { accepted } from "./reconcile-builders.ts";

/** A node driven by hand: a made-up machine, the real store in memory, and agents that come and go. */
export class ManualNode {
  readonly clock = new ManualClock({ bootMs: 1_000_000 });
  readonly runtime = new FakeRuntime({ bootMs: () => this.clock.bootMs() });
  readonly log = new RecordingLog();
  readonly metrics = new RecordingMetrics();
  readonly random = new SeededRandom(7);
  readonly probes = new FakeProbes();
  store: AgentStore = memoryAgentStore();
  reconciler: Reconciler;
  #revision = 0;

  constructor() {
    this.reconciler = this.#newReconciler();
  }

  want(instances: readonly DesiredInstance[]): void {
    this.#revision = Math.max(this.#revision + 1, this.store.revisionFloor());
    this.store.acceptDesired(accepted(this.#revision, instances));
  }

  get revision(): number {
    return this.#revision;
  }

  /** A new agent process takes over. */
  restartAgent(): void {
    this.runtime.loseAgent();
    this.reconciler = this.#newReconciler();
  }

  reboot(): void {
    this.runtime.reboot();
    this.reconciler = this.#newReconciler();
  }

  /** The store is lost and begins empty. */
  loseStore(): void {
    this.store = memoryAgentStore();
    this.restartAgent();
  }

  /** Passes with `stepMs` between them. */
  async passes(count: number, stepMs = 100): Promise<void> {
    for (let i = 0; i < count; i++) {
      this.reconciler.pass();
      await this.clock.advance(stepMs);
      this.runtime.settle();
    }
  }

  record(id: string) {
    return this.store.instances().find((r) => r.id === id);
  }

  processOf(id: string): ContainerProcess | undefined {
    return this.record(id)?.processes[0];
  }

  #newReconciler(): Reconciler {
    return new Reconciler(
      {
        agentId: "agent-1",
        nodeId: "n1",
        nodeAddress: "127.0.0.1",
        inheritedEnvironment: { PATH: "/usr/bin:/bin" },
        bootId: this.runtime.bootId,
      },
      {
        store: this.store,
        runtime: this.runtime,
        probeRunner: this.probes,
        clock: this.clock,
        random: this.random,
        log: this.log,
        metrics: this.metrics,
        onChange: () => undefined,
      },
    );
  }
}

/** Answers of probes, set by the test; passing unless told. */
class FakeProbes implements ProbeRunner {
  answer: ProbeOutcome = { ok: true, message: "" };
  count = 0;

  run(): Promise<ProbeOutcome> {
    this.count++;
    return Promise.resolve(this.answer);
  }
}
