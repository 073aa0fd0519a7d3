import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assert } from "../../kernel/assert.ts";
import {
  type Execution,
  type ExecutionEffect,
  type ExecutionEvent,
  PLAN_PHASE_MS_MAX,
  stepExecution,
  underWay,
} from "./execution.ts";

const room = (node: string): { node: string; devices: string[] } => ({ node, devices: ["0"] });
const fresh = (ids: readonly string[], returnsArrived = false): Execution => ({
  request: "big",
  rooms: [room("n0")],
  phase: "planned",
  moves: ids.map((id, i) => ({ id, from: room("n0"), to: room(`n${i + 1}`), state: "waiting" })),
  returnsArrived,
});
const played = (
  execution: Execution,
  events: readonly ExecutionEvent[],
): { readonly execution: Execution; readonly effects: readonly ExecutionEffect[] } =>
  events.reduce<{ execution: Execution; effects: readonly ExecutionEffect[] }>(
    (so, event) => {
      const step = stepExecution(so.execution, event);
      return { execution: step.execution, effects: [...so.effects, ...step.effects] };
    },
    { execution, effects: [] },
  );
const told = (effects: readonly ExecutionEffect[]): readonly string[] =>
  effects.map((e) => (e.kind === "move" ? `${e.id} to ${e.room.node}` : e.kind));

describe("a plan", () => {
  test("moves one instance after the other, places the request, and gives the hold back", () => {
    const { execution, effects } = played(fresh(["a", "b"]), [
      { kind: "start" },
      { kind: "moved", id: "a" },
      { kind: "moved", id: "b" },
      { kind: "request-placed" },
    ]);
    expect(told(effects)).toEqual(["hold", "a to n1", "b to n2", "place", "give-back"]);
    expect(execution.phase).toBe("done");
  });

  test.each<[string, boolean, readonly ExecutionEvent[], readonly string[]]>([
    [
      "a move fails: it goes back, who arrived stays",
      false,
      [
        { kind: "moved", id: "a" },
        { kind: "move-failed", id: "b" },
        { kind: "moved", id: "b" },
      ],
      ["hold", "a to n1", "b to n2", "b to n0", "give-back"],
    ],
    [
      "a move fails, and all are wanted back: the newest first",
      true,
      [
        { kind: "moved", id: "a" },
        { kind: "move-failed", id: "b" },
        { kind: "moved", id: "b" },
        { kind: "moved", id: "a" },
      ],
      ["hold", "a to n1", "b to n2", "b to n0", "a to n0", "give-back"],
    ],
    [
      "the node to be freed is lost: nobody goes back to it",
      true,
      [
        { kind: "moved", id: "a" },
        { kind: "node-lost", node: "n0" },
      ],
      ["hold", "a to n1", "b to n2", "give-back"],
    ],
    [
      "a destination is lost: who was on its way there goes back",
      false,
      [
        { kind: "node-lost", node: "n1" },
        { kind: "moved", id: "a" },
      ],
      ["hold", "a to n1", "a to n0", "give-back"],
    ],
    ["the request is gone", true, [{ kind: "request-gone" }], ["hold", "a to n1", "give-back"]],
    [
      "the request is placed elsewhere",
      false,
      [{ kind: "request-placed-elsewhere" }],
      ["hold", "a to n1", "give-back"],
    ],
    [
      "time runs out twice",
      false,
      [{ kind: "timeout" }, { kind: "timeout" }],
      ["hold", "a to n1", "a to n0", "give-back"],
    ],
  ])("is undone when %s", (_, returnsArrived, events, expected) => {
    const { execution, effects } = played(fresh(["a", "b"], returnsArrived), [
      { kind: "start" },
      ...events,
    ]);
    expect([execution.phase, told(effects)]).toEqual(["undone", expected]);
  });

  test("whose victims are gone by themselves needs no move", () => {
    const { effects } = played(fresh(["a"]), [
      { kind: "instance-gone", id: "a" },
      { kind: "start" },
    ]);
    expect(told(effects)).toEqual(["hold", "place"]);
  });

  test("that has not begun is dropped without a trace", () => {
    for (const kind of ["request-gone", "request-placed", "timeout"] as const)
      expect(played(fresh(["a"]), [{ kind }])).toMatchObject({
        execution: { phase: "undone" },
        effects: [],
      });
  });

  test("waits five minutes for each of its phases", () => {
    expect(PLAN_PHASE_MS_MAX).toBe(300_000);
  });
});

const ids = ["a", "b", "c"];
const id = fc.constantFrom(...ids, "stranger");
const event: fc.Arbitrary<ExecutionEvent> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ kind: "start" } as const) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("moved" as const), id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("move-failed" as const), id }) },
  fc.record({ kind: fc.constant("instance-gone" as const), id }),
  fc.record({
    kind: fc.constant("node-lost" as const),
    node: fc.constantFrom("n0", "n1", "n2", "n3", "n9"),
  }),
  fc.constantFrom(
    { kind: "request-placed" } as const,
    { kind: "request-placed-elsewhere" } as const,
    { kind: "request-gone" } as const,
    { kind: "timeout" } as const,
  ),
);

/** What the world has seen of a plan. */
interface World {
  held: boolean;
  ended: boolean;
  readonly lost: Set<string>;
  readonly sent: Set<string>;
  readonly back: Set<string>;
  readonly settled: Set<string>;
  moving: string | undefined;
}

describe("whatever happens in whatever order", () => {
  test("the invariants of SPEC.md hold", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), fc.boolean(), (events, returnsArrived) => {
        const world: World = {
          held: false,
          ended: false,
          lost: new Set(),
          sent: new Set(),
          back: new Set(),
          settled: new Set(),
          moving: undefined,
        };
        let execution = fresh(ids, returnsArrived);
        for (const e of [...events, { kind: "start" } as const]) {
          const step = stepExecution(execution, e);
          expect(stepExecution(JSON.parse(JSON.stringify(execution)), e)).toEqual(step);
          hear(world, e);
          for (const effect of step.effects) follow(world, effect);
          execution = step.execution;
          check(world, execution);
        }
        const first = stepExecution(execution, { kind: "timeout" }).execution;
        const last = stepExecution(first, { kind: "timeout" }).execution;
        expect(["done", "undone"]).toContain(last.phase);
      }),
      { seed: 42, numRuns: 150 },
    );
  });
});

function hear(world: World, e: ExecutionEvent): void {
  if (e.kind === "node-lost") world.lost.add(e.node);
  const isAnswer = e.kind === "moved" || e.kind === "move-failed" || e.kind === "instance-gone";
  if (e.kind === "instance-gone") world.settled.add(e.id);
  if (isAnswer && e.id === world.moving) {
    if (e.kind === "moved") world.settled.add(e.id);
    world.moving = undefined;
  }
}

function follow(world: World, effect: ExecutionEffect): void {
  assert(!world.ended, "invariant 5: nothing follows the end");
  switch (effect.kind) {
    case "hold":
      assert(!world.held, "invariant 2: held once");
      world.held = true;
      return;
    case "move": {
      assert(world.held, "invariant 2: nothing moves before the room is held");
      const isBack = effect.room.node === "n0";
      const known = isBack ? world.back : world.sent;
      assert(!known.has(effect.id), "invariant 4: once there, once back");
      assert(!isBack || world.sent.has(effect.id), "invariant 4: back only after it was sent");
      assert(!isBack || !world.lost.has("n0"), "invariant 4: not to a lost node");
      const isReturn = isBack && effect.id === world.moving;
      assert(world.moving === undefined || isReturn || isBack, "invariant 1");
      known.add(effect.id);
      world.moving = effect.id;
      return;
    }
    case "place":
      assert(
        ids.every((i) => world.settled.has(i)),
        "invariant 3",
      );
      return;
    case "give-back":
      assert(world.held, "invariant 2: given back once");
      Object.assign(world, { held: false, ended: true, moving: undefined });
      return;
  }
}

function check(world: World, execution: Execution): void {
  const active = execution.moves.filter((m) => m.state === "sent" || m.state === "returning");
  assert(active.length <= 1, "invariant 1");
  const isUnderWay = !["planned", "done", "undone"].includes(execution.phase);
  assert(world.held === isUnderWay, "invariant 7: the hold");
  assert(active[0]?.id === underWay(execution)?.id, "invariant 7: the move");
}
