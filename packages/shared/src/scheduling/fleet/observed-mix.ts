import type { MixEntry, RequestMix } from "../gpu/request-mix.ts";

/** Requests after which all counts are halved, so that what comes now weighs more than what came long ago. */
export const MIX_REQUESTS_MAX = 20_000;

/** Counts requests by what matters to the worth of GPUs. */
export class ObservedMix {
  readonly #entries = new Map<string, { readonly entry: MixEntry; count: number }>();
  #total = 0;

  /** One more of this kind. */
  add({ milliCpu, gpuCount, gpuMilli }: Omit<MixEntry, "count">): void {
    const entry = { milliCpu, gpuCount, gpuMilli, count: 0 };
    const key = `${milliCpu} ${gpuCount} ${gpuMilli}`;
    const known = this.#entries.get(key) ?? { entry, count: 0 };
    known.count++;
    this.#entries.set(key, known);
    if (++this.#total >= MIX_REQUESTS_MAX) this.#halve();
  }

  entries(): RequestMix {
    return [...this.#entries.values()].map(({ entry, count }) => ({ ...entry, count }));
  }

  /** Forgets what was counted. */
  clear(): void {
    this.#entries.clear();
    this.#total = 0;
  }

  #halve(): void {
    this.#total = 0;
    for (const [key, known] of this.#entries) {
      known.count = Math.floor(known.count / 2);
      this.#total += known.count;
      if (known.count === 0) this.#entries.delete(key);
    }
  }
}
