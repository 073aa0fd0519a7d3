import type { NodeId } from "@flotilla/shared/kernel/ids";
import type { BrokerLimits } from "./limits.ts";

interface Record {
  readonly takenMs: readonly number[];
  readonly quarantinedUntilMs: number;
}

/**
 * Counts how often sessions of one node push each other out. Two devices with one certificate do so without end; a node
 * whose link breaks and comes back does so now and then.
 */
export class TakeoverWatch {
  readonly #limits: Pick<BrokerLimits, "takeoversMax" | "takeoverWindowMs" | "quarantineMs">;
  /** Only nodes with a takeover within the window are in it, so it is no larger than the fleet. */
  readonly #records = new Map<NodeId, Record>();

  constructor(limits: Pick<BrokerLimits, "takeoversMax" | "takeoverWindowMs" | "quarantineMs">) {
    this.#limits = limits;
  }

  /** Counts a takeover; true when it is one too many: the node is in quarantine from now on. */
  count(nodeId: NodeId, nowMs: number): boolean {
    const before = this.#records.get(nodeId)?.takenMs ?? [];
    const takenMs = [...before.filter((ms) => nowMs - ms < this.#limits.takeoverWindowMs), nowMs];
    const isTooMany = takenMs.length > this.#limits.takeoversMax;
    this.#records.set(
      nodeId,
      isTooMany
        ? { takenMs: [], quarantinedUntilMs: nowMs + this.#limits.quarantineMs }
        : { takenMs, quarantinedUntilMs: 0 },
    );
    return isTooMany;
  }

  isQuarantined(nodeId: NodeId, nowMs: number): boolean {
    return nowMs < (this.#records.get(nodeId)?.quarantinedUntilMs ?? 0);
  }

  /** Forgets what is past. Called now and then. */
  sweep(nowMs: number): void {
    for (const [nodeId, { takenMs, quarantinedUntilMs }] of this.#records) {
      const lastMs = Math.max(takenMs.at(-1) ?? 0, quarantinedUntilMs);
      if (nowMs - lastMs >= this.#limits.takeoverWindowMs) this.#records.delete(nodeId);
    }
  }
}
