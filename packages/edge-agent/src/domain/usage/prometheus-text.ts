/** The value of one sample: a number as Go writes it. */
const SAMPLE = /^([A-Za-z_:][A-Za-z0-9_:]*)(\{.*\})?[ \t]+(\S+)(?:[ \t]+-?[0-9]+)?$/;

/** Greatest value that counts: what is above is no load that anyone could scale by. */
const VALUE_MAX = 1e15;

/**
 * The sum of the samples of each of these metrics in a page of the Prometheus text format, whatever their labels. A metric that is not
 * there, or has a sample that is negative, not finite or above 1e15, is left out.
 */
export function metricsIn(page: string, names: readonly string[]): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  const wanted = new Set(names);
  for (const line of page.split("\n")) {
    const [, name = "", , text = ""] = SAMPLE.exec(line.trim()) ?? [];
    if (!wanted.has(name)) continue;
    const value = Number(text);
    const isSound = Number.isFinite(value) && value >= 0;
    sums.set(name, (sums.get(name) ?? 0) + (isSound ? value : Number.NaN));
  }
  return new Map([...sums].filter(([, sum]) => sum <= VALUE_MAX));
}

/** A metric is told anew when it has moved by this part of what was told. */
export const METRIC_STEP_RATIO = 0.1;

/** What is told from now on: the values told before, but for those that have moved, appeared or gone. */
export function nextMetrics(
  told: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  return new Map(
    [...now].map(([name, value]) => {
      const before = told.get(name);
      const isNear =
        before !== undefined && Math.abs(value - before) < Math.abs(before) * METRIC_STEP_RATIO;
      return [name, isNear || value === before ? (before ?? value) : value];
    }),
  );
}
