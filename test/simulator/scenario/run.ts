import type { Bugs } from "../bugs.ts";
import { differences } from "../check/convergence.ts";
import { type Stranded, stranded } from "../check/placements.ts";
import { undeserved } from "../check/settled.ts";
import type { Machine } from "../node/machine.ts";
import { WORLD } from "../world/event-loop.ts";
import { Dice, streamOf } from "../world/seeds.ts";
import type { Violation } from "../world/violation.ts";
import { type Fault, FaultInjector } from "./faults.ts";
import { makeWorld, type World, type WorldDeps } from "./world.ts";

/** Longest time from the end of all faults to convergence, virtual. Back-off of the link (2 min) and of workloads are in it. */
const CONVERGENCE_MS_MAX = 900_000;
/** How often convergence is looked for. */
const LOOK_MS = 1_000;
/** Converged must last this long. */
const STEADY_MS = 15_000;
/** Most times that an operator asks a node to try artifacts of an instance again, once all is well. */
const RETRIES_MAX = 3;
/** Share of the runs in which one node stays away when the faults end. */
const AWAY_SHARE = 0.3;
/** Long enough that the hub gives a node up: suspect, lost, and what it ran placed elsewhere. */
const LOST_MS = 450_000;

/**
 * After these the Events need not count what happened: a node that lies spoils its own stream, a hub's clock that jumps
 * ages Events, a database that is restored has forgotten what it sent.
 */
export const COUNT_SPOILERS: readonly Fault[] = ["foreign-up", "hub-clock-jump", "disk-restore"];

export interface RunOptions {
  readonly seed: number;
  /** Events before the faults end. */
  readonly steps: number;
  readonly bugs: Bugs;
  /** These kinds of faults and no others; absent: drawn. */
  readonly faults?: readonly Fault[];
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
  const convergedMs = await liveness(options.seed, faults, { world, stepper });
  if (stepper.isFine && COUNT_SPOILERS.every((fault) => !faults.counts.has(fault)))
    world.auditor.lookAtEvents();
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
    auditor.slots?.look();
    const { state } = hub.disk;
    if (state.writes === this.#revision && hub.disk.term === this.#term) return;
    this.#revision = state.writes;
    this.#term = hub.disk.term;
    auditor.lookAtHub();
    operator.look(state);
  }
}

interface Living {
  readonly world: World;
  readonly stepper: Stepper;
}

/**
 * After the last fault. In some runs one node is still cut off at first: it must run what it last accepted, and the others
 * must come to an end without it; when it comes back, all of them.
 */
async function liveness(
  seed: number,
  faults: FaultInjector,
  living: Living,
): Promise<number | undefined> {
  const { loop, machines, auditor } = living.world;
  const dice = new Dice(streamOf(seed, "liveness"));
  const away = dice.chance(AWAY_SHARE) ? dice.pick(machines) : undefined;
  faults.heal(away);
  // Pulses, so that time goes on however quiet the world is.
  const pulse = (): void => {
    loop.schedule(LOOK_MS, WORLD, "look", pulse);
  };
  pulse();
  const mended = await mend(living);
  if (!mended || away === undefined) return mended ? converge(living, {}) : undefined;
  const leastMs = dice.chance(0.5) ? LOST_MS : 0;
  await converge(living, { away, leastMs });
  auditor.probe("converged with a node away");
  loop.trace.say(`${away.name} comes back`);
  away.road.heal();
  return converge(living, {});
}

/** The operator puts right what was broken on purpose, as soon as the hub answers. */
async function mend({ world, stepper }: Living): Promise<boolean> {
  const { loop, operator, auditor } = world;
  const untilMs = loop.nowMs + CONVERGENCE_MS_MAX;
  while (stepper.isFine && loop.nowMs < untilMs && !operator.isIdle) await stepper.step();
  if (!stepper.isFine) return false;
  operator.mend();
  while (stepper.isFine && loop.nowMs < untilMs && !operator.isIdle) await stepper.step();
  if (!operator.isIdle) auditor.broken("invariant 4", "the hub does not answer the operator");
  return stepper.isFine;
}

/** Milliseconds until everything agreed and went on agreeing; a failure when that takes too long. */
async function converge(
  { world, stepper }: Living,
  options: { readonly away?: Machine; readonly leastMs?: number },
): Promise<number | undefined> {
  const { loop, hub, machines, auditor, depot } = world;
  const tries = new Map<string, number>();
  const startMs = loop.nowMs;
  let sinceMs: number | undefined;
  let nextLookMs = startMs;
  let left: readonly string[] = [];
  let waiting: readonly Stranded[] = [];
  while (stepper.isFine && loop.nowMs - startMs < CONVERGENCE_MS_MAX) {
    await stepper.step();
    if (loop.nowMs < nextLookMs) continue;
    nextLookMs = loop.nowMs + LOOK_MS;
    retryUndeserved(world, tries);
    left = differences(hub.disk.state, machines, { away: options.away, depot });
    // With every node there: what waits has a reason.
    waiting =
      left.length === 0 && options.away === undefined ? stranded(hub.disk.state, machines) : [];
    if (left.length + waiting.length > 0) sinceMs = undefined;
    else sinceMs ??= loop.nowMs;
    const isSteady = sinceMs !== undefined && loop.nowMs - sinceMs >= STEADY_MS;
    if (sinceMs !== undefined && isSteady && loop.nowMs - startMs >= (options.leastMs ?? 0))
      return sinceMs - startMs;
  }
  for (const { invariant, message } of waiting) auditor.broken(invariant, message);
  auditor.broken(
    "invariant 4",
    `not converged ${CONVERGENCE_MS_MAX / 1000} s after the last fault: ${left.slice(0, 6).join("; ")}`,
  );
  return undefined;
}

/** What failed under faults through no fault of its own is asked for again, so often and no more. */
function retryUndeserved({ agents, auditor, depot }: World, tries: Map<string, number>): void {
  for (const agent of agents)
    for (const id of undeserved(agent.machine, depot)) {
      const key = `${agent.machine.name} ${id}`;
      const count = tries.get(key) ?? 0;
      if (count >= RETRIES_MAX) continue;
      auditor.slots?.retried(agent.machine, id);
      if (agent.retry(id)) tries.set(key, count + 1);
    }
}
