import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Service } from "@flotilla/shared/kernel/service";
import { type CpuUse, nextCpuUse } from "../../domain/usage/instance-cpu.ts";
import type { AgentStore } from "../state/ports.ts";
import type { CpuTimeProbe } from "./ports.ts";

/** How often the CPU time of the instances is read; a value is the average over so long. */
export const USAGE_INTERVAL_MS = 15_000;

/** Measures what each running instance uses, and wakes the reconciler, which reports, when that has moved. */
export class UsageCollector implements Service {
  readonly name = "usage";
  readonly #intervalMs: number;
  readonly #deps: UsageDeps;
  #uses: ReadonlyMap<string, CpuUse> = new Map();

  constructor(options: { readonly intervalMs?: number }, deps: UsageDeps) {
    this.#intervalMs = options.intervalMs ?? USAGE_INTERVAL_MS;
    this.#deps = deps;
  }

  /** CPU use of an instance, thousandths of a core; undefined while it is not known. */
  milliCpuOf(id: string): number | undefined {
    return this.#uses.get(id)?.milliCpu;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.pass();
      await this.#deps.clock.sleep(this.#intervalMs, signal).catch(() => undefined);
    }
  }

  /** One reading. A machine that cannot be read leaves what is known as it is. */
  pass(): void {
    const { store, probe, clock, log, onMoved } = this.#deps;
    const running = store.instances().filter((r) => r.intent === "running");
    try {
      const leaders = new Set(running.flatMap((r) => r.processes.map((p) => p.pid)));
      const times = leaders.size === 0 ? new Map<number, number>() : probe.read(leaders);
      const bootMs = clock.bootMs();
      const next = new Map<string, CpuUse>();
      for (const { id, runId = "", processes } of running) {
        const cpuMs = processes.reduce((sum, p) => sum + (times.get(p.pid) ?? 0), 0);
        next.set(id, nextCpuUse(this.#uses.get(id), { runId, cpuMs, bootMs }));
      }
      const moved = [...next].some(([id, use]) => use.milliCpu !== this.milliCpuOf(id));
      this.#uses = next;
      if (moved) onMoved();
    } catch (error) {
      log.warn({ error: messageOf(error) }, "the CPU use of instances could not be read");
    }
  }
}

interface UsageDeps {
  readonly store: Pick<AgentStore, "instances">;
  readonly probe: CpuTimeProbe;
  readonly clock: Clock;
  readonly log: Log;
  readonly onMoved: () => void;
}
