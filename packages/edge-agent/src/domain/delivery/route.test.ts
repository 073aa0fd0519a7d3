import fc from "fast-check";
import { expect, test } from "vitest";
import {
  FAILURES_BEFORE_FALLBACK,
  INITIAL_ROUTE,
  PROBE_BASE_MS,
  PROBE_MAX_MS,
  type RouteEvent,
  type RouteState,
  stepRoute,
} from "./route.ts";

function after(events: readonly RouteEvent[], from: RouteState = INITIAL_ROUTE): RouteState {
  return events.reduce(stepRoute, from);
}

const failed = (nowMs: number): RouteEvent => ({ kind: "direct-failed", nowMs });
const asked = (nowMs: number): RouteEvent => ({ kind: "asked", nowMs });

test("the link is used after failures in a row, and HTTPS again when a probe works", () => {
  const down = after(Array.from({ length: FAILURES_BEFORE_FALLBACK }, () => failed(0)));
  expect(down).toMatchObject({ phase: "fallback", probeAtMs: PROBE_BASE_MS });
  expect(after([asked(PROBE_BASE_MS - 1)], down).phase).toBe("fallback");
  const probing = after([asked(PROBE_BASE_MS)], down);
  expect(probing.phase).toBe("probing");
  const again = after([failed(PROBE_BASE_MS)], probing);
  expect(again).toMatchObject({ phase: "fallback", probeAtMs: 3 * PROBE_BASE_MS });
  expect(after([{ kind: "direct-worked" }], probing)).toEqual(INITIAL_ROUTE);
});

test("when the link fails too, HTTPS is tried at once", () => {
  const down = after(Array.from({ length: FAILURES_BEFORE_FALLBACK }, () => failed(0)));
  expect(after([{ kind: "link-failed" }], down).phase).toBe("probing");
});

test("whatever happens: the link only after that many failures, and a probe within the longest wait", () => {
  const event = fc.oneof(
    fc.constant<"direct-worked">("direct-worked"),
    fc.constant<"direct-failed">("direct-failed"),
    fc.constant<"link-failed">("link-failed"),
    fc.constant<"asked">("asked"),
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(event, fc.integer({ min: 0, max: 100_000 })), { maxLength: 200 }),
      (steps) => {
        let nowMs = 0;
        let inARow = 0;
        let state = INITIAL_ROUTE;
        for (const [kind, waitMs] of steps) {
          nowMs += waitMs;
          state = stepRoute(
            state,
            kind === "direct-failed" || kind === "asked" ? { kind, nowMs } : { kind },
          );
          if (kind === "direct-failed") inARow += 1;
          if (kind === "direct-worked") inARow = 0;
          expect(state.phase === "direct").toBe(inARow < FAILURES_BEFORE_FALLBACK);
          const later = stepRoute(state, asked(nowMs + PROBE_MAX_MS));
          expect(state.phase !== "fallback" || later.phase === "probing").toBe(true);
        }
      },
    ),
  );
});
