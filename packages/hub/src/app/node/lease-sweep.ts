import type { Clock } from "@flotilla/shared/kernel/clock";
import { isoTime } from "@flotilla/shared/kernel/iso-time";
import type { Log, Metrics, Service } from "@flotilla/shared/kernel/service";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { NodeLife } from "@flotilla/shared/model/lease";
import { withCondition } from "@flotilla/shared/model/metadata";
import {
  leaseEvent,
  lifeHappening,
  NODE_LIVES,
  nextLife,
  readyCondition,
} from "../../domain/node/life.ts";
import { changeOf } from "../control/change.ts";
import type { EventRecorder } from "../events/event-recorder.ts";
import type { ResourceStore } from "../resources/ports.ts";
import type { LeaseTable } from "./lease-table.ts";

/** Time between two looks at all leases, milliseconds. */
export const LEASE_SWEEP_INTERVAL_MS = 5_000;
/** A sweep that comes later than this after the one before: the hub stood still, and judges nobody by that time. */
export const SWEEP_PAUSE_MS_MAX: number = 3 * LEASE_SWEEP_INTERVAL_MS;
/** Most nodes whose life is written at a time: that many rows stall the loop for about 5 ms. */
const SWEEP_BATCH_LENGTH_MAX = 200;

interface Step {
  readonly node: ObjectOf<"EdgeNode">;
  readonly life: NodeLife;
}

/** Writes what the leases say into the nodes' status. The rules are in domain/node. */
export class LeaseSweep implements Service {
  readonly name = "lease-sweep";
  readonly #intervalMs: number;
  readonly #store: ResourceStore;
  readonly #leases: LeaseTable;
  readonly #events: Pick<EventRecorder, "record">;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #metrics: Metrics;
  #lastSweepBootMs: number | undefined;

  constructor(
    options: { readonly intervalMs?: number },
    deps: {
      readonly store: ResourceStore;
      readonly leases: LeaseTable;
      readonly events: Pick<EventRecorder, "record">;
      readonly clock: Clock;
      readonly log: Log;
      readonly metrics: Metrics;
    },
  ) {
    this.#intervalMs = options.intervalMs ?? LEASE_SWEEP_INTERVAL_MS;
    this.#store = deps.store;
    this.#leases = deps.leases;
    this.#events = deps.events;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#metrics = deps.metrics;
  }

  /** Rejects when the store fails; the supervisor starts it again, which counts as a pause and judges nobody. */
  async run(signal: AbortSignal): Promise<void> {
    this.#lastSweepBootMs = undefined;
    while (!signal.aborted) {
      await this.sweep();
      await this.#clock.sleep(this.#intervalMs, signal).catch(() => {});
    }
  }

  /** One look at all nodes. */
  async sweep(): Promise<void> {
    const nowBootMs = this.#clock.bootMs();
    const nodes = this.#store.list("EdgeNode");
    if (this.#paused(nowBootMs)) this.#grantAll(nodes, nowBootMs);
    this.#lastSweepBootMs = nowBootMs;
    this.#leases.retain(new Set(nodes.map((n) => n.metadata.name)));
    const steps = nodes.flatMap((node) => this.#stepOf(node, nowBootMs));
    for (let i = 0; i < steps.length; i += SWEEP_BATCH_LENGTH_MAX)
      await Promise.all(
        steps.slice(i, i + SWEEP_BATCH_LENGTH_MAX).map((step) => this.#write(step)),
      );
    this.#count(nodes);
  }

  #paused(nowBootMs: number): boolean {
    const last = this.#lastSweepBootMs;
    return (
      last === undefined || nowBootMs - last > Math.max(SWEEP_PAUSE_MS_MAX, 3 * this.#intervalMs)
    );
  }

  #grantAll(nodes: readonly ObjectOf<"EdgeNode">[], nowBootMs: number): void {
    if (this.#lastSweepBootMs !== undefined) {
      const pausedMs = nowBootMs - this.#lastSweepBootMs;
      this.#metrics.count("flotilla_hub_lease_sweep_pauses_total");
      this.#log.warn({ pausedMs }, "the hub stood still; every ready node gets a fresh lease");
    }
    for (const node of nodes) {
      const ageMs = this.#leases.ageMs(node.metadata.name, nowBootMs);
      // Heard since the pause ended: that lease is newer than any that could be granted.
      if (ageMs !== undefined && leaseEvent(ageMs) === "renewed") continue;
      this.#leases.grant(node.metadata.name, node.status?.life ?? "registered", nowBootMs);
    }
  }

  #stepOf(node: ObjectOf<"EdgeNode">, nowBootMs: number): readonly Step[] {
    const ageMs = this.#leases.ageMs(node.metadata.name, nowBootMs);
    if (ageMs === undefined) return [];
    const life = nextLife(node.status?.life, leaseEvent(ageMs));
    return life === (node.status?.life ?? "registered") ? [] : [{ node, life }];
  }

  /**
   * One commit a node, so that a node that somebody wrote meanwhile waits alone for the next sweep; those of a batch are asked
   * for together and share a transaction.
   */
  async #write({ node, life }: Step): Promise<void> {
    const nowIso = isoTime(this.#clock.wallMs());
    const conditions = withCondition(node.status?.conditions, readyCondition(life), nowIso);
    const after = { ...node, status: { ...node.status, life, conditions } };
    const result = await this.#store.commit({ changes: [changeOf(node, after)] });
    if (!result.ok) return;
    const before = node.status?.life ?? "registered";
    const happening = lifeHappening(before, life);
    if (happening !== undefined) this.#events.record({ about: node, ...happening });
    this.#log.info({ node: node.metadata.name, before, life }, "node life changed");
  }

  #count(nodes: readonly ObjectOf<"EdgeNode">[]): void {
    const lives = nodes.map((n) => n.status?.life ?? "registered");
    for (const life of NODE_LIVES)
      this.#metrics.set("flotilla_hub_nodes", lives.filter((l) => l === life).length, { life });
  }
}
