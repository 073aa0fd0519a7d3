import { add, RESOURCES, shareOf, type Vector, zeros } from "../amounts.ts";
import { FLEET, type QueueNode, type QueueTree } from "./tree.ts";
import { fill, type Vessel } from "./water-filling.ts";

/** What is fair for each queue, by its index. */
export interface FairShares {
  /** What it may take back from those who have more than they deserve; NaN for a resource that is not named. */
  readonly deserved: readonly Vector[];
  /** Dominant share that it gets when all is divided fairly among those who want it. */
  readonly fairShare: Float64Array;
}

/** What a queue wants, as a direction and how far. */
interface Want {
  readonly perShare: Vector;
  /** Dominant share of all it wants, as far as its capability goes. */
  readonly shareMax: number;
}

/**
 * Fair shares of all queues, level by level from the fleet down, by what each runs and waits for (`wanted`, by index; that of
 * a parent is its children's). Among the children of a queue: first guarantees, then what they deserve, then the rest
 * is lent, to the greater priority first and among equals by weight, as far as demand and capability go.
 */
export function fairShares(tree: QueueTree, wanted: readonly Vector[]): FairShares {
  const wants: Want[] = [];
  const guarantees: Vector[] = [];
  for (const node of leavesFirst(tree)) {
    wants[node.index] = wantOf(tree, node, { wants, own: wanted[node.index] ?? zeros() });
    guarantees[node.index] = guaranteeOf(node, guarantees);
  }
  const context: Context = { tree, wants, guarantees };
  const deserved = deservedOf(context);
  const fairShare = new Float64Array(tree.nodes.length);
  const capacity: Vector[] = [lendable(context)];
  for (const node of leavesFirst(tree).toReversed()) {
    const free = (capacity[node.index] ?? zeros()).slice();
    for (const [child, share] of divide(context, { node, deserved, free })) {
      fairShare[child] = share;
      capacity[child] = (wants[child]?.perShare ?? zeros()).map((amount) => amount * share);
    }
  }
  fairShare[FLEET] = 1;
  return { deserved, fairShare };
}

interface Context {
  readonly tree: QueueTree;
  readonly wants: readonly Want[];
  /** What is guaranteed to a queue or to those below it, whichever is more. */
  readonly guarantees: readonly Vector[];
}

/** All queues, children before their parent, the fleet last. */
export function leavesFirst(tree: QueueTree): readonly QueueNode[] {
  const order = [tree.at(FLEET)];
  for (let i = 0; i < order.length; i++)
    for (const child of order[i]?.children ?? []) order.push(tree.at(child));
  return order.toReversed();
}

function wantOf(
  tree: QueueTree,
  node: QueueNode,
  { wants, own }: { readonly wants: readonly Want[]; readonly own: Vector },
): Want {
  const wanted = own.slice();
  for (const child of node.children) {
    const want = wants[child];
    if (want !== undefined) add(wanted, want.perShare, want.shareMax);
  }
  const share = shareOf(wanted, tree.totals);
  const perShare = share > 0 ? wanted.map((amount) => amount / share) : zeros();
  return { perShare, shareMax: Math.min(share, reach(perShare, node.capability)) };
}

function guaranteeOf(node: QueueNode, guarantees: readonly Vector[]): Vector {
  const below = zeros();
  for (const child of node.children) add(below, guarantees[child] ?? zeros());
  return node.guarantee.map((amount, r) => Math.max(amount, below[r] ?? 0));
}

/** How far a direction goes until the first limit; Infinity when none is met. Resources whose limit is NaN have none. */
function reach(perShare: Vector, limits: Vector): number {
  let far = Number.POSITIVE_INFINITY;
  for (let r = 0; r < RESOURCES.length; r++) {
    const amount = perShare[r] ?? 0;
    if (amount > 0 && (limits[r] ?? 0) >= 0) far = Math.min(far, (limits[r] ?? 0) / amount);
  }
  return far;
}

/** As `reach`, but what names nothing that is wanted reaches nowhere: deserved GPUs say nothing about work without any. */
function entitled(perShare: Vector, amounts: Vector | undefined): number {
  const far = amounts === undefined ? 0 : reach(perShare, amounts);
  return Number.isFinite(far) ? far : 0;
}

/** The fleet less what is guaranteed to queues that do not want it now: that is never lent. */
function lendable({ tree, wants, guarantees }: Context): Vector {
  const free = tree.totals.slice();
  for (const child of tree.at(FLEET).children) {
    const { perShare, shareMax } = wants[child] ?? { perShare: zeros(), shareMax: 0 };
    for (let r = 0; r < RESOURCES.length; r++) {
      const unwanted = (guarantees[child]?.[r] ?? 0) - (perShare[r] ?? 0) * shareMax;
      free[r] = Math.max(0, (free[r] ?? 0) - Math.max(0, unwanted));
    }
  }
  return free;
}

/** What each queue deserves: what it was given, cut where all together were given more than there is; else by weight. */
function deservedOf(context: Context): readonly Vector[] {
  const { tree, guarantees } = context;
  const deserved: Vector[] = [tree.totals.slice()];
  for (const node of leavesFirst(tree).toReversed()) {
    const own = deserved[node.index] ?? zeros();
    const explicit = node.children.filter((child) => tree.at(child).deserved !== undefined);
    const given = explicit.map((child) => tree.at(child).deserved ?? zeros());
    const left = own.map((amount, r) => (Number.isNaN(amount) ? (tree.totals[r] ?? 0) : amount));
    for (const [i, child] of explicit.entries()) {
      const cut = (given[i] ?? zeros()).map((amount, r) => amount * cutOf(given, own, r));
      deserved[child] = cut.map((amount, r) => Math.max(amount, guarantees[child]?.[r] ?? 0));
      add(
        left,
        cut.map((amount) => amount || 0),
        -1,
      );
    }
    const byWeight = node.children.filter((child) => tree.at(child).deserved === undefined);
    for (const [child, share] of divideByWeight(context, byWeight, left))
      deserved[child] = own.map((amount, r) =>
        Number.isNaN(amount)
          ? amount
          : Math.max(share * (tree.totals[r] ?? 0), guarantees[child]?.[r] ?? 0),
      );
  }
  return deserved;
}

function cutOf(given: readonly Vector[], parent: Vector, r: number): number {
  const sum = given.reduce((total, amounts) => total + (amounts[r] || 0), 0);
  const limit = parent[r] ?? 0;
  return sum > limit ? limit / sum : 1;
}

function divideByWeight(
  { tree, wants, guarantees }: Context,
  children: readonly number[],
  left: Vector,
): readonly (readonly [number, number])[] {
  const vessels = children.map((child): Vessel => {
    const { perShare, shareMax } = wants[child] ?? { perShare: zeros(), shareMax: 0 };
    const guarantee = positiveOnly(guarantees[child] ?? zeros());
    const share = Math.min(shareMax, entitled(perShare, guarantee));
    return { weight: tree.at(child).weight, perShare, share, base: 0, shareMax };
  });
  const free = left.map((amount) => Math.max(0, amount));
  for (const v of vessels) add(free, v.perShare, -v.share);
  fill(vessels, free);
  return vessels.map((v, i) => [children[i] ?? FLEET, v.share] as const);
}

/** Divides what a queue has among its children; answers their shares. `free` is used up. */
function divide(
  { tree, wants, guarantees }: Context,
  input: { readonly node: QueueNode; readonly deserved: readonly Vector[]; readonly free: Vector },
): readonly (readonly [number, number])[] {
  const { node, deserved, free } = input;
  const wantsOf = node.children.map((child) => wants[child] ?? { perShare: zeros(), shareMax: 0 });
  const shares = node.children.map(() => 0);
  const stage = (tops: readonly number[], base: (i: number) => number): void => {
    const vessels = wantsOf.map(
      ({ perShare, shareMax }, i): Vessel => ({
        weight: tree.at(node.children[i] ?? FLEET).weight,
        perShare,
        share: shares[i] ?? 0,
        base: base(i),
        shareMax: Math.min(shareMax, tops[i] ?? 0),
      }),
    );
    fill(vessels, free);
    for (const [i, v] of vessels.entries()) shares[i] = v.share;
  };
  const upTo = (limits: (child: number) => Vector | undefined): number[] =>
    wantsOf.map(({ perShare }, i) => entitled(perShare, limits(node.children[i] ?? FLEET)));
  stage(
    upTo((child) => positiveOnly(guarantees[child] ?? zeros())),
    () => 0,
  );
  stage(
    upTo((child) => deserved[child]),
    () => 0,
  );
  const before = [...shares];
  const priorities = node.children.map((child) => tree.at(child).priority);
  for (const priority of [...new Set(priorities)].toSorted((a, b) => b - a))
    stage(
      priorities.map((p, i) => (p === priority ? Number.POSITIVE_INFINITY : (before[i] ?? 0))),
      (i) => before[i] ?? 0,
    );
  return node.children.map((child, i) => [child, shares[i] ?? 0] as const);
}

/** Guarantees name what they guarantee: nothing guaranteed is no limit of the rest. */
function positiveOnly(amounts: Vector): Vector {
  return amounts.map((amount) => (amount > 0 ? amount : Number.NaN));
}
