import fc from "fast-check";
import { expect, test } from "vitest";
import { ancestorsOf, orderOfMembers, PEER_FAN_OUT } from "./peer-order.ts";

const NODES = Array.from({ length: 20 }, (_, i) => `node-${i}`);

test("everybody finds the same order, whatever order the names come in", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 20 }),
      fc.string(),
      (nodes, payload) => {
        const order = orderOfMembers(payload, nodes);
        expect(orderOfMembers(payload, nodes.toReversed())).toEqual(order);
        expect(order.toSorted()).toEqual(nodes.toSorted());
      },
    ),
  );
});

test("a node that goes moves no other", () => {
  const order = orderOfMembers("p", NODES);
  for (const gone of NODES)
    expect(
      orderOfMembers(
        "p",
        NODES.filter((n) => n !== gone),
      ),
    ).toEqual(order.filter((n) => n !== gone));
});

test("over many payloads each node is the first about as often", () => {
  const firsts = new Map<string, number>();
  const payloads = 4_000;
  for (let i = 0; i < payloads; i++) {
    const [first = ""] = orderOfMembers(i.toString(16).padStart(64, "0"), NODES);
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
  }
  const fair = payloads / NODES.length;
  for (const node of NODES) {
    expect(firsts.get(node)).toBeGreaterThan(fair * 0.7);
    expect(firsts.get(node)).toBeLessThan(fair * 1.3);
  }
});

test("the first takes from nobody, the others from their ancestors, and nobody from more than its share", () => {
  expect(ancestorsOf(0)).toEqual([]);
  expect(ancestorsOf(1)).toEqual([0]);
  expect(ancestorsOf(19)).toEqual([6, 1, 0]);
  const children = new Map<number, number>();
  for (let place = 1; place < 64; place++) {
    const [parent = -1] = ancestorsOf(place);
    children.set(parent, (children.get(parent) ?? 0) + 1);
  }
  expect(Math.max(...children.values())).toBe(PEER_FAN_OUT);
});
