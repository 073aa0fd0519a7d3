import type { Clock } from "@flotilla/shared/kernel/clock";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import { mixDistance, type RequestMix } from "@flotilla/shared/scheduling/gpu/request-mix";
import type { SolveLinearProgram } from "@flotilla/shared/scheduling/gpu/slot-prices";
import { type GpuValues, gpuValueSteps, haveMoved } from "@flotilla/shared/scheduling/gpu/values";
import type { Scheduler } from "./scheduler.ts";

/** How often the mix of requests is looked at. */
export const VALUES_CHECK_INTERVAL_MS = 60_000;

/** Age at which values are made anew, however little the mix moved. */
export const VALUES_AGE_MAX_MS = 3_600_000;

/** Percent of the requests for GPUs that have to be of other kinds than when the values were made, for them to be made before that. */
export const MIX_MOVED_PERCENT = 10;

/**
 * Keeps what GPUs are worth in step with what is asked for. Making values is a column of small linear programs: between two of
 * them everything else has its turn. The table is told only of values that decisions can tell from those before, for then
 * every score of every shape is made anew.
 */
export class ValueService implements Service {
  readonly name = "gpu-values";
  readonly #deps: ValueServiceDeps;
  #made: { readonly mix: RequestMix; readonly atMs: number } | undefined;

  constructor(deps: ValueServiceDeps) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, scheduler } = this.#deps;
    // What runs already has asked for something; later the controller reads on.
    scheduler.mirror.sync();
    while (!signal.aborted) {
      await this.pass(signal).catch((error: unknown) =>
        log.warn({ err: error }, "what GPUs are worth was not made anew"),
      );
      await clock.sleep(VALUES_CHECK_INTERVAL_MS, signal).catch(() => undefined);
    }
  }

  /** Makes values when they are due. */
  async pass(signal?: AbortSignal): Promise<void> {
    const { scheduler, clock } = this.#deps;
    const mix = scheduler.mirror.mix.entries();
    if (!mix.some(({ gpuCount }) => gpuCount > 0) || !this.#isDue(mix)) return;
    const atMs = clock.bootMs();
    const values = await this.#solve(mix, signal);
    if (values === undefined) return;
    this.#made = { mix, atMs };
    this.#use(values);
  }

  #isDue(mix: RequestMix): boolean {
    if (this.#made === undefined) return true;
    const ageMs = this.#deps.clock.bootMs() - this.#made.atMs;
    return ageMs >= VALUES_AGE_MAX_MS || mixDistance(this.#made.mix, mix) * 100 > MIX_MOVED_PERCENT;
  }

  /** Undefined when there is no time left. */
  async #solve(mix: RequestMix, signal: AbortSignal | undefined): Promise<GpuValues | undefined> {
    const { solve, turn } = this.#deps;
    const steps = gpuValueSteps(mix, solve);
    for (;;) {
      await turn();
      if (signal?.aborted === true) return undefined;
      const step = steps.next();
      if (step.done === true) return step.value;
    }
  }

  #use(values: GpuValues): void {
    const { scheduler, log, metrics } = this.#deps;
    const moved = haveMoved(scheduler.table.values, values);
    metrics.count("flotilla_hub_gpu_values_total", { outcome: moved ? "changed" : "kept" });
    if (!moved) return;
    scheduler.table.setValues(values);
    metrics.set("flotilla_hub_gpu_values_cpus_per_gpu", values.milliCpuPerGpu / MILLI_PER_CPU);
    const prices = Object.fromEntries(values.prices);
    log.info({ milliCpuPerGpu: values.milliCpuPerGpu, prices }, "GPUs are worth something else");
  }
}

const MILLI_PER_CPU = 1_000;

interface ValueServiceDeps {
  readonly scheduler: Pick<Scheduler, "mirror" | "table">;
  readonly solve: SolveLinearProgram;
  /** Gives everything else its turn. */
  readonly turn: () => Promise<unknown>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}
