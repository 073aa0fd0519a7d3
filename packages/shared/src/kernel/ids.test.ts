import fc from "fast-check";
import { expect, test } from "vitest";
import { SeededRandom } from "../testing/seeded-random.ts";
import {
  DNS_LABEL_LENGTH_MAX,
  DNS_SUBDOMAIN_LENGTH_MAX,
  instanceId,
  isDnsLabel,
  isDnsSubdomain,
  parseNodeId,
} from "./ids.ts";
import { randomHex, uuid } from "./random.ts";

test.each(["a", "0", "node-1", "a--b", "a".repeat(DNS_LABEL_LENGTH_MAX)])(
  "%s is a label",
  (text) => {
    expect(isDnsLabel(text)).toBe(true);
    expect(parseNodeId(text)).toBe(text);
  },
);

test.each([
  "",
  "-a",
  "a-",
  "A",
  "a.b",
  "a_b",
  "a/b",
  "+",
  "#",
  "$SYS",
  "é",
  "a\n",
  "a\0",
  " a",
  "a".repeat(DNS_LABEL_LENGTH_MAX + 1),
])("%j is no label, so no node id", (text) => {
  expect(isDnsLabel(text)).toBe(false);
  expect(parseNodeId(text)).toBeUndefined();
});

test("a subdomain is labels joined by dots", () => {
  expect(isDnsSubdomain("edge.kurator.dev")).toBe(true);
  expect(isDnsSubdomain("a..b")).toBe(false);
  expect(isDnsSubdomain(".a")).toBe(false);
  expect(isDnsSubdomain("a.".repeat(DNS_SUBDOMAIN_LENGTH_MAX / 2) + "a")).toBe(true);
  expect(isDnsSubdomain("a.".repeat(DNS_SUBDOMAIN_LENGTH_MAX) + "a")).toBe(false);
});

test("a label is judged in a time that grows with its length only", () => {
  expect(isDnsLabel(`${"a-".repeat(500_000)}!`)).toBe(false);
  expect(isDnsSubdomain(`${"a".repeat(1_000_000)}!`)).toBe(false);
});

test("different parts give different instance ids", () => {
  const label = fc.stringMatching(/^[a-z0-9](?:[-a-z0-9]{0,5}[a-z0-9])?$/);
  const parts = fc.record({
    namespace: label,
    application: label,
    component: label,
    index: fc.nat({ max: 20 }),
  });
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      expect(instanceId(a) === instanceId(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
    }),
    { seed: 42, numRuns: 500 },
  );
});

test("a UUID is of version 4 and variant 1, and hexadecimal text has two digits a byte", () => {
  const random = new SeededRandom(42);
  const ids = Array.from({ length: 200 }, () => uuid(random, "test"));
  expect(new Set(ids).size).toBe(200);
  for (const id of ids)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(randomHex(random, 16, "test")).toMatch(/^[0-9a-f]{32}$/);
});
