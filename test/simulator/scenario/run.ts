import type { Bugs } from "../bugs.ts";
import { differences } from "../check/convergence.ts";
import { WORLD } from "../world/event-loop.ts";
import { Violation } from "../world/violation.ts";
import { FaultInjector } from "./faults.ts";
import { makeWorld, type World, type WorldDeps } from "./world.ts";

/** Longest time from the end of all faults to convergence, virtual. Back-off of the link (2 min) and of workloads are in it. */
export const CONVERGENCE_MS_MAX = 900_000;
/** How often convergence is looked for. */
const LOOK_MS = 1_000;
/** Converged must last this long. */
const STEADY_MS = 15_000;

export interface RunOptions {
  readonly seed: number;
  /** Events before the faults end. */
  readonly steps: number;
  readonly bugs: Bugs;
}

/** How one run ended. */
export interface RunResult {
  readonly seed: number;
  /** Of everything that happened, in order. */
  readonly digest: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly faultCount: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly nodeCount: number;
  readonly convergedMs: number | undefined;
  readonly probes: ReadonlyMap<string, number>;
  readonly failure: Violation | undefined;
  /** The last of what happened, for a failure. */
  readonly lastLines: readonly string[];
}

/** One seed: a safety phase with faults, then a liveness phase without. */
export async function runSeed(options: RunOptions, deps: WorldDeps): Promise<RunResult> {
  const world = makeWorld(options, deps);
  const faults = new FaultInjector(options, world);
  world.hub.start();
  for (const agent of world.agents) agent.boot();
  const stepper = new Stepper(world);
  for (let i = 0; i < options.steps && stepper.isFine; i++) await stepper.step();
  faults.heal();
  const convergedMs = await converge(world, stepper);
  const { loop, auditor } = world;
  return {
    seed: options.seed,
    digest: loop.trace.digest(),
    events: stepper.count,
    virtualMs: loop.nowMs,
    faultCount: [...faults.counts.values()].reduce((sum, n) => sum + n, 0),
    faults: faults.counts,
    nodeCount: world.machines.length,
    convergedMs,
    probes: auditor.probes,
    failure: auditor.failure,
    lastLines: loop.trace.last,
  };
}

/** Goes from event to event and looks at the promises after each. */
class Stepper {
  readonly #world: World;
  #revision = -1;
  #term = 0;
  count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  get isFine(): boolean {
    return this.#world.auditor.failure === undefined;
  }

  async step(): Promise<void> {
    const { loop, hub, auditor, operator } = this.#world;
    const wasUp = hub.running !== undefined;
    const isMore = await loop.step();
    if (loop.spin !== undefined)
      auditor.broken("liveness", `code runs in circles: ${loop.spin.stack ?? ""}`);
    if (!isMore) auditor.broken("liveness", "nothing lies ahead any more");
    this.count++;
    if (wasUp && hub.running === undefined) operator.hubDied();
    auditor.lookAtMachines();
    const { state } = hub.disk;
    if (state.writes === this.#revision && hub.disk.term === this.#term) return;
    this.#revision = state.writes;
    this.#term = hub.disk.term;
    auditor.lookAtHub();
    operator.look(state);
  }
}

/** Milliseconds until everything agreed; a failure when that takes too long. */
async function converge(world: World, stepper: Stepper): Promise<number | undefined> {
  const { loop, hub, machines, auditor, operator } = world;
  const healedMs = loop.nowMs;
  const pulse = (): void => {
    loop.schedule(LOOK_MS, WORLD, "look", pulse);
  };
  pulse();
  let isMended = false;
  let sinceMs: number | undefined;
  let nextLookMs = loop.nowMs;
  let left: readonly string[] = [];
  while (stepper.isFine && loop.nowMs - healedMs < CONVERGENCE_MS_MAX) {
    await stepper.step();
    if (loop.nowMs < nextLookMs) continue;
    nextLookMs = loop.nowMs + LOOK_MS;
    if (!isMended) isMended = operator.isIdle && operator.mend();
    left = isMended && operator.isIdle ? differences(hub.disk.state, machines) : ["not mended yet"];
    if (left.length > 0) sinceMs = undefined;
    else sinceMs ??= loop.nowMs;
    if (sinceMs !== undefined && loop.nowMs - sinceMs >= STEADY_MS) return sinceMs - healedMs;
  }
  auditor.broken(
    "invariant 4",
    `not converged ${CONVERGENCE_MS_MAX / 1000} s after the last fault: ${left.slice(0, 6).join("; ")}`,
  );
  return undefined;
}
