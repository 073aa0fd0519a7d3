import type { Placed, Trial } from "@flotilla/shared/scheduling/engine/trial";
import type { Decision } from "@flotilla/shared/scheduling/facts";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import type { RoundMember } from "@flotilla/shared/scheduling/round/types";
import { boundTo, type Neighbours } from "./neighbours.ts";
import type { WantedInstance } from "./wanted-instance.ts";

interface Made {
  readonly instance: WantedInstance;
  readonly decision: Decision;
  readonly placed: Placed;
  /** Where the trial stood afterwards. */
  readonly mark: number;
}

/**
 * Places the members of a round on the table. A round takes back what it only tried: what is not in the trial any more is taken
 * back here too, before anything else is placed.
 */
export class RoundPlacer {
  readonly #table: FleetTable;
  readonly #neighbours: Neighbours;
  readonly #instances: ReadonlyMap<string, WantedInstance>;
  readonly #made: Made[] = [];
  readonly #onlyOn: ReadonlyMap<string, string>;
  /** By shape: those of one shape have the same candidates, but for who stands near them. */
  readonly #explanations = new Map<object, Decision>();

  constructor(deps: {
    readonly table: FleetTable;
    readonly neighbours: Neighbours;
    readonly instances: ReadonlyMap<string, WantedInstance>;
    /** Nodes of instances that have room on one alone, by id. */
    readonly onlyOn?: ReadonlyMap<string, string>;
  }) {
    this.#table = deps.table;
    this.#neighbours = deps.neighbours;
    this.#instances = deps.instances;
    this.#onlyOn = deps.onlyOn ?? new Map();
  }

  place(member: RoundMember, trial: Trial): Placed | undefined {
    this.#takeBackUndone(trial);
    const instance = this.#instances.get(member.id);
    if (instance === undefined) return undefined;
    const table = this.#table;
    const { plan, component, request, weights, id } = instance;
    const adjustment = boundTo(
      this.#onlyOn.get(id),
      this.#neighbours.adjustmentOf(plan, component),
    );
    const shape = table.shapeOf(request, weights, adjustment);
    const chosen = table.decide(request, weights, adjustment, { explains: false });
    if (chosen.node === undefined) return undefined;
    const node = table.nodeIndex(chosen.node);
    const decision = this.#explained(instance, shape, chosen);
    const placed = { shape, node, devices: table.devicesOn(shape, node) };
    trial.reserve(placed);
    table.assign(id, table.nodeName(node), table.useOf(placed), { reserved: true });
    this.#neighbours.enter(plan, component, decision.node);
    this.#made.push({ instance, decision, placed, mark: trial.mark });
    return placed;
  }

  /** A decision with the candidates beyond winner and runner-up, as they were when the first of its kind was placed. */
  #explained(instance: WantedInstance, shape: object, decision: Decision): Decision {
    const { plan, component, request, weights } = instance;
    const known = this.#explanations.get(shape);
    const others =
      known ??
      this.#table.explain(request, weights, this.#neighbours.adjustmentOf(plan, component));
    if (known === undefined) this.#explanations.set(shape, others);
    const named = new Set(decision.candidates.map((c) => c.node));
    const candidates = [
      ...decision.candidates,
      ...others.candidates.filter((c) => !named.has(c.node)),
    ];
    const { counts } = others;
    return {
      ...decision,
      candidates,
      omitted: Math.max(0, this.#table.nodeCount - candidates.length),
      ...(counts === undefined ? {} : { counts }),
    };
  }

  /** What the round has placed in the end, by id. */
  finish(placedIds: ReadonlySet<string>): ReadonlyMap<string, Decision> {
    const decisions = new Map<string, Decision>();
    for (const made of this.#made.splice(0).reverse())
      if (placedIds.has(made.instance.id)) decisions.set(made.instance.id, made.decision);
      else this.#takeBack(made);
    return decisions;
  }

  #takeBackUndone(trial: Trial): void {
    for (let last = this.#made.at(-1); last !== undefined; last = this.#made.at(-1)) {
      if (trial.holds(last.placed, last.mark)) return;
      this.#made.pop();
      this.#takeBack(last);
    }
  }

  /** The round has given the room back already. */
  #takeBack({ instance: { id, plan, component }, decision }: Made): void {
    this.#table.unassign(id, { released: true });
    this.#neighbours.leave(plan, component, decision.node);
  }
}
