import type { Random } from "@flotilla/shared/kernel/random";
import { SeededRandom } from "@flotilla/shared/testing/seeded-random";
import type { TracePod } from "../openb/trace.ts";

/** One arrival. Times are in mean lives. */
interface ChurnArrival {
  /** Row of the pod list. */
  readonly pod: number;
  readonly atLives: number;
  readonly lastsLives: number;
}

/** What comes and how long it stays: the same for all policies, whatever they do with it. */
export interface Course {
  readonly arrivals: readonly ChurnArrival[];
  /** So many of the first arrivals are played and not counted. */
  readonly warmUpArrivals: number;
  /** Rank of each node among equals. */
  readonly ranks: Uint16Array;
}

/** Mean lives that are played before anything is counted, so that the layout is one of churn and no longer one of filling. */
export const WARM_UP_LIVES = 2;

/** Mean lives that are counted. */
export const COUNTED_LIVES = 3;

/**
 * Poisson arrivals of pods drawn from the list, with exponential lives of mean 1, so many that on average `load` of the
 * fleet's GPUs is asked for. It begins with as many pods as would run if each found room (a Poisson number, and exponential
 * lives have no memory), so it is stationary from the start.
 */
export function courseOf(
  pods: readonly TracePod[],
  fleet: { readonly gpuMilli: number; readonly nodeCount: number },
  options: { readonly load: number; readonly seed: number },
): Course {
  const random = new SeededRandom(options.seed);
  const milli = pods.reduce((sum, p) => sum + p.gpuCount * p.gpuMilli, 0) / pods.length;
  const perLife = (options.load * fleet.gpuMilli) / milli;
  const draw = (atLives: number): ChurnArrival => ({
    pod: Math.floor(random.unit("pod") * pods.length),
    atLives,
    lastsLives: exponential(random),
  });
  const ranks = shuffled(fleet.nodeCount, random);
  const arrivals: ChurnArrival[] = [];
  // Poisson by its gaps: as many exponential gaps of 1/perLife as fit into one life.
  for (let at = exponential(random); at < perLife; at += exponential(random))
    arrivals.push(draw(0));
  let at = 0;
  let warmUpArrivals = 0;
  for (;;) {
    at += exponential(random) / perLife;
    if (at >= WARM_UP_LIVES + COUNTED_LIVES) return { arrivals, warmUpArrivals, ranks };
    arrivals.push(draw(at));
    if (at < WARM_UP_LIVES) warmUpArrivals = arrivals.length;
  }
}

function exponential(random: Random): number {
  return -Math.log(1 - random.unit("exponential"));
}

function shuffled(count: number, random: Random): Uint16Array {
  const ranks = Uint16Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random.unit("rank") * (i + 1));
    [ranks[i], ranks[j]] = [ranks[j] ?? 0, ranks[i] ?? 0];
  }
  return ranks;
}
