import { assert, must } from "../../kernel/assert.ts";
import { type AdjustedScore, BestAdjusted, BestFirst } from "./best-first.ts";
import { ChangeLog } from "./change-log.ts";
import { f32, f64, i32 } from "./columns.ts";
import { EVALUATIONS_MAX, NO_FIT, NO_NODE, type NodeScore, soundScore } from "./node-score.ts";
import { GPUS_PER_NODE_MAX, type NodeTable } from "./node-table.ts";
import { isSoundShape, type Shape } from "./shape.ts";
import { WinnerTree } from "./winner-tree.ts";

export { NO_NODE } from "./node-score.ts";

/**
 * Up to so many nodes a plain scan is as cheap as to keep trees. From 64 on trees won by each score, with 20 and with 500 shapes; at
 * 32 the plainest score was still scanned faster. Shapes that are asked for once pay for their tree: up to an eighth more with
 * the five-part score, one and a half to three times a scan with the plainest (`npm run bench:scheduler -- --node-counts 32,64,128,256,512 --shape-counts 20,500`).
 */
export const SCAN_NODES_MAX = 32;

/** Most memory that winner trees may take, bytes. A tree that was not asked for lately makes room for the next one. */
export const TREE_BYTES_MAX = 768 * 2 ** 20;

/** Most winner trees, however small they are: each holds its shape. */
export const TREES_MAX = 2_048;

/** A tree of which more than this share of nodes changed, each counted once, is built anew instead of repaired. */
const REBUILD_RATIO = 1 / 4;

/** Share of the nodes that an adjusted decision takes from the tree one by one; a scan looks at so many in less time. */
export const LOOKS_RATIO = 1 / 256;

interface EngineOptions {
  /** `tree` and `scan` are for tests and measurements; both choose the same node. Default: by the number of nodes. */
  readonly mode?: "tree" | "scan";
  readonly treeBytesMax?: number;
}

interface EngineDeps {
  readonly nodes: NodeTable;
  readonly score: NodeScore;
}

/**
 * Chooses the best node for shapes, one after the other, on a table of nodes that it alone changes. The choice is always the
 * one of a full scan: the greatest score, and of equal ones the lowest index. Per shape it keeps a winner tree, and of
 * all changes a log, so that a decision looks only at the nodes that changed since the shape was last asked about.
 */
export class Engine {
  readonly #nodes: NodeTable;
  readonly #score: NodeScore;
  readonly #scans: boolean;
  readonly #treesMax: number;
  readonly #trees = new Map<Shape, WinnerTree>();
  readonly #log: ChangeLog;
  /** Nodes that are evaluated together, and their scores. */
  readonly #batch = new Int32Array(EVALUATIONS_MAX);
  readonly #scores = new Float32Array(EVALUATIONS_MAX);
  /** Devices of the last `place`, as indexes within the node: the first `gpuCount` of them. Overwritten by the next. */
  readonly devices = new Int16Array(GPUS_PER_NODE_MAX);

  constructor(
    { mode, treeBytesMax = TREE_BYTES_MAX }: EngineOptions,
    { nodes, score }: EngineDeps,
  ) {
    this.#nodes = nodes;
    this.#score = score;
    this.#scans = mode === undefined ? nodes.nodeCount <= SCAN_NODES_MAX : mode === "scan";
    const fitting = Math.floor(treeBytesMax / WinnerTree.bytesOf(nodes.nodeCount));
    this.#treesMax = Math.max(1, Math.min(TREES_MAX, fitting));
    this.#log = new ChangeLog(nodes.nodeCount);
  }

  /** The best node for the shape, or NO_NODE. */
  choose(shape: Shape): number {
    if (!isSoundShape(shape)) return NO_NODE;
    const version = this.#score.prepare?.(shape) ?? 0;
    if (this.#scans) return this.#scan(shape);
    const tree = this.#treeOf(shape, version);
    return tree.winnerScore > NO_FIT ? tree.winner : NO_NODE;
  }

  /**
   * The best node by scores that differ from the shape's own: the choice of a scan with `adjusted`. Nodes come from the tree,
   * best first, until none can beat what was found; after LOOKS_RATIO of the nodes all are gone through, by the shape's own
   * scores as the tree has them.
   */
  chooseAdjusted(shape: Shape, adjusted: AdjustedScore): number {
    if (!isSoundShape(shape)) return NO_NODE;
    const { nodeCount } = this.#nodes;
    const version = this.#score.prepare?.(shape) ?? 0;
    const looksMax = Math.ceil(nodeCount * LOOKS_RATIO);
    const best = new BestAdjusted(adjusted);
    if (this.#scans) return best.ofAll(nodeCount);
    const tree = this.#treeOf(shape, version);
    if (adjusted.raised.length > looksMax) return best.ofOwn(tree.levels.best, nodeCount);
    for (const node of adjusted.raised) best.look(node);
    const order = new BestFirst(tree);
    for (let looks = 0; looks < looksMax; looks++) {
      const node = order.next();
      if (node === NO_NODE || !best.isBeatenBy(order.score, node)) return best.node;
      best.look(node);
    }
    return best.ofOwn(tree.levels.best, nodeCount);
  }

  /** Chooses and reserves. The devices are in `devices` until the next call. */
  place(shape: Shape): number {
    const node = this.choose(shape);
    if (node === NO_NODE) return node;
    if (shape.gpuCount > 0) this.#score.chooseDevices(shape, node, this.devices);
    this.reserve(shape, node, this.devices);
    return node;
  }

  /** Gives room on a node that was chosen elsewhere. */
  reserve(shape: Shape, node: number, devices: Int16Array): void {
    this.#nodes.reserve(shape, node, devices);
    this.changed(node);
  }

  /** Undoes a release exactly, also of a node that has shrunk below what it holds. */
  restore(shape: Shape, node: number, devices: Int16Array): void {
    this.#nodes.restore(shape, node, devices);
    this.changed(node);
  }

  /** Gives the room back. */
  release(shape: Shape, node: number, devices: Int16Array): void {
    this.#nodes.release(shape, node, devices);
    this.changed(node);
  }

  /** To be called when a node's row, or what a score knows of the node, was changed by others. */
  changed(node: number): void {
    assert(node >= 0 && node < this.#nodes.nodeCount, `there is no node ${node}`);
    this.#score.nodeChanged(node);
    if (!this.#scans) this.#log.push(node);
  }

  #scan(shape: Shape): number {
    const by = this.#score;
    const { nodeCount } = this.#nodes;
    let best = NO_NODE;
    let bestScore = NO_FIT;
    for (let node = 0; node < nodeCount; node++) {
      const score = Math.fround(by.evaluate(shape, node));
      // As soundScore has it: NaN is never greater, and infinity is no score.
      if (score > bestScore && score < Number.POSITIVE_INFINITY) {
        best = node;
        bestScore = score;
      }
    }
    return best;
  }

  #treeOf(shape: Shape, version: number): WinnerTree {
    const known = this.#trees.get(shape);
    const tree = known ?? this.#newTree(shape);
    const isStale = known === undefined || tree.version !== version;
    if (isStale || this.#log.changedMoreThan(this.#nodes.nodeCount * REBUILD_RATIO, tree.seen))
      this.#build(tree, shape);
    else if (this.#log.now > tree.seen) this.#repair(tree, shape);
    tree.seen = this.#log.now;
    tree.version = version;
    tree.isAskedAgain = known !== undefined;
    return tree;
  }

  #newTree(shape: Shape): WinnerTree {
    const tree =
      this.#trees.size < this.#treesMax ? new WinnerTree(this.#nodes.nodeCount) : this.#evicted();
    this.#trees.set(shape, tree);
    return tree;
  }

  /** The clock algorithm: a tree that was asked for again since its turn came is passed over once. */
  #evicted(): WinnerTree {
    let gone: WinnerTree | undefined;
    for (const [shape, tree] of this.#trees) {
      this.#trees.delete(shape);
      if (tree.isAskedAgain) {
        tree.isAskedAgain = false;
        this.#trees.set(shape, tree);
        continue;
      }
      gone = tree;
      break;
    }
    return must(gone, "a tree was to make room though there is none");
  }

  #build(tree: WinnerTree, shape: Shape): void {
    const { nodeCount } = this.#nodes;
    const batch = this.#batch;
    for (let first = 0; first < nodeCount; first += EVALUATIONS_MAX) {
      const count = Math.min(EVALUATIONS_MAX, nodeCount - first);
      for (let i = 0; i < count; i++) batch[i] = first + i;
      this.#evaluate(shape, count);
      for (let i = 0; i < count; i++) tree.set(first + i, f32(this.#scores, i));
    }
    tree.build();
  }

  #repair(tree: WinnerTree, shape: Shape): void {
    const { changedAt, older, newest } = this.#log;
    const { seen } = tree;
    const batch = this.#batch;
    let count = 0;
    for (let node = newest; f64(changedAt, node) > seen; node = i32(older, node)) {
      batch[count] = node;
      count++;
      if (count < EVALUATIONS_MAX) continue;
      this.#evaluate(shape, count);
      tree.updateAll(batch, count, this.#scores);
      count = 0;
    }
    this.#evaluate(shape, count);
    tree.updateAll(batch, count, this.#scores);
  }

  /** Scores of the first nodes of the batch. */
  #evaluate(shape: Shape, count: number): void {
    const by = this.#score;
    const scores = this.#scores;
    if (by.evaluateAll !== undefined) by.evaluateAll(shape, this.#batch, count, scores);
    else for (let i = 0; i < count; i++) scores[i] = by.evaluate(shape, i32(this.#batch, i));
    for (let i = 0; i < count; i++) scores[i] = soundScore(f32(scores, i));
  }
}
