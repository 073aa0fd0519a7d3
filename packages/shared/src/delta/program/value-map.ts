import type { ByteReader, ByteWriter } from "../bytes.ts";

/** Runs of one map: each says by how much the values from its begin on moved. */
export const MAX_VALUE_RUNS = 65_536;
/** Values up to this size are mapped. */
export const MAX_VALUE = 2 ** 32;
/** A run that foretells fewer values than this costs more than it saves. */
const LEAST_WEIGHT = 5;

/** What became of numbers that name something (functions, addresses of data): they move in runs, by the same distance each. */
export class ValueMap {
  readonly starts: Float64Array;
  readonly shifts: Float64Array;
  #last = 0;

  constructor(starts: Float64Array, shifts: Float64Array) {
    this.starts = starts;
    this.shifts = shifts;
  }

  /** The new value that an old one is foretold to be. */
  at(value: number): number {
    const { starts, shifts } = this;
    let low = this.#last;
    if (!(value >= (starts[low] ?? 0) && value < (starts[low + 1] ?? Number.POSITIVE_INFINITY))) {
      low = 0;
      let high = starts.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if ((starts[middle] ?? 0) <= value) low = middle;
        else high = middle - 1;
      }
      this.#last = low;
    }
    return value < (starts[low] ?? 0) ? value : value + (shifts[low] ?? 0);
  }
}

/** Counts what old values became, and makes the runs that foretell most of them. */
export class ValueVotes {
  readonly #votes = new Map<number, Map<number, number>>();

  add(old: number, fresh: number): void {
    if (old < 0 || fresh < 0 || old >= MAX_VALUE || fresh >= MAX_VALUE) return;
    const of = this.#votes.get(old) ?? new Map<number, number>();
    of.set(fresh - old, (of.get(fresh - old) ?? 0) + 1);
    this.#votes.set(old, of);
  }

  map(): ValueMap {
    const runs: { start: number; shift: number; weight: number }[] = [];
    const values = [...this.#votes].toSorted(([a], [b]) => a - b);
    for (const [start, of] of values) {
      const [shift, weight] = [...of].reduce((best, vote) => (vote[1] > best[1] ? vote : best));
      const last = runs.at(-1);
      if (last?.shift === shift) last.weight += weight;
      else runs.push({ start, shift, weight });
    }
    const kept: { start: number; shift: number }[] = [];
    for (const { start, shift, weight } of runs)
      if (weight >= LEAST_WEIGHT && kept.at(-1)?.shift !== shift) kept.push({ start, shift });
    const most = kept.slice(0, MAX_VALUE_RUNS);
    return new ValueMap(
      Float64Array.from(most, (r) => r.start),
      Float64Array.from(most, (r) => r.shift),
    );
  }
}

export const NO_VALUES = new ValueMap(new Float64Array(0), new Float64Array(0));

/** Columns: where each run begins, from the begin of the one before, then by how much its distance differs from that of the one before. */
export function writeValueMap({ starts, shifts }: ValueMap, out: ByteWriter): void {
  out.varint(starts.length);
  starts.forEach((start, i) => {
    out.varint(i === 0 ? start : start - (starts[i - 1] ?? 0));
  });
  shifts.forEach((shift, i) => {
    out.signed(i === 0 ? shift : shift - (shifts[i - 1] ?? 0));
  });
}

export function readValueMap(reader: ByteReader): ValueMap {
  const count = reader.varint(
    "number of runs",
    Math.min(MAX_VALUE_RUNS, Math.floor(reader.remaining / 2)),
  );
  const starts = new Float64Array(count);
  const shifts = new Float64Array(count);
  for (let i = 0; i < count; i++)
    starts[i] = (i === 0 ? 0 : (starts[i - 1] ?? 0)) + reader.varint("begin of a run", MAX_VALUE);
  for (let i = 0; i < count; i++)
    shifts[i] =
      (i === 0 ? 0 : (shifts[i - 1] ?? 0)) + reader.signed("distance of a run", 2 * MAX_VALUE);
  return new ValueMap(starts, shifts);
}
