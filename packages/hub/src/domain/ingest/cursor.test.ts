import fc from "fast-check";
import { expect, test } from "vitest";
import { EPOCH_MAX, judge, type Position } from "./cursor.ts";

const at = (epoch: number, seq: number, kind = "report") => ({ epoch, seq, kind });

test("what is above the cursor counts and moves it there", () => {
  expect(judge({ epoch: 3, seq: 7 }, at(3, 8), false)).toEqual({
    kind: "accept",
    next: { epoch: 3, seq: 8 },
  });
  expect(judge({ epoch: 3, seq: 7 }, at(3, 90), false).kind).toBe("accept");
});

test("what is at or below the cursor is dropped, of an older epoch as well", () => {
  expect(judge({ epoch: 3, seq: 7 }, at(3, 7), false).kind).toBe("duplicate");
  expect(judge({ epoch: 3, seq: 7 }, at(2, 900), false).kind).toBe("duplicate");
});

test("a birth of a newer epoch begins the sequence anew; a report of it without a birth does not", () => {
  expect(judge({ epoch: 3, seq: 7 }, at(4, 1, "birth"), false)).toEqual({
    kind: "accept",
    next: { epoch: 4, seq: 1 },
  });
  expect(judge({ epoch: 3, seq: 7 }, at(4, 1), false).kind).toBe("rebirth");
  expect(judge(undefined, at(1, 1), false).kind).toBe("rebirth");
  expect(judge(undefined, at(1, 1, "birth"), false).kind).toBe("accept");
});

test("a birth of an agent whose state went back is told the epoch that was seen, of an equal epoch too", () => {
  const behind = { kind: "epoch-behind", seenEpoch: 3 };
  expect(judge({ epoch: 3, seq: 7 }, at(2, 1, "birth"), false)).toEqual(behind);
  expect(judge({ epoch: 3, seq: 7 }, at(3, 1, "birth"), false)).toEqual(behind);
  expect(judge({ epoch: 3, seq: 1 }, at(3, 1, "birth"), true).kind).toBe("duplicate");
});

test("an epoch that no honest agent reaches is not taken", () => {
  expect(judge(undefined, at(EPOCH_MAX + 1, 1, "birth"), false).kind).toBe("implausible");
});

test("however messages are lost, repeated and reordered, the cursor only grows and no message counts twice", () => {
  const message = fc.record({
    epoch: fc.integer({ min: 1, max: 4 }),
    seq: fc.integer({ min: 1, max: 9 }),
    kind: fc.constantFrom("birth", "report", "notice"),
  });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
      let cursor: Position | undefined;
      const counted = new Set<string>();
      for (const m of messages) {
        const verdict = judge(cursor, m, false);
        if (verdict.kind !== "accept") continue;
        expect(counted.has(`${m.epoch}/${m.seq}`)).toBe(false);
        counted.add(`${m.epoch}/${m.seq}`);
        const before = cursor === undefined ? 0 : cursor.epoch * 10 + cursor.seq;
        expect(verdict.next.epoch * 10 + verdict.next.seq).toBeGreaterThan(before);
        cursor = verdict.next;
      }
    }),
    { seed: 42, numRuns: 500 },
  );
});
