import { expect, test } from "vitest";
import { Lane } from "./lane.ts";

const never = new AbortController().signal;

test("urgent ones go first, others in the order in which they came, one at a time", async () => {
  const lane = new Lane();
  const order: string[] = [];
  const enter = (name: string, isUrgent: boolean) => {
    const place = lane.place(() => isUrgent);
    return { place, entered: lane.giveWay(place, never).then(() => void order.push(name)) };
  };
  const a = enter("a", false);
  const b = enter("b", false);
  const c = enter("c", false);
  const u = enter("u", true);
  await a.entered;
  expect(order).toEqual(["a"]);
  // Between two blocks it gives way to what is urgent, and comes after those that waited before.
  const again = lane.giveWay(a.place, never).then(() => void order.push("a again"));
  await u.entered;
  u.place.leave();
  await b.entered;
  b.place.leave();
  await c.entered;
  c.place.leave();
  await again;
  expect(order).toEqual(["a", "u", "b", "c", "a again"]);
});

test("one that gives up its place holds nobody up", async () => {
  const lane = new Lane();
  const first = lane.place(() => false);
  await lane.giveWay(first, never);
  const abort = new AbortController();
  const gone = lane.giveWay(
    lane.place(() => true),
    abort.signal,
  );
  const second = lane.place(() => false);
  const waits = lane.giveWay(second, never);
  abort.abort(new Error("gone"));
  await expect(gone).rejects.toThrow("gone");
  first.leave();
  await waits;
  // One that does not hold the lane cannot free it.
  first.leave();
  await lane.giveWay(second, never);
});
