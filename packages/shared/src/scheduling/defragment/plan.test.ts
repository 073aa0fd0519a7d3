import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { solveLinearProgram } from "../../platform/linear-program.ts";
import { Engine } from "../engine/engine.ts";
import { type NodeRow, NodeTable } from "../engine/node-table.ts";
import { OpportunityScore } from "../engine/opportunity-score.ts";
import type { Shape } from "../engine/shape.ts";
import { type Placed, Trial } from "../engine/trial.ts";
import { gpuValues } from "../gpu/values.ts";
import {
  type DefragmentLimits,
  type DefragmentOutcome,
  PLAN_MOVES_MAX,
  PLAN_NODES_MAX,
  PLAN_TRIALS_MAX,
  planMoves,
} from "./plan.ts";
import { gpusWorth, movePrice, type Resident } from "./resident.ts";
import { VICTIM_SETS_PER_NODE_MAX, VICTIM_STEPS_MAX } from "./victims.ts";

const VALUES = gpuValues(
  [
    { milliCpu: 4_000, gpuCount: 1, gpuMilli: 1_000, count: 10 },
    { milliCpu: 1_000, gpuCount: 1, gpuMilli: 500, count: 5 },
    { milliCpu: 1_000, gpuCount: 1, gpuMilli: 300, count: 5 },
  ],
  solveLinearProgram,
);

const row = (over: Partial<NodeRow> = {}): NodeRow => ({
  milliCpu: 16_000,
  memoryBytes: 100,
  diskBytes: 100,
  gpuCount: 2,
  ...over,
});
const shape = (gpuCount: number, gpuMilli: number, over: Partial<Shape> = {}): Shape => ({
  milliCpu: 1_000,
  memoryBytes: 1,
  diskBytes: 0,
  gpuCount,
  gpuMilli,
  ...over,
});

interface World {
  readonly nodes: NodeTable;
  readonly engine: Engine;
  readonly residents: Resident[];
}

function worldOf(rows: readonly NodeRow[]): World {
  const nodes = new NodeTable(rows);
  const score = new OpportunityScore({ values: VALUES }, { nodes });
  return { nodes, engine: new Engine({}, { nodes, score }), residents: [] };
}

/** Puts something onto a node. */
function run(
  world: World,
  placed: { readonly shape: Shape; readonly node: number; readonly devices?: readonly number[] },
  over: Partial<Resident> = {},
): void {
  const room: Placed = { ...placed, devices: Int16Array.from(placed.devices ?? []) };
  world.engine.reserve(room.shape, room.node, room.devices);
  const price = movePrice(room.shape, VALUES.milliCpuPerGpu);
  world.residents.push({
    id: `r${world.residents.length}`,
    placed: room,
    price,
    budgets: [],
    ...over,
  });
}

const residentsOf =
  (world: World) =>
  (node: number): readonly Resident[] =>
    world.residents.filter((r) => r.placed.node === node);

function plan(
  world: World,
  shapes: readonly Shape[],
  options: {
    readonly gain?: number;
    readonly budgets?: ReadonlyMap<string, number>;
    readonly limits?: DefragmentLimits;
    readonly trial?: Trial;
  } = {},
): DefragmentOutcome {
  const { budgets = new Map(), limits = {}, trial = new Trial(world.engine) } = options;
  const gain = options.gain ?? shapes.reduce((sum, s) => sum + gpusWorth(s, 0), 0);
  return planMoves(
    { shapes, gain },
    { nodes: world.nodes, engine: world.engine, residentsOf: residentsOf(world), budgets },
    { trial, limits },
  );
}

const columns = ({ nodes }: World): readonly unknown[] => [
  [...nodes.milliCpuFree],
  [...nodes.memoryFree],
  [...nodes.diskFree],
  [...nodes.gpuFree],
  [...nodes.gpusIdle],
  [...nodes.gpuFreeMax],
];

/** Two nodes of two devices, on each one slice: no node has two idle devices. */
function twoHalves(over: Partial<Resident> = {}): World {
  const world = worldOf([row(), row()]);
  run(world, { shape: shape(1, 500), node: 0, devices: [0] }, over);
  run(world, { shape: shape(1, 500), node: 1, devices: [0] }, over);
  return world;
}

describe("a request that is blocked by fragments", () => {
  test("gets a node by moving one slice beside another one", () => {
    const outcome = plan(twoHalves(), [shape(2, 1_000)]);
    expect(outcome).toMatchObject({
      kind: "plan",
      rooms: [{ node: 0, devices: Int16Array.of(1, 0) }],
      moves: [{ id: "r0", from: 0, fromDevices: [0], to: 1, toDevices: [0] }],
    });
  });

  test("gets devices of a single node by moving slices together within it", () => {
    const world = worldOf([row({ gpuCount: 4 })]);
    for (const device of [0, 1, 2, 3])
      run(world, { shape: shape(1, 300), node: 0, devices: [device] });
    const outcome = plan(world, [shape(2, 1_000)]);
    expect(outcome).toMatchObject({ kind: "plan", rooms: [{ node: 0 }] });
    if (outcome.kind !== "plan") return;
    expect(outcome.moves.map((m) => [m.from, m.to])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  test("gets CPU too: who holds only CPU has to go as well", () => {
    const world = worldOf([row(), row({ gpuCount: 0 })]);
    run(world, { shape: shape(0, 0, { milliCpu: 10_000 }), node: 0 });
    const outcome = plan(world, [shape(2, 1_000, { milliCpu: 8_000 })]);
    expect(outcome).toMatchObject({ kind: "plan", moves: [{ id: "r0", from: 0, to: 1 }] });
  });

  test("of equally few moves makes the cheapest", () => {
    const world = worldOf([row(), row()]);
    run(world, { shape: shape(1, 500), node: 0, devices: [0] }, { price: 0.3 });
    run(world, { shape: shape(1, 500), node: 1, devices: [0] }, { price: 0.2 });
    expect(plan(world, [shape(2, 1_000)])).toMatchObject({ moves: [{ id: "r1" }], price: 0.2 });
  });

  test("keeps away from victims that another plan, a pin or a lock holds, and from prices that are no numbers", () => {
    for (const over of [{ lock: "pinned" }, { price: Number.NaN }, { price: -1 }])
      expect(plan(twoHalves(over), [shape(2, 1_000)])).toEqual({
        kind: "none",
        reason: "no-node-large-enough",
      });
  });

  test("keeps to budgets, and a key that has none allows no move", () => {
    const asked = [shape(2, 1_000)];
    const budgeted = (left: number): ReadonlyMap<string, number> => new Map([["web", left]]);
    const reason = { kind: "none", reason: "no-node-large-enough" };
    expect(plan(twoHalves({ budgets: ["web"] }), asked)).toEqual(reason);
    for (const left of [0, -1, Number.NaN])
      expect(plan(twoHalves({ budgets: ["web"] }), asked, { budgets: budgeted(left) })).toEqual(
        reason,
      );
    expect(plan(twoHalves({ budgets: ["web"] }), asked, { budgets: budgeted(1) }).kind).toBe(
      "plan",
    );
  });

  test("is a gang: all members get room or none, and the budget counts over all of them", () => {
    const world = worldOf([row(), row(), row()]);
    for (const node of [0, 1, 2])
      run(world, { shape: shape(1, 300), node, devices: [0] }, { budgets: ["web"] });
    const pair = [shape(2, 1_000), shape(2, 1_000)];
    const before = columns(world);
    expect(plan(world, pair, { budgets: new Map([["web", 1]]) }).kind).toBe("none");
    expect(columns(world)).toEqual(before);
    const outcome = plan(world, pair, { budgets: new Map([["web", 2]]) });
    expect(outcome).toMatchObject({ kind: "plan", moves: [{ to: 1 }, { to: 1 }] });
    const rooms = outcome.kind === "plan" ? outcome.rooms.map((r) => r.node) : [];
    expect(new Set(rooms)).toEqual(new Set([0, 2]));
  });
});

describe("there is no plan, and why", () => {
  test.each<[string, string, () => DefragmentOutcome]>([
    ["unsound", "no shape", () => plan(twoHalves(), [])],
    ["unsound", "NaN GPUs", () => plan(twoHalves(), [shape(Number.NaN, 1_000)])],
    [
      "unsound",
      "a gain that is no number",
      () => plan(twoHalves(), [shape(2, 1_000)], { gain: Number.NaN }),
    ],
    ["fits", "room without a move", () => plan(twoHalves(), [shape(1, 1_000)])],
    [
      "too-little-in-total",
      "more than is free",
      () => plan(twoHalves(), [shape(2, 1_000, { milliCpu: 31_000 })]),
    ],
    [
      "no-node-large-enough",
      "more devices than a node has",
      () => plan(twoHalves(), [shape(3, 1_000)]),
    ],
    [
      "no-node-large-enough",
      "a class that no node has",
      () => plan(twoHalves(), [shape(2, 1_000, { classes: Uint8Array.of(0) })]),
    ],
    [
      "too-many-moves",
      "none allowed",
      () => plan(twoHalves(), [shape(2, 1_000)], { limits: { movesMax: 0 } }),
    ],
    [
      "not-worth-it",
      "moves dearer than the gain",
      () => plan(twoHalves(), [shape(2, 1_000)], { gain: 0.01 }),
    ],
    [
      "victims-fit-nowhere",
      "slices that cannot lie together",
      () => {
        const world = worldOf([row(), row()]);
        for (const node of [0, 1]) {
          run(world, { shape: shape(1, 700), node, devices: [0] });
          run(world, { shape: shape(1, 300), node, devices: [1] });
        }
        return plan(world, [shape(1, 1_000)], { limits: { movesMax: 1, trialsMax: 0 } });
      },
    ],
  ])("%s: %s", (reason, _, planned) => {
    expect(planned()).toEqual({ kind: "none", reason });
  });

  test("the limits are those of the documentation", () => {
    expect([PLAN_MOVES_MAX, PLAN_NODES_MAX, PLAN_TRIALS_MAX]).toEqual([8, 1_000, 200]);
    expect([VICTIM_STEPS_MAX, VICTIM_SETS_PER_NODE_MAX]).toEqual([2_000, 16]);
  });

  test("a limit on nodes leaves the rest unseen", () => {
    const world = worldOf([row(), row()]);
    run(world, { shape: shape(1, 500), node: 0, devices: [0] }, { lock: "pinned" });
    run(world, { shape: shape(1, 500), node: 1, devices: [0] });
    expect(plan(world, [shape(2, 1_000)]).kind).toBe("plan");
    expect(plan(world, [shape(2, 1_000)], { limits: { nodesMax: 1 } }).kind).toBe("none");
  });
});

// ---------------------------------------------------------------- random fleets

const rows = fc.array(
  fc.record({
    milliCpu: fc.constantFrom(4_000, 8_000),
    memoryBytes: fc.constant(20),
    diskBytes: fc.constant(20),
    gpuCount: fc.constantFrom(0, 2, 2, 3, 3),
  }),
  { minLength: 2, maxLength: 4 },
);
const things = fc.array(
  fc.record({
    gpu: fc.constantFrom([0, 0], [1, 300], [1, 500], [1, 700], [1, 1_000], [2, 300], [2, 1_000]),
    milliCpu: fc.constantFrom(0, 1_000, 2_000, 3_000),
    node: fc.nat(3),
    device: fc.nat(2),
    locked: fc.nat(9).map((n) => n === 0),
    price: fc.constantFrom(0.1, 0.2, 0.3),
    budget: fc.constantFrom("a", "b"),
  }),
  { minLength: 5, maxLength: 9 },
);
const asks = fc.record({
  gpu: fc.constantFrom([0, 0], [1, 500], [1, 1_000], [2, 1_000], [2, 1_000], [2, 500], [3, 1_000]),
  milliCpu: fc.constantFrom(0, 1_000, 4_000),
});
const budgetsOf = fc.record({ a: fc.nat(3), b: fc.nat(3) });

interface Drawn {
  readonly gpu: readonly number[];
  readonly milliCpu: number;
  readonly node: number;
  readonly device: number;
  readonly locked: boolean;
  readonly price: number;
  readonly budget: string;
}

/** A fleet on which everything lies where it was drawn, as far as it fits. */
function filled(nodeRows: readonly NodeRow[], drawn: readonly Drawn[]): World {
  const world = worldOf(nodeRows);
  for (const { gpu, milliCpu, node, device, locked, price, budget } of drawn) {
    const [gpuCount = 0, gpuMilli = 0] = gpu;
    const asked = shape(gpuCount, gpuMilli, { milliCpu });
    const deviceCount = nodeRows[node]?.gpuCount ?? 0;
    if (node >= nodeRows.length || !world.nodes.fits(asked, node)) continue;
    const first = world.nodes.gpuFirst[node] ?? 0;
    const devices = [0, 1, 2]
      .map((d) => (d + device) % Math.max(1, deviceCount))
      .filter((d, i, all) => all.indexOf(d) === i)
      .filter((d) => (world.nodes.gpuFree[first + d] ?? 0) >= gpuMilli)
      .slice(0, gpuCount);
    run(
      world,
      { shape: asked, node, devices },
      { price, budgets: [budget], ...(locked ? { lock: "pinned" } : {}) },
    );
  }
  return world;
}

const askedShape = (ask: { readonly gpu: readonly number[]; readonly milliCpu: number }): Shape =>
  shape(ask.gpu[0] ?? 0, ask.gpu[1] ?? 0, { milliCpu: ask.milliCpu });

describe("on any fleet", () => {
  test("a plan is one that can be made: in its order nothing is over-committed, budgets and locks hold, the request fits", () => {
    let plans = 0;
    fc.assert(
      fc.property(
        rows,
        things,
        fc.array(asks, { minLength: 1, maxLength: 3 }),
        budgetsOf,
        (nodeRows, drawn, asked, left) => {
          const world = filled(nodeRows, drawn);
          const before = columns(world);
          const trial = new Trial(world.engine);
          const budgets = new Map(Object.entries(left));
          const shapes = asked.map(askedShape);
          const outcome = plan(world, shapes, { trial, budgets });
          const held = columns(world);
          trial.undoTo(0);
          expect(columns(world)).toEqual(before);
          if (outcome.kind === "none") return;
          plans++;
          expect(new Set(outcome.moves.map((m) => m.id)).size).toBe(outcome.moves.length);
          expect(outcome.moves.length).toBeLessThanOrEqual(PLAN_MOVES_MAX);
          // The table asserts that no room is given twice.
          for (const move of outcome.moves) {
            const resident = world.residents.find((r) => r.id === move.id);
            if (resident === undefined) throw new Error("a stranger was moved");
            expect(resident.lock).toBeUndefined();
            expect([move.from, Int16Array.from(move.fromDevices)]).toEqual([
              resident.placed.node,
              resident.placed.devices,
            ]);
            for (const key of resident.budgets) budgets.set(key, (budgets.get(key) ?? 0) - 1);
            const { shape: moved } = resident.placed;
            const isOnItsNode = move.from === move.to;
            expect(isOnItsNode || world.nodes.fits(moved, move.to)).toBe(true);
            world.engine.release(moved, move.from, Int16Array.from(move.fromDevices));
            world.engine.reserve(moved, move.to, Int16Array.from(move.toDevices));
          }
          for (const room of outcome.rooms)
            world.engine.reserve(room.shape, room.node, room.devices);
          expect(outcome.rooms.map((r) => r.shape)).toEqual(shapes);
          for (const count of budgets.values()) expect(count).toBeGreaterThanOrEqual(0);
          expect(outcome.price).toBeCloseTo(
            outcome.moves.reduce((sum, m) => sum + m.price, 0),
            9,
          );
          expect(columns(world)).toEqual(held);
        },
      ),
      { seed: 42, numRuns: 300 },
    );
    expect(plans).toBeGreaterThan(20);
  });

  test("a plan has as few moves as a search through all sets of victims finds, and as low a price", () => {
    let plans = 0;
    fc.assert(
      fc.property(rows, things, asks, budgetsOf, (nodeRows, drawn, ask, left) => {
        const world = filled(nodeRows, drawn);
        const asked = askedShape(ask);
        const budgets = new Map(Object.entries(left));
        const trial = new Trial(world.engine);
        const outcome = plan(world, [asked], { trial, budgets, gain: 100 });
        trial.undoTo(0);
        if (outcome.kind === "none" && outcome.reason === "fits") return;
        const best = searched(world, asked, budgets);
        if (outcome.kind === "plan") plans++;
        expect(outcome.kind === "plan" ? key(outcome.moves) : undefined).toEqual(best);
      }),
      { seed: 43, numRuns: 600 },
    );
    expect(plans).toBeGreaterThan(30);
  });

  test("the same fleet gets the same plan", () => {
    fc.assert(
      fc.property(rows, things, asks, (nodeRows, drawn, ask) => {
        const planned = (): DefragmentOutcome =>
          plan(filled(nodeRows, drawn), [askedShape(ask)], {
            budgets: new Map([
              ["a", 2],
              ["b", 2],
            ]),
          });
        expect(planned()).toEqual(planned());
      }),
      { seed: 44, numRuns: 30 },
    );
  });
});

const key = (moves: readonly { readonly price: number }[]): readonly number[] => [
  moves.length,
  Math.round(moves.reduce((sum, m) => sum + m.price, 0) * 1_000),
];

function subsets<T>(of: readonly T[]): readonly (readonly T[])[] {
  return of.reduce<readonly (readonly T[])[]>(
    (all, one) => [...all, ...all.map((set) => [...set, one])],
    [[]],
  );
}

/** Fewest moves and their price, by trying every set of residents of every node and every set of devices. */
function searched(
  world: World,
  asked: Shape,
  budgets: ReadonlyMap<string, number>,
): readonly number[] | undefined {
  const works: (readonly number[])[] = [];
  for (let node = 0; node < world.nodes.nodeCount; node++) {
    const movable = residentsOf(world)(node).filter((r) => r.lock === undefined);
    const devices = [0, 1, 2].slice(
      0,
      (world.nodes.gpuFirst[node + 1] ?? 0) - (world.nodes.gpuFirst[node] ?? 0),
    );
    for (const victims of subsets(movable)) {
      const isAllowed = ["a", "b"].every(
        (k) => victims.filter((v) => v.budgets.includes(k)).length <= (budgets.get(k) ?? 0),
      );
      if (!isAllowed) continue;
      const rooms = subsets(devices)
        .filter((chosen) => chosen.length === asked.gpuCount)
        .map((chosen) => ({ shape: asked, node, devices: Int16Array.from(chosen) }))
        .filter((room) => isNeeded(world, room, victims) && canMove(world, room, victims));
      works.push(...rooms.map(() => key(victims)));
    }
  }
  return works.toSorted((a, b) => (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0))[0];
}

function hasRoom({ nodes, engine }: World, room: Placed, gone: readonly Resident[]): boolean {
  const trial = new Trial(engine);
  for (const { placed } of gone) trial.release(placed);
  const first = nodes.gpuFirst[room.node] ?? 0;
  const fits =
    nodes.fits(room.shape, room.node) &&
    room.devices.every((d) => (nodes.gpuFree[first + d] ?? 0) >= room.shape.gpuMilli);
  trial.undoTo(0);
  return fits;
}

function isNeeded(world: World, room: Placed, victims: readonly Resident[]): boolean {
  return (
    hasRoom(world, room, victims) &&
    victims.every(
      (v) =>
        !hasRoom(
          world,
          room,
          victims.filter((other) => other !== v),
        ),
    )
  );
}

/** Victims in the planner's order: most GPUs, then most CPU, each where the engine puts it; on its own node only onto room free before. */
function canMove(world: World, room: Placed, victims: readonly Resident[]): boolean {
  const trial = new Trial(world.engine);
  const first = world.nodes.gpuFirst[room.node] ?? 0;
  const free = [...world.nodes.gpuFree];
  for (const { placed } of victims) trial.release(placed);
  trial.reserve(room);
  const gpus = ({ placed: { shape: s } }: Resident): number => s.gpuCount * s.gpuMilli;
  const ordered = victims.toSorted(
    (a, b) => gpus(b) - gpus(a) || b.placed.shape.milliCpu - a.placed.shape.milliCpu,
  );
  const all = ordered.every(({ placed }) => {
    const to = trial.place(placed.shape);
    if (to === undefined) return false;
    if (to.node !== room.node) return true;
    for (const d of to.devices) free[first + d] = (free[first + d] ?? 0) - to.shape.gpuMilli;
    return to.devices.length > 0 && to.devices.every((d) => (free[first + d] ?? 0) >= 0);
  });
  trial.undoTo(0);
  return all;
}
