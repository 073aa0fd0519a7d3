import { byName } from "../select.ts";

/** One who takes a part. All numbers are finite and not negative; lower ≤ upper, both whole. */
export interface Sharer {
  readonly name: string;
  readonly weight: number;
  readonly lower: number;
  readonly upper: number;
  /** What it has now: of equal claims to one more, who has that one already comes first. */
  readonly existing: number;
}

/** Two parts of a replica that differ by less are equal: the noise of floating point decides nothing. */
const EQUAL_WITHIN = 1e-9;

/**
 * Shares `total` out in proportion to the weights, within each sharer's bounds: the λ for which the sum of
 * clamp(λ · weight, lower, upper) is the total, rounded by largest remainder (Hamilton's method). Equal remainders go to
 * who has that one already, then the higher weight, then the first by name. What is beyond all bounds is not shared out.
 */
export function shareOut(sharers: readonly Sharer[], total: number): ReadonlyMap<string, number> {
  const lowest = sum(sharers.map((s) => s.lower));
  const highest = sum(sharers.map((s) => s.upper));
  const wanted = Math.min(Math.max(total, lowest), highest);
  return rounded(sharers, claimsOf(sharers, wanted), wanted);
}

/** The exact claims. Each round fixes those that the bounds cut on the side that weighs more, so it ends. */
function claimsOf(sharers: readonly Sharer[], total: number): ReadonlyMap<string, number> {
  const claims = new Map<string, number>();
  let open = sharers;
  let left = total;
  const fix = (sharer: Sharer, value: number): void => {
    claims.set(sharer.name, value);
    left -= value;
  };
  while (open.length > 0) {
    const weightSum = sum(open.map((s) => s.weight));
    const claim = (s: Sharer): number => (weightSum > 0 ? (left * s.weight) / weightSum : 0);
    const low = open.filter((s) => claim(s) < s.lower - EQUAL_WITHIN);
    const high = open.filter((s) => claim(s) > s.upper + EQUAL_WITHIN);
    if (low.length === 0 && high.length === 0) {
      for (const s of open) claims.set(s.name, claim(s));
      break;
    }
    const missing = sum(low.map((s) => s.lower - claim(s)));
    const surplus = sum(high.map((s) => claim(s) - s.upper));
    const cut = new Set(surplus > missing ? high : low.length > 0 ? low : high);
    const bound = surplus > missing || low.length === 0 ? "upper" : "lower";
    for (const s of cut) fix(s, s[bound]);
    open = open.filter((s) => !cut.has(s));
  }
  return claims;
}

function rounded(
  sharers: readonly Sharer[],
  claims: ReadonlyMap<string, number>,
  total: number,
): ReadonlyMap<string, number> {
  const parts = sharers.map((sharer) => {
    const claim = claims.get(sharer.name) ?? 0;
    const whole = Math.min(sharer.upper, Math.max(sharer.lower, Math.floor(claim + EQUAL_WITHIN)));
    return { sharer, whole, rest: claim - whole };
  });
  const order = parts.toSorted(
    (a, b) =>
      (Math.abs(a.rest - b.rest) > EQUAL_WITHIN ? b.rest - a.rest : 0) ||
      Number(b.sharer.existing > b.whole) - Number(a.sharer.existing > a.whole) ||
      b.sharer.weight - a.sharer.weight ||
      byName(a.sharer.name, b.sharer.name),
  );
  const result = new Map(parts.map((p) => [p.sharer.name, p.whole]));
  let left = total - sum(parts.map((p) => p.whole));
  // A sharer without weight comes last: it takes only what nobody else can.
  for (const some of [order.filter((o) => o.sharer.weight > 0), order])
    left = handOut(some, result, left);
  return result;
}

/** One to each in turn, in this order, until nothing is left or nobody can take more; answers what is left. */
function handOut(
  order: readonly { readonly sharer: Sharer }[],
  result: Map<string, number>,
  count: number,
): number {
  let left = count;
  for (let before = -1; left > 0 && left !== before; ) {
    before = left;
    for (const { sharer } of order) {
      const has = result.get(sharer.name) ?? 0;
      if (left === 0 || has >= sharer.upper) continue;
      result.set(sharer.name, has + 1);
      left--;
    }
  }
  return left;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}
