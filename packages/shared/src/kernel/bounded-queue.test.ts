import fc from "fast-check";
import { expect, test } from "vitest";
import { BoundedQueue } from "./bounded-queue.ts";

test("at its limit the queue refuses and counts, and takes again when there is room", () => {
  const queue = new BoundedQueue<number>({ lengthMax: 2 });
  expect([queue.push(1), queue.push(2), queue.push(3)]).toEqual([true, true, false]);
  expect([queue.length, queue.refusedCount]).toEqual([2, 1]);
  expect(queue.take(1)).toEqual([1]);
  expect(queue.push(4)).toBe(true);
  expect(queue.take(10)).toEqual([2, 4]);
  expect(queue.take(10)).toEqual([]);
});

test("whatever is done with it, it behaves as a list that is cut at the limit", () => {
  const command = fc.oneof(
    fc.record({ push: fc.integer() }),
    fc.record({ take: fc.nat({ max: 5 }) }),
  );
  fc.assert(
    fc.property(fc.nat({ max: 6 }), fc.array(command), (lengthMax, commands) => {
      const queue = new BoundedQueue<number>({ lengthMax });
      let model: number[] = [];
      let refused = 0;
      const answers: unknown[] = [];
      const expected: unknown[] = [];
      for (const c of commands)
        if ("push" in c) {
          const hasRoom = model.length < lengthMax;
          answers.push(queue.push(c.push));
          expected.push(hasRoom);
          if (hasRoom) model.push(c.push);
          else refused++;
        } else {
          answers.push(queue.take(c.take));
          expected.push(model.slice(0, c.take));
          model = model.slice(c.take);
        }
      expect(answers).toEqual(expected);
      expect([queue.length, queue.refusedCount]).toEqual([model.length, refused]);
    }),
    { seed: 42, numRuns: 300 },
  );
});
