import type { Candidate } from "../../model/resources/edge.ts";
import {
  type Adjustment,
  affinityRejection,
  isPlain,
  type Spot,
  topologyOf,
} from "../adjustment.ts";
import { mostFrequentFirst, scoreOf } from "../decide.ts";
import { f64, i32 } from "../engine/columns.ts";
import { NO_NODE } from "../engine/node-score.ts";
import { isSoundAmount } from "../engine/shape.ts";
import type { DecisionCounts, NodeFacts } from "../facts.ts";
import {
  allRejections,
  CLASS_FILTERS,
  FILTER_NAMES,
  type FilterName,
  firstRejection,
} from "../filter.ts";
import { type Distance, isNearer, lackOf, nearestText } from "../nearest.ts";
import type { ScoreContext } from "../score.ts";
import { byName, shortened } from "../select.ts";
import type { FleetRows } from "./fleet-rows.ts";
import type { FleetShape } from "./fleet-shape.ts";
import type { NodeEntry } from "./node-entry.ts";

/** What stands beside a decision: candidates, counts, and what would make it fit. */
export interface Explained {
  readonly candidates: readonly Candidate[];
  readonly omitted: number;
  readonly counts: DecisionCounts;
  readonly wouldFit?: string;
}

interface Ranked {
  readonly row: number;
  readonly score: number;
}

/** What was seen of one filter. */
interface Failed {
  count: number;
  /** Rows that failed it first: as many as may be shown. */
  readonly rows: number[];
}

/** One look at every row for one request. What a filter says of a class is not asked again for each of its nodes. */
export class Explanation {
  readonly #rows: FleetRows;
  readonly #shape: FleetShape;
  readonly #adjustment: Adjustment;
  readonly #countMax: number;
  /** No site and no node is special. */
  readonly #isPlain: boolean;
  readonly #topology: (spot: Spot) => number;
  /** Asks for amounts that can be given at all. */
  readonly #isPossible: boolean;
  readonly #best: Ranked[] = [];
  readonly #failed = new Map<FilterName, Failed>();
  #nodeCount = 0;
  #fitCount = 0;

  constructor(
    rows: FleetRows,
    { shape, adjustment }: { readonly shape: FleetShape; readonly adjustment: Adjustment },
    countMax: number,
  ) {
    this.#rows = rows;
    this.#shape = shape;
    this.#adjustment = adjustment;
    this.#countMax = countMax;
    this.#isPlain = isPlain(adjustment);
    this.#topology = topologyOf(shape.request.kind, adjustment);
    this.#isPossible =
      [shape.milliCpu, shape.memoryBytes, shape.diskBytes].every(isSoundAmount) &&
      Object.values(shape.request.otherAmounts).every((amount) => amount === 0);
    rows.score.prepare(shape);
    this.#look();
  }

  /** The best row, or NO_NODE. */
  get winner(): number {
    return this.#best[0]?.row ?? NO_NODE;
  }

  explained(): Explained {
    const context = contextOf(this.#rows, this.#shape, this.#adjustment);
    const fitting = this.#best.map(({ row }) => scoreOf(this.#factsOf(row), context));
    const rejected = [...this.#failed.values()]
      .flatMap(({ rows }) => rows)
      .map((row) => this.#rejected(row))
      .toSorted((a, b) => byName(a.node, b.node));
    const { candidates } = shortened([...fitting, ...rejected], this.#countMax);
    const wouldFit = this.#fitCount > 0 ? undefined : this.#nearest();
    return {
      candidates,
      omitted: this.#nodeCount - candidates.length,
      counts: {
        nodes: this.#nodeCount,
        fitting: this.#fitCount,
        rejections: mostFrequentFirst(
          [...this.#failed].map(
            ([
              filter,
              {
                count,
                rows: [row = 0],
              },
            ]) => ({
              filter,
              count,
              reason: this.#rejected(row).reason ?? "",
            }),
          ),
        ),
      },
      ...(wouldFit === undefined ? {} : { wouldFit }),
    };
  }

  #look(): void {
    const { nodes, score, entries } = this.#rows.settle();
    const shape = this.#shape;
    for (let row = 0; row < nodes.nodeCount; row++) {
      const told = entries[row]?.told;
      if (told === undefined) continue;
      this.#nodeCount++;
      const failed = this.#firstFailed(row, told);
      if (failed === undefined) {
        this.#fitCount++;
        this.#rank(row, score.scoreWith(shape, row, this.#topologyAt(told)));
      } else this.#count(failed, row);
    }
  }

  /** As the order of all filters has it: those of classes come first. */
  #firstFailed(row: number, told: NodeFacts): FilterName | undefined {
    const shape = this.#shape;
    const { nodes, score } = this.#rows;
    const failed = shape.failed[i32(nodes.classOf, row)] ?? 0;
    if (failed > 0) return CLASS_FILTERS[failed - 1];
    if (!score.hasDevices(shape, row)) return "GpuDevices";
    if (!this.#hasAmounts(row)) return "Resources";
    if (shape.ports !== undefined && nodes.takenPort(shape.ports, row) !== undefined)
      return "Ports";
    return this.#isBarred(told) ? "Affinity" : undefined;
  }

  #topologyAt({ name, site }: NodeFacts): number {
    if (this.#isPlain) return this.#shape.topologyBase;
    return this.#topology({ node: name, site: site.name });
  }

  #isBarred({ name, site }: NodeFacts): boolean {
    if (this.#isPlain) return false;
    return affinityRejection(this.#adjustment, { node: name, site: site.name }) !== undefined;
  }

  #hasAmounts(row: number): boolean {
    const { nodes } = this.#rows;
    const { milliCpu, memoryBytes, diskBytes } = this.#shape;
    return (
      this.#isPossible &&
      milliCpu <= f64(nodes.milliCpuFree, row) &&
      memoryBytes <= f64(nodes.memoryFree, row) &&
      diskBytes <= f64(nodes.diskFree, row) &&
      i32(nodes.instancesFree, row) > 0
    );
  }

  #rank(row: number, score: number): void {
    const best = this.#best;
    const last = best[this.#countMax - 1];
    // Rows come in order: an equal one is behind.
    if (last !== undefined && score <= last.score) return;
    const ranked = { row, score };
    let at = best.length;
    while (at > 0 && isBefore(ranked, best[at - 1])) at--;
    best.splice(at, 0, ranked);
    if (best.length > this.#countMax) best.pop();
  }

  #count(filter: FilterName, row: number): void {
    const failed = this.#failed.get(filter) ?? { count: 0, rows: [] };
    failed.count++;
    if (failed.rows.length < this.#countMax) failed.rows.push(row);
    this.#failed.set(filter, failed);
  }

  #rejected(row: number): Candidate {
    const node = this.#factsOf(row);
    const rejection = firstRejection(this.#shape.request, node, FILTER_NAMES, this.#adjustment);
    // An engine's round may hold room that no assignment has yet.
    const held = { filter: "Resources", reason: "its room is being given away" };
    return { node: node.name, site: node.site.name, ...(rejection ?? held) };
  }

  /** The node that fails the fewest filters, and lacks least. */
  #nearest(): string | undefined {
    const byClass = new Map<number, number>();
    const counts = new Map<number, number>();
    let best: { readonly entry: NodeEntry; readonly distance: Distance } | undefined;
    const { nodes, entries } = this.#rows.settle();
    for (let row = 0; row < nodes.nodeCount; row++) {
      const entry = entries[row];
      if (entry?.told === undefined) continue;
      const nodeClass = i32(nodes.classOf, row);
      const ofClass =
        byClass.get(nodeClass) ?? this.#rows.terms.failedCount(this.#shape, nodeClass);
      byClass.set(nodeClass, ofClass);
      const failedCount = ofClass + this.#failedByRow(row, entry.told);
      counts.set(failedCount, (counts.get(failedCount) ?? 0) + 1);
      if (best !== undefined && failedCount > best.distance.failedCount) continue;
      const left = {
        milliCpu: f64(nodes.milliCpuFree, row),
        memoryBytes: f64(nodes.memoryFree, row),
        diskBytes: f64(nodes.diskFree, row),
      };
      const distance = { failedCount, lack: lackOf(this.#shape, left) };
      const isBest =
        best === undefined ||
        isNearer(distance, best.distance) ||
        (!isNearer(best.distance, distance) && byName(entry.name, best.entry.name) < 0);
      if (isBest) best = { entry, distance };
    }
    const facts = best?.entry.facts;
    if (best === undefined || facts === undefined) return undefined;
    const rejections = allRejections(this.#shape.request, facts, this.#adjustment);
    const othersCount = (counts.get(best.distance.failedCount) ?? 1) - 1;
    return nearestText(facts.name, rejections, { othersCount });
  }

  /** Filters beside those of its class that the row fails. */
  #failedByRow(row: number, told: NodeFacts): number {
    const shape = this.#shape;
    const { nodes, score } = this.#rows;
    const nodeClass = i32(nodes.classOf, row);
    const devices = shape.failsDevices[nodeClass] === 1 || score.hasDevices(shape, row) ? 0 : 1;
    const ports =
      shape.ports !== undefined && nodes.takenPort(shape.ports, row) !== undefined ? 1 : 0;
    return devices + (this.#hasAmounts(row) ? 0 : 1) + ports + (this.#isBarred(told) ? 1 : 0);
  }

  #factsOf(row: number): NodeFacts {
    return this.#rows.factsOf(row);
  }
}

/** What the plain score needs to say the same of a node. */
export function contextOf(
  rows: FleetRows,
  { request, weights, costMin }: FleetShape,
  adjustment: Adjustment,
): ScoreContext {
  return {
    request,
    weights,
    topology: topologyOf(request.kind, adjustment),
    costMin: Number.isNaN(costMin) ? undefined : costMin,
    values: rows.values,
  };
}

function isBefore(a: Ranked, b: Ranked | undefined): boolean {
  return b === undefined || a.score > b.score || (a.score === b.score && a.row < b.row);
}
