import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredState } from "@flotilla/shared/model/desired-state";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decideDesired, type HeldDesired } from "./desired.ts";

const state = (over: Partial<DesiredState> = {}): DesiredState => ({
  nodeId: "n1",
  revision: 5,
  issuedAt: "2026-01-01T00:00:00Z",
  instances: [],
  ...over,
});
const offered = (value: unknown, verified = true) => ({ verified, payload: canonicalJson(value) });
const held = (over: Partial<HeldDesired> = {}): HeldDesired => ({
  nodeId: "n1",
  payload: canonicalJson(state({ revision: 4 })),
  revision: 4,
  revisionFloor: 5,
  ...over,
});

test("a signed state for this node with a greater revision is accepted", () => {
  expect(decideDesired(held(), offered(state()))).toEqual({ kind: "accept", state: state() });
});

test.each([
  ["a forged signature, whatever the text", offered({ not: "read" }, false), "BadSignature"],
  ["another node's", offered(state({ nodeId: "n2" })), "OtherNode"],
  ["an older revision", offered(state({ revision: 3 })), "OlderRevision"],
  [
    "the held revision with another content",
    offered(state({ revision: 4, issuedAt: "x" })),
    "RevisionReused",
  ],
  [
    "a cut text",
    { verified: true, payload: canonicalJson(state()).slice(0, -5) },
    "NotADesiredState",
  ],
  ["a missing field", offered({ nodeId: "n1", revision: 9 }), "NotADesiredState"],
  ["revision 0", offered(state({ revision: 0 })), "NotADesiredState"],
  ["a revision that is no integer", offered(state({ revision: 5.5 })), "NotADesiredState"],
  ["nesting without end", { verified: true, payload: "[".repeat(100_000) }, "NotADesiredState"],
])("%s is refused", (_, offer, reason) => {
  expect(decideDesired(held(), offer)).toMatchObject({ kind: "refuse", reason });
});

test("a repetition of the held state is ignored", () => {
  expect(decideDesired(held(), offered(state({ revision: 4 })))).toEqual({
    kind: "ignore",
    reason: "AlreadyHeld",
  });
});

test("after a restore from an older copy, revisions that this node had already left behind stay refused", () => {
  const restored = held({ revisionFloor: 9 });
  expect(decideDesired(restored, offered(state({ revision: 8 })))).toMatchObject({
    reason: "OlderRevision",
  });
  expect(decideDesired(restored, offered(state({ revision: 9 }))).kind).toBe("accept");
});

test("whatever is offered in whatever order, accepted revisions grow", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ revision: fc.integer({ min: 1, max: 20 }), verified: fc.boolean() })),
      (offers) => {
        let now = held({ payload: undefined, revision: 0, revisionFloor: 1 });
        for (const offer of offers) {
          const candidate = offered(state({ revision: offer.revision }), offer.verified);
          const decision = decideDesired(now, candidate);
          expect(decision.kind === "accept").toBe(offer.verified && offer.revision > now.revision);
          if (decision.kind !== "accept") continue;
          const { revision } = decision.state;
          now = held({ payload: candidate.payload, revision, revisionFloor: revision + 1 });
        }
      },
    ),
    { seed: 42, numRuns: 200 },
  );
});
