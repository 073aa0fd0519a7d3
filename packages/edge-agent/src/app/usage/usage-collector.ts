import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import { jsonEqual } from "@flotilla/shared/kernel/json";
import type { Log, Service } from "@flotilla/shared/kernel/service";
import type { InstanceRecord } from "../../domain/reconcile/instance-record.ts";
import type { InstanceUse } from "../../domain/reconcile/report.ts";
import { type CpuUse, nextCpuUse } from "../../domain/usage/instance-cpu.ts";
import { metricsIn, nextMetrics } from "../../domain/usage/prometheus-text.ts";
import type { AgentStore } from "../state/ports.ts";
import type { CpuTimeProbe, MetricsPages } from "./ports.ts";

/** How often the CPU time of the instances is read; a value is the average over so long. */
export const USAGE_INTERVAL_MS = 15_000;
/** How long an instance has to tell its metrics. */
export const SCRAPE_TIMEOUT_MS = 5_000;
/** Most metrics pages that are asked for at a time. */
export const SCRAPES_CONCURRENT_MAX = 16;

/** Measures what each running instance uses, and wakes the reconciler, which reports, when that has moved. */
export class UsageCollector implements Service {
  readonly name = "usage";
  readonly #options: { readonly host: string; readonly intervalMs?: number };
  readonly #deps: UsageDeps;
  #uses: ReadonlyMap<string, CpuUse> = new Map();
  #metrics: ReadonlyMap<string, ReadonlyMap<string, number>> = new Map();

  constructor(
    options: {
      /** The node's workload address. */
      readonly host: string;
      readonly intervalMs?: number;
    },
    deps: UsageDeps,
  ) {
    this.#options = options;
    this.#deps = deps;
  }

  /** What is known of an instance. */
  useOf(id: string): InstanceUse {
    const milliCpu = this.#uses.get(id)?.milliCpu;
    const metrics = this.#metrics.get(id);
    return {
      ...(milliCpu === undefined ? {} : { milliCpu }),
      ...(metrics === undefined || metrics.size === 0
        ? {}
        : { metrics: Object.fromEntries(metrics) }),
    };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.pass(signal);
      const intervalMs = this.#options.intervalMs ?? USAGE_INTERVAL_MS;
      await this.#deps.clock.sleep(intervalMs, signal).catch(() => undefined);
    }
  }

  /** One reading. A machine that cannot be read leaves what is known as it is. */
  async pass(signal: AbortSignal): Promise<void> {
    const { store, log, onMoved } = this.#deps;
    try {
      const running = store.instances().filter((r) => r.intent === "running");
      const before = running.map((r) => this.useOf(r.id));
      this.#readCpu(running);
      await this.#scrape(running, signal);
      const moved = running.some((r, index) => !jsonEqual(before[index], this.useOf(r.id)));
      if (moved) onMoved();
    } catch (error) {
      log.warn({ error: messageOf(error) }, "the use of instances could not be read");
    }
  }

  #readCpu(running: readonly InstanceRecord[]): void {
    const { probe, clock } = this.#deps;
    const leaders = new Set(running.flatMap((r) => r.processes.map((p) => p.pid)));
    const times = leaders.size === 0 ? new Map<number, number>() : probe.read(leaders);
    const bootMs = clock.bootMs();
    this.#uses = new Map(
      running.map(({ id, runId = "", processes }) => {
        const cpuMs = processes.reduce((sum, p) => sum + (times.get(p.pid) ?? 0), 0);
        return [id, nextCpuUse(this.#uses.get(id), { runId, cpuMs, bootMs })];
      }),
    );
  }

  async #scrape(running: readonly InstanceRecord[], signal: AbortSignal): Promise<void> {
    const next = new Map<string, ReadonlyMap<string, number>>();
    const asked = running.filter((r) => r.desired.scrape !== undefined);
    const told = this.#metrics;
    const one = async ({ id, desired }: InstanceRecord): Promise<void> => {
      const { port, path, names } = desired.scrape ?? { port: 0, path: "/", names: [] };
      const { host } = this.#options;
      const timeoutMs = SCRAPE_TIMEOUT_MS;
      const page = await this.#deps.pages.read({ host, port, path, timeoutMs }, signal);
      if (page !== undefined)
        next.set(id, nextMetrics(told.get(id) ?? new Map(), metricsIn(page, names)));
    };
    for (let i = 0; i < asked.length && !signal.aborted; i += SCRAPES_CONCURRENT_MAX)
      await Promise.all(asked.slice(i, i + SCRAPES_CONCURRENT_MAX).map(one));
    this.#metrics = next;
  }
}

interface UsageDeps {
  readonly store: Pick<AgentStore, "instances">;
  readonly probe: CpuTimeProbe;
  readonly pages: MetricsPages;
  readonly clock: Clock;
  readonly log: Log;
  readonly onMoved: () => void;
}
