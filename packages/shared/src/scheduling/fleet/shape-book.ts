import type { NodeFacts, PlacementRequest, Weights } from "../facts.ts";
import { FleetShape } from "./fleet-shape.ts";
import type { LabelTracker } from "./label-tracker.ts";
import { plainKey } from "./node-classes.ts";

/** Most shapes that are kept; the ones that were not asked for longest make room. */
export const SHAPES_MAX = 1_024;

/** Share of the shapes that goes when there are too many. */
const EVICTED_RATIO = 1 / 8;

interface Known {
  readonly weights: Weights;
  readonly topologyBase: number;
  readonly shape: FleetShape;
}

/** Shapes by what they ask for. */
export class ShapeBook {
  readonly #shapesMax: number;
  readonly #labels: LabelTracker;
  readonly #byKey = new Map<string, FleetShape>();
  readonly #ofRequest = new WeakMap<PlacementRequest, Known>();
  #asked = 0;

  constructor(options: { readonly shapesMax: number }, deps: { readonly labels: LabelTracker }) {
    this.#shapesMax = Math.max(1, options.shapesMax);
    this.#labels = deps.labels;
  }

  get shapes(): Iterable<FleetShape> {
    return this.#byKey.values();
  }

  /**
   * The shape of a request. `mayChange` is called when it is a new one that names labels which no shape named before: nodes for
   * which its argument answers true may be of another class.
   */
  of(
    { request, weights, topologyBase }: Pick<FleetShape, "request" | "weights" | "topologyBase">,
    mayChange: (isConcerned: (facts: NodeFacts) => boolean) => void,
  ): FleetShape {
    this.#asked++;
    const known = this.#ofRequest.get(request);
    const isSame = known?.weights === weights && known.topologyBase === topologyBase;
    const shape =
      isSame && this.#byKey.get(known.shape.key) === known.shape
        ? known.shape
        : this.#intern({ request, weights, topologyBase }, mayChange);
    if (shape !== known?.shape) this.#ofRequest.set(request, { weights, topologyBase, shape });
    shape.usedAt = this.#asked;
    return shape;
  }

  #intern(
    parts: Pick<FleetShape, "request" | "weights" | "topologyBase">,
    mayChange: (isConcerned: (facts: NodeFacts) => boolean) => void,
  ): FleetShape {
    const key = plainKey([parts.request, parts.weights, parts.topologyBase]);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#byKey.size >= this.#shapesMax) this.#evict();
    const shape = new FleetShape(parts, key);
    this.#byKey.set(key, shape);
    mayChange(this.#labels.add(parts.request));
    return shape;
  }

  #evict(): void {
    const count = Math.max(1, Math.floor(this.#byKey.size * EVICTED_RATIO));
    const oldest = [...this.#byKey.values()].toSorted((a, b) => a.usedAt - b.usedAt);
    for (const shape of oldest.slice(0, count)) {
      this.#byKey.delete(shape.key);
      this.#labels.remove(shape.request);
    }
  }
}
