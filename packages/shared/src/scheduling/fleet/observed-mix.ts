import { type MixEntry, type RequestMix } from "../gpu/request-mix.ts";
import type { Held } from "./node-entry.ts";

/** Requests after which all counts are halved, so that what comes now weighs more than what came long ago. */
export const MIX_REQUESTS_MAX = 20_000;

/** Counts what was assigned by what matters to the worth of GPUs. */
export class ObservedMix {
  readonly #entries = new Map<string, { readonly entry: MixEntry; count: number }>();
  #total = 0;

  add({ amounts: { milliCpu }, devices }: Held): void {
    const gpuMilli = devices[0]?.milli ?? 0;
    const entry = { milliCpu, gpuCount: devices.length, gpuMilli, count: 0 };
    const key = `${milliCpu} ${devices.length} ${gpuMilli}`;
    const known = this.#entries.get(key) ?? { entry, count: 0 };
    known.count++;
    this.#entries.set(key, known);
    if (++this.#total >= MIX_REQUESTS_MAX) this.#halve();
  }

  entries(): RequestMix {
    return [...this.#entries.values()].map(({ entry, count }) => ({ ...entry, count }));
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
