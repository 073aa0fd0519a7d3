import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { movePrice, type Resident } from "@flotilla/shared/scheduling/defragment/resident";
import type { Shape } from "@flotilla/shared/scheduling/engine/shape";
import type { PlacementRequest, Weights } from "@flotilla/shared/scheduling/facts";
import type { FleetTable } from "@flotilla/shared/scheduling/fleet/fleet-table";
import { isResolved } from "../../domain/application/component.ts";
import { isAvailable, isFinished } from "../../domain/application/instance-state.ts";
import type { Plan } from "../../domain/application/plan.ts";
import { unavailableMaxOf } from "../../domain/application/rolling-update.ts";
import { applicationIdOf, idOf } from "./assignment-index.ts";
import type { FleetMirror } from "./fleet-mirror.ts";
import type { RunningBook } from "./running-book.ts";

type Assignment = ObjectOf<"Assignment">;

/** What of a component decides whether its instances may be moved for others. */
interface Known {
  readonly request: PlacementRequest;
  readonly weights: Weights;
  readonly specDigest: string;
  /** Shared out over sites: its instances stay on theirs. */
  readonly isDivided: boolean;
  /** What its owner says. */
  readonly movable: boolean | undefined;
}

/** Instances that might be moved to make room, as the planner of moves sees them. */
export class Movables {
  readonly #deps: MovablesDeps;
  /** By Application, then component. */
  readonly #known = new Map<string, ReadonlyMap<string, Known>>();

  constructor(deps: MovablesDeps) {
    this.#deps = deps;
  }

  /** Keeps what an Application says of its components. */
  learn({ input, outcomes, division }: Plan): void {
    const { metadata, spec } = input.application;
    const divided = new Set(division.map((d) => d.component));
    const movable = new Map(spec.components.map((c) => [c.name, c.scheduling?.movable]));
    const known = outcomes.flatMap(({ component: c }) =>
      isResolved(c)
        ? [
            [
              c.name,
              {
                request: c.request,
                weights: input.weights,
                specDigest: c.specDigest,
                isDivided: divided.has(c.name),
                movable: movable.get(c.name),
              },
            ] as const,
          ]
        : [],
    );
    this.#known.set(`${metadata.namespace ?? ""}/${metadata.name}`, new Map(known));
  }

  /** Brings what is known of an Application back as it is now. */
  saved(applicationId: string): () => void {
    const before = this.#known.get(applicationId);
    return () => {
      if (before === undefined) this.#known.delete(applicationId);
      else this.#known.set(applicationId, before);
    };
  }

  forget(applicationId: string): void {
    this.#known.delete(applicationId);
  }

  /** What runs on a node of the table, in the order of names. */
  residentsOf(node: number): readonly Resident[] {
    const { mirror, table } = this.#deps;
    return [...mirror.assignments.ofNode(table.nodeName(node))]
      .toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
      .flatMap((assignment) => this.#residentOf(assignment) ?? []);
  }

  /**
   * Moves that each component still allows, by `namespace/application/component`: its disruption budget, or the quarter of a rolling update,
   * less what serves nobody already.
   */
  budgets(): ReadonlyMap<string, number> {
    const { mirror, running } = this.#deps;
    const counts = new Map<
      string,
      { readonly id: string; readonly component: string; all: number; away: number }
    >();
    for (const a of mirror.assignments.values()) {
      if (a.spec.node === undefined || isFinished(a)) continue;
      const [id, { component }] = [applicationIdOf(a), a.spec];
      const key = `${id}/${component}`;
      const count = counts.get(key) ?? { id, component, all: 0, away: 0 };
      count.all++;
      if (!isAvailable(a)) count.away++;
      counts.set(key, count);
    }
    return new Map(
      [...counts].map(([key, { id, component, all, away }]) => {
        const { unavailableMax = unavailableMaxOf(all) } = running.traitsOf(id, component);
        return [key, Math.max(0, unavailableMax - away)];
      }),
    );
  }

  #residentOf(assignment: Assignment): Resident | undefined {
    const { table } = this.#deps;
    const placed = table.placed(idOf(assignment));
    if (placed === undefined || isFinished(assignment)) return undefined;
    const applicationId = applicationIdOf(assignment);
    const known = this.#known.get(applicationId)?.get(assignment.spec.component);
    const shape = known && table.shapeOf(requestOf(known, assignment), known.weights);
    const lock = this.#lockOf(assignment, known) ?? shapeLock(shape, placed.shape);
    const serves = isAvailable(assignment);
    return {
      id: idOf(assignment),
      placed: { ...placed, shape: shape ?? placed.shape },
      // What does not run yet loses nothing, and nobody misses it.
      price: serves ? movePrice(placed.shape, table.values.milliCpuPerGpu) : 0,
      budgets: serves ? [`${applicationId}/${assignment.spec.component}`] : [],
      ...(lock === undefined ? {} : { lock }),
    };
  }

  #lockOf(assignment: Assignment, known: Known | undefined): string | undefined {
    const { component, desired } = assignment.spec;
    if (known === undefined) return "its component is not known";
    if (known.movable === false) return "scheduling.movable is false";
    if (known.request.nodeName !== undefined) return "nodeName pins it";
    if (desired.specDigest !== known.specDigest) return "it is being updated";
    const { minMember } = this.#deps.running.traitsOf(applicationIdOf(assignment), component);
    if (known.movable !== true && (desired.kind === "Job" || minMember > 1))
      return "its work would begin anew, and scheduling.movable does not say that it may";
    return undefined;
  }
}

/** A component that is shared out over sites stays on its site. */
function requestOf({ request, isDivided }: Known, { spec }: Assignment): PlacementRequest {
  if (!isDivided || spec.site === undefined) return request;
  const onSite = { siteAffinity: { siteNames: [spec.site] } };
  return { ...request, placements: [...request.placements, onSite] };
}

/** It is moved as what it asks for, and that has to be what it holds. */
function shapeLock(asked: Shape | undefined, held: Shape): string | undefined {
  if (asked === undefined) return undefined;
  const isSame =
    asked.milliCpu === held.milliCpu &&
    asked.memoryBytes === held.memoryBytes &&
    asked.diskBytes === held.diskBytes &&
    asked.gpuCount === held.gpuCount &&
    asked.gpuMilli === held.gpuMilli;
  return isSame ? undefined : "what it asks for has changed";
}

interface MovablesDeps {
  readonly table: FleetTable;
  readonly mirror: FleetMirror;
  readonly running: Pick<RunningBook, "traitsOf">;
}
