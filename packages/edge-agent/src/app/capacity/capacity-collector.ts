import type { Clock } from "@flotilla/shared/kernel/clock";
import { messageOf } from "@flotilla/shared/kernel/errors";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { CapacityReading, Inventory } from "@flotilla/shared/model/capacity";
import { isWorthSending } from "../../domain/capacity/significance.ts";
import type { AgentStore } from "../state/ports.ts";
import type { CapacityProbe } from "./ports.ts";

/** How often the machine is looked at. */
export const CAPACITY_INTERVAL_MS = 10_000;

/** Key under which a newer capacity report takes the place of one that still waits. */
const COALESCE_KEY = "capacity";

/** Reads the machine at an interval and puts what moved into the outbox. */
export class CapacityCollector implements Service {
  readonly name = "capacity";
  readonly #intervalMs: number;
  readonly #deps: CollectorDeps;
  #inventory: Inventory | undefined;
  #latest: CapacityReading | undefined;
  #sent: { readonly reading: CapacityReading; readonly sentBootMs: number } | undefined;

  constructor(options: { readonly intervalMs?: number }, deps: CollectorDeps) {
    this.#intervalMs = options.intervalMs ?? CAPACITY_INTERVAL_MS;
    this.#deps = deps;
  }

  /** Reads everything once; a birth needs both before the first session. */
  async prepare(): Promise<void> {
    this.#inventory = await this.#deps.probe.inventory();
    this.#latest = await this.#deps.probe.read();
  }

  /** For a birth, which carries everything: what it says counts as sent. */
  birthFacts(): { readonly inventory: Inventory; readonly reading: CapacityReading } | undefined {
    const [inventory, reading] = [this.#inventory, this.#latest];
    if (inventory === undefined || reading === undefined) return undefined;
    this.#sent = { reading, sentBootMs: this.#deps.clock.bootMs() };
    const { gpus } = reading;
    return { inventory: gpus === undefined ? inventory : { ...inventory, gpus }, reading };
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#pass();
      await this.#deps.clock.sleep(this.#intervalMs, signal).catch(() => undefined);
    }
  }

  async #pass(): Promise<void> {
    const { clock, probe, store, log, metrics, hasSession } = this.#deps;
    const reading = await probe.read();
    this.#latest = reading;
    const nowBootMs = clock.bootMs();
    // The birth of the next session carries the latest reading: until then a report would only wear the flash out.
    if (!hasSession()) return;
    if (!isWorthSending(this.#sent, reading, nowBootMs)) return;
    try {
      store.enqueue({ kind: "report", body: { reading }, coalesceKey: COALESCE_KEY });
      this.#sent = { reading, sentBootMs: nowBootMs };
      metrics.count("flotilla_agent_capacity_reports_total");
      this.#deps.onReport();
    } catch (error) {
      log.warn(
        { error: messageOf(error) },
        "a capacity report could not be stored; the next reading tries again",
      );
    }
  }
}

interface CollectorDeps {
  readonly probe: CapacityProbe;
  readonly store: Pick<AgentStore, "enqueue">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** True while a session with the hub is open, from its birth on. */
  readonly hasSession: () => boolean;
  /** Wakes the link. */
  readonly onReport: () => void;
}
