import fc from "fast-check";
import { expect, test } from "vitest";
import {
  BEGIN_GRACE_MS,
  type CrowdView,
  chooseInCrowd,
  FOLLOW_MS_MAX,
  LOOK_COUNT_MAX,
  type Member,
  type MemberState,
  PATIENCE_MS,
} from "./crowd.ts";

const NOW = 1_000_000;

function member(place: number, over: Partial<Member> = {}): Member {
  return { node: `n${place}`, place, state: "absent", availableBytes: 0, seenMs: NOW, ...over };
}

function view(over: Partial<CrowdView> = {}): CrowdView {
  return {
    members: [],
    ownPlace: 5,
    neededBytes: 100,
    nowMs: NOW,
    beganMs: NOW,
    movedMs: NOW,
    isHubFailing: false,
    ...over,
  };
}

const there = (place: number, availableBytes: number): Member =>
  member(place, { state: "there", availableBytes });

test("who has it is asked first, the nearest ancestor before all", () => {
  const members = [there(0, 100), there(1, 100), there(9, 100), there(4, 50)];
  expect(chooseInCrowd(view({ members }))).toEqual({ kind: "read", nodes: ["n1", "n0", "n9"] });
});

test("the first fetches; the others wait at their nearest ancestor that is at work", () => {
  const members = [there(1, 0), there(2, 0)];
  expect(chooseInCrowd(view({ ownPlace: 0, members }))).toEqual({ kind: "fetch" });
  expect(chooseInCrowd(view({ members: [there(0, 0), ...members] }))).toEqual({
    kind: "follow",
    node: "n1",
    waitMs: FOLLOW_MS_MAX,
  });
});

test("who waited too long without a sign fetches itself, the nearer to the first the sooner", () => {
  const members = [there(0, 0), there(1, 0), there(2, 0)];
  for (const ownPlace of [1, 2, 3]) {
    const before = members.filter((m) => m.place < ownPlace);
    const waits = view({
      members: before,
      ownPlace,
      beganMs: 0,
      movedMs: NOW - PATIENCE_MS * ownPlace + 1,
    });
    expect(chooseInCrowd(waits).kind).toBe("follow");
    expect(chooseInCrowd({ ...waits, nowMs: NOW + 1 })).toEqual({ kind: "fetch" });
  }
});

test("those that are down, or have not begun after the grace, are not waited for", () => {
  const members = [member(0, { state: "down" }), member(1), member(2, { state: "struck" })];
  expect(chooseInCrowd(view({ members, movedMs: NOW - PATIENCE_MS + 1_000 })).kind).toBe("pause");
  const later = view({ members, beganMs: NOW - BEGIN_GRACE_MS, movedMs: NOW - BEGIN_GRACE_MS });
  expect(chooseInCrowd(later)).toEqual({ kind: "fetch" });
});

test("whatever it sees: nobody struck is asked, looks are bounded, and it always comes to a fetch in the end", () => {
  const states: readonly MemberState[] = ["unknown", "there", "absent", "down", "struck"];
  const members = fc
    .array(
      fc.record({
        state: fc.constantFrom(...states),
        availableBytes: fc.nat(200),
        age: fc.nat(60_000),
      }),
      {
        maxLength: 20,
      },
    )
    .map((list) =>
      list.map(({ state, availableBytes, age }, i) =>
        member(i < 5 ? i : i + 1, { state, availableBytes, seenMs: NOW - age }),
      ),
    );
  fc.assert(
    fc.property(members, fc.nat(60_000), fc.boolean(), (list, ageMs, isHubFailing) => {
      const at = view({ members: list, beganMs: NOW - ageMs, movedMs: NOW - ageMs, isHubFailing });
      const choice = chooseInCrowd(at);
      const nodes =
        choice.kind === "read" || choice.kind === "look"
          ? choice.nodes
          : choice.kind === "follow"
            ? [choice.node]
            : [];
      const struck = list.filter((m) => m.state === "struck").map((m) => m.node);
      expect(nodes.filter((node) => struck.includes(node))).toEqual([]);
      expect(choice.kind === "look" ? nodes.length : 0).toBeLessThanOrEqual(LOOK_COUNT_MAX);
      // Nothing changes but that everybody was just looked at, and nobody has it: patience ends.
      const nowMs = NOW + PATIENCE_MS * 6;
      const stuck = list.map((m) => ({
        ...m,
        state: m.state === "unknown" ? ("down" as const) : m.state,
        availableBytes: 0,
        seenMs: nowMs,
      }));
      expect(chooseInCrowd({ ...at, members: stuck, nowMs })).toEqual({ kind: "fetch" });
    }),
  );
});
