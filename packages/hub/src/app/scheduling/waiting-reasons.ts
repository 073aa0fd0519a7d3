import { isPlain } from "@flotilla/shared/scheduling/adjustment";
import type { Decision } from "@flotilla/shared/scheduling/facts";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { Waiting, WaitingReason } from "@flotilla/shared/scheduling/round/types";
import type { Outcome } from "../../domain/application/outcome.ts";
import type { Neighbours } from "./neighbours.ts";
import type { RunningBook } from "./running-book.ts";
import type { WantedInstance } from "./wanted-instance.ts";

/**
 * Explanations of different requests that one round makes, each a look at every node; what waits beyond them says what the round
 * says, and `why` explains it when it is asked.
 */
export const EXPLANATIONS_MAX = 100;

type Why = Pick<Waiting, "reason" | "message">;

/** Reasons to wait that an instance's own explanation says better. */
const ROOM_REASONS: readonly WaitingReason[] = ["NoRoom", "LargerThanFleet", "BadRequest"];

/** Says why instances wait after a round. The table must not change meanwhile: equal requests are explained once. */
export class WaitingReasons {
  readonly #deps: WaitingReasonsDeps;
  readonly #byJob = new Map<string, Decision>();
  readonly #byShape = new Map<object, Decision>();
  #explainedCount = 0;

  constructor(deps: WaitingReasonsDeps) {
    this.#deps = deps;
  }

  /** Undefined: what its Assignment says already is as good. */
  of(instance: WantedInstance, jobId: string, why: Why): Outcome | undefined {
    const { want, component } = instance;
    const { reason, message } = why;
    const decision = this.#explained(instance, jobId);
    if (decision === undefined) {
      if (want.before?.status?.reason === reason) return undefined;
      return { candidates: [], waiting: { reason, message, concernsJob: true } };
    }
    const applicationId = jobId.slice(0, -component.length - 1);
    const { minMember } = this.#deps.running.traitsOf(applicationId, component);
    const concernsJob = minMember > 1 || !ROOM_REASONS.includes(reason);
    return { ...decision, waiting: { reason, message, concernsJob } };
  }

  /** The decision as it would be now, without the node: that there is room somewhere is not what it waits for. */
  #explained(instance: WantedInstance, jobId: string): Decision | undefined {
    const { plan, component, request, weights, want } = instance;
    const key = `${jobId}/${want.target.site ?? ""}`;
    const known = this.#byJob.get(key);
    if (known !== undefined) return known;
    const { table, neighbours } = this.#deps;
    const adjustment = neighbours.adjustmentOf(plan, component);
    const shape = isPlain(adjustment) ? table.shapeOf(request, weights, adjustment) : undefined;
    const alike = shape && this.#byShape.get(shape);
    if (alike !== undefined) return alike;
    if (this.#explainedCount >= EXPLANATIONS_MAX) return undefined;
    this.#explainedCount++;
    const { node: _fits, ...decision } = table.explain(request, weights, adjustment);
    this.#byJob.set(key, decision);
    if (shape !== undefined) this.#byShape.set(shape, decision);
    return decision;
  }
}

interface WaitingReasonsDeps {
  readonly table: FleetTable;
  readonly neighbours: Neighbours;
  readonly running: Pick<RunningBook, "traitsOf">;
}
