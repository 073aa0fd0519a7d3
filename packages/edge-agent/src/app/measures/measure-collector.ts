import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { Measures, ProbePlan } from "@flotilla/shared/model/measures";
import { areWorthSending } from "../../domain/measures/significance.ts";
import { type Sample, statsOf, withSample } from "../../domain/measures/window.ts";
import type { AgentStore } from "../state/ports.ts";
import type { MeasureProbe, ProbeAddress } from "./ports.ts";

/** How often whether there is something to probe is looked at. */
export const MEASURE_INTERVAL_MS = 60_000;
/**
 * How often the link's speed and the way to the hub are measured. Each is a connection to the broker, which takes a bounded
 * number a second from all nodes together.
 */
export const MACHINE_INTERVAL_MS = 300_000;
/** Longest probe of the hub. */
export const HUB_PROBE_TIMEOUT_MS = 5_000;
/** Key under which a newer report of measures takes the place of one that still waits. */
const COALESCE_KEY = "measures";

interface Windowed extends ProbeAddress {
  readonly samples: readonly Sample[];
}

/**
 * Measures what the score of a placement uses: the disk once at start, the link and the way to the hub every five minutes, and,
 * on the node that the hub has made its site's prober, the way to other sites at the interval of the plan.
 */
export class MeasureCollector implements Service {
  readonly name = "measures";
  readonly #isDiskProbed: boolean;
  readonly #deps: MeasureDeps;
  readonly #windows = new Map<string, Windowed>();
  #disk: number | undefined;
  #link: number | undefined;
  #hub: readonly Sample[] = [];
  #machineDueMs = 0;
  #sent: { readonly measures: Measures; readonly sentBootMs: number } | undefined;

  constructor(options: { readonly diskProbe: boolean }, deps: MeasureDeps) {
    this.#isDiskProbed = options.diskProbe;
    this.#deps = deps;
  }

  /** For a birth, which carries everything: what it says counts as sent. */
  birthFacts(): { readonly measures?: Measures } {
    const measures = this.#measures();
    if (Object.keys(measures).length === 0) return {};
    this.#sent = { measures, sentBootMs: this.#deps.clock.bootMs() };
    return { measures };
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, probe } = this.#deps;
    if (this.#isDiskProbed) this.#disk = await probe.diskWritesPerSecond();
    while (!signal.aborted) {
      const plan = this.#deps.plan();
      await this.#measureMachine(signal);
      await this.#probe(plan, signal);
      if (signal.aborted) return;
      this.#report();
      const restMs = Math.min(MEASURE_INTERVAL_MS, plan?.intervalMs ?? MEASURE_INTERVAL_MS);
      await clock.sleep(restMs, signal).catch(() => undefined);
    }
  }

  async #measureMachine(signal: AbortSignal): Promise<void> {
    const { clock, probe, hub } = this.#deps;
    if (clock.bootMs() < this.#machineDueMs) return;
    this.#machineDueMs = clock.bootMs() + MACHINE_INTERVAL_MS;
    this.#link = await probe.linkSpeed();
    const address = hub();
    if (address === undefined) return;
    this.#hub = withSample(this.#hub, await this.#sample(address, HUB_PROBE_TIMEOUT_MS, signal));
  }

  /** One probe of each target. A target whose address changed begins anew, one that is not asked for any more is forgotten. */
  async #probe(plan: ProbePlan | undefined, signal: AbortSignal): Promise<void> {
    const targets = plan?.targets ?? [];
    const names = new Set(targets.map((target) => target.site));
    for (const name of this.#windows.keys()) if (!names.has(name)) this.#windows.delete(name);
    await Promise.all(
      targets.map(async ({ site, host, port }) => {
        const sample = await this.#sample({ host, port }, plan?.timeoutMs ?? 0, signal);
        if (signal.aborted) return;
        const known = this.#windows.get(site);
        const before = known?.host === host && known.port === port ? known.samples : [];
        this.#windows.set(site, { host, port, samples: withSample(before, sample) });
      }),
    );
  }

  async #sample(address: ProbeAddress, timeoutMs: number, signal: AbortSignal): Promise<Sample> {
    const ms = await this.#deps.probe.connectMs(address, timeoutMs, signal);
    const outcome = ms === undefined ? "lost" : "answered";
    this.#deps.metrics.count("flotilla_agent_latency_probes_total", { outcome });
    return ms ?? "lost";
  }

  #measures(): Measures {
    const timeoutMs = this.#deps.plan()?.timeoutMs ?? 0;
    const hubLatency = statsOf(this.#hub, HUB_PROBE_TIMEOUT_MS);
    const latencies = [...this.#windows].flatMap(([site, { samples }]) => {
      const stats = statsOf(samples, timeoutMs);
      return stats === undefined ? [] : [{ site, ...stats }];
    });
    return {
      ...(this.#link === undefined ? {} : { networkBitsPerSecond: this.#link }),
      ...(this.#disk === undefined ? {} : { diskWritesPerSecond: this.#disk }),
      ...(hubLatency === undefined ? {} : { hubLatency }),
      ...(latencies.length === 0 ? {} : { latencies }),
    };
  }

  /** Only while there is a session: the next birth carries the measures of its time. */
  #report(): void {
    const { clock, store, log, hasSession, onReport } = this.#deps;
    const measures = this.#measures();
    const nowBootMs = clock.bootMs();
    if (!hasSession() || !areWorthSending(this.#sent, measures, nowBootMs)) return;
    try {
      store.enqueue({ kind: "report", body: { measures }, coalesceKey: COALESCE_KEY });
      this.#sent = { measures, sentBootMs: nowBootMs };
      onReport();
    } catch (error) {
      log.warn({ error: messageOf(error) }, "a report of measures could not be stored");
    }
  }
}

interface MeasureDeps {
  readonly probe: MeasureProbe;
  readonly store: Pick<AgentStore, "enqueue">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** What the accepted desired state tells this node to probe. */
  readonly plan: () => ProbePlan | undefined;
  /** Where the hub's broker is; undefined while it is not known. */
  readonly hub: () => ProbeAddress | undefined;
  /** True while a session with the hub is open, from its birth on. */
  readonly hasSession: () => boolean;
  /** Wakes the link. */
  readonly onReport: () => void;
}
