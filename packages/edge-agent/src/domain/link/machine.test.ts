import { assert } from "@flotilla/shared/kernel/assert";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  ATTEMPT_MAX,
  type EndKind,
  INITIAL_LINK_STATE,
  type LinkEffect,
  type LinkEvent,
  type LinkState,
  REFUSALS_BEFORE_RENEWAL,
  STABLE_SESSION_MS,
  stepLink,
} from "./machine.ts";

const end = fc.constantFrom("closed", "refused", "unreachable", "unauthorized" as const);
const event: fc.Arbitrary<LinkEvent> = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: "opened" } as const) },
  fc.record({ kind: fc.constant("failed" as const), end }),
  { weight: 3, arbitrary: fc.constant({ kind: "announced" } as const) },
  fc.constant({ kind: "rebirth" } as const),
  fc.record({
    kind: fc.constant("ended" as const),
    end,
    lastedMs: fc.constantFrom(0, STABLE_SESSION_MS - 1, STABLE_SESSION_MS),
  }),
  { weight: 2, arbitrary: fc.constant({ kind: "retry" } as const) },
  fc.constant({ kind: "reconnect" } as const),
  { weight: 1, arbitrary: fc.constantFrom({ kind: "start" } as const, { kind: "stop" } as const) },
);

/** What the world around the machine looks like: which events can happen at all. */
interface World {
  opening: boolean;
  open: boolean;
  waiting: boolean;
  stopped: boolean;
  /** Births sent on this session that wait for their acknowledgement. */
  births: number;
  failures: number;
  refusals: number;
}

test("whatever happens in whatever order, the invariants of SPEC.md hold", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const world: World = {
        opening: false,
        open: false,
        waiting: false,
        stopped: false,
        births: 0,
        failures: 0,
        refusals: 0,
      };
      let state: LinkState = INITIAL_LINK_STATE;
      for (const e of [{ kind: "start" } as const, ...events]) {
        if (!canHappen(world, e)) continue;
        const step = stepLink(state, e);
        check(world, e, step.effects);
        state = step.state;
        expect(state.attempt).toBeLessThanOrEqual(ATTEMPT_MAX);
        expect(state.phase === "stopped").toBe(world.stopped);
        expect(state.phase === "backing-off").toBe(world.waiting);
      }
    }),
    { seed: 42, numRuns: 1_000 },
  );
});

function canHappen(world: World, e: LinkEvent): boolean {
  switch (e.kind) {
    case "opened":
    case "failed":
      return world.opening;
    case "announced":
      return world.open && world.births > 0;
    case "rebirth":
    case "ended":
      return world.open;
    case "retry":
      return world.waiting;
    case "start":
    case "reconnect":
    case "stop":
      return true;
  }
}

function check(world: World, e: LinkEvent, effects: readonly LinkEffect[]): void {
  const count = (kind: LinkEffect["kind"]): number => effects.filter((f) => f.kind === kind).length;
  const wasStopped = world.stopped;
  if (e.kind === "stop") Object.assign(world, { stopped: true, waiting: false });
  if (e.kind === "opened") Object.assign(world, { opening: false, open: true, births: 0 });
  if (e.kind === "failed") world.opening = false;
  if (e.kind === "ended") Object.assign(world, { open: false });
  if (e.kind === "retry" || (e.kind === "reconnect" && count("open") > 0)) world.waiting = false;
  assert(count("close") === 0 || world.open, "a session is closed only where there is one");
  if (wasStopped) {
    const allowed = e.kind === "opened" ? 1 : 0;
    assert(effects.length === allowed && count("close") === allowed, "invariant 6");
    return;
  }
  const isFree = !world.open && !world.opening && !world.waiting;
  assert(count("open") === 0 || (count("open") === 1 && isFree), "invariant 1");
  if (count("open") > 0) world.opening = true;
  checkBirths(world, e, count);
  if (e.kind === "ended" || e.kind === "failed") checkEnd(world, e, effects);
  else assert(count("back-off") + count("renew") === 0, "only an end leads to a wait");
  if (e.kind === "reconnect" && count("open") > 0)
    Object.assign(world, { failures: 0, refusals: 0 });
}

function checkBirths(
  world: World,
  e: LinkEvent,
  count: (kind: LinkEffect["kind"]) => number,
): void {
  const begins = count("announce") + count("close") === 1;
  assert(e.kind !== "opened" || begins, "invariant 2: begins with a birth");
  const isDue = e.kind === "opened" || e.kind === "rebirth";
  assert(count("announce") === 0 || isDue, "invariant 2: no other births");
  world.births += count("announce");
  if (e.kind === "announced") world.births -= 1;
  assert(count("pull") === 0 || e.kind === "announced", "invariant 2: pulled after a birth only");
}

function checkEnd(
  world: World,
  e: Extract<LinkEvent, { readonly end: EndKind }>,
  effects: readonly LinkEffect[],
): void {
  const count = (kind: LinkEffect["kind"]): number => effects.filter((f) => f.kind === kind).length;
  assert(count("back-off") + count("open") === 1, "invariant 3");
  const hurried = count("open") === 1;
  const lasted = e.kind === "ended" && e.lastedMs >= STABLE_SESSION_MS;
  world.failures = hurried ? 0 : (lasted ? 0 : world.failures) + 1;
  world.refusals = e.end === "refused" && !hurried ? world.refusals + 1 : 0;
  const renew = !hurried && (e.end === "unauthorized" || world.refusals >= REFUSALS_BEFORE_RENEWAL);
  assert(count("renew") === (renew ? 1 : 0), "invariant 5");
  if (renew) world.refusals = 0;
  world.waiting = !hurried;
  const attempt = Math.min(world.failures - 1, ATTEMPT_MAX);
  const waits = effects.some((f) => f.kind === "back-off" && f.attempt === attempt);
  assert(hurried || waits, "invariant 4");
}

const run = (events: readonly LinkEvent[]): readonly LinkEffect[][] => {
  let state: LinkState = INITIAL_LINK_STATE;
  return events.map((e) => {
    const step = stepLink(state, e);
    state = step.state;
    return [...step.effects];
  });
};

test("the plain way: connect, announce, pull, lose the session, wait, connect", () => {
  expect(
    run([
      { kind: "start" },
      { kind: "opened" },
      { kind: "announced" },
      { kind: "ended", end: "unreachable", lastedMs: 5_000 },
      { kind: "retry" },
    ]),
  ).toEqual([
    [{ kind: "open" }],
    [{ kind: "announce" }],
    [{ kind: "pull" }],
    [{ kind: "back-off", attempt: 0 }],
    [{ kind: "open" }],
  ]);
});

test("new credentials take a session's place without a wait, also one that is being opened", () => {
  expect(
    run([
      { kind: "start" },
      { kind: "reconnect" },
      { kind: "opened" },
      { kind: "ended", end: "closed", lastedMs: 0 },
      { kind: "opened" },
    ]),
  ).toEqual([
    [{ kind: "open" }],
    [],
    [{ kind: "close" }],
    [{ kind: "open" }],
    [{ kind: "announce" }],
  ]);
});
