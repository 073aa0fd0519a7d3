import fc from "fast-check";
import { expect, test } from "vitest";
import { must } from "../kernel/assert.ts";
import { type NodeId, parseNodeId } from "../kernel/ids.ts";
import { TOPIC_BYTES_MAX } from "./limits.ts";
import {
  DEFAULT_SHARD,
  downTopic,
  HUB_STATE_TOPIC,
  parseUpTopic,
  UP_KINDS,
  upTopic,
} from "./topics.ts";

const label = fc.stringMatching(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/);
const nodeIdOf = (text: string): NodeId => must(parseNodeId(text), `${text} is a label`);

test("every up topic is read back, and is within the length that the broker takes", () => {
  fc.assert(
    fc.property(label, label, fc.constantFrom(...UP_KINDS), (shard, node, kind) => {
      const address = { shard, nodeId: nodeIdOf(node) };
      const topic = upTopic(address, kind);
      expect(parseUpTopic(topic)).toEqual({ ...address, kind });
      expect(topic.length).toBeLessThanOrEqual(TOPIC_BYTES_MAX);
      expect(downTopic(address).length).toBeLessThanOrEqual(TOPIC_BYTES_MAX);
    }),
    { seed: 42, numRuns: 300 },
  );
});

test("an unknown kind is read, so that it can be counted", () => {
  expect(parseUpTopic("fl/v1/0/n1/up/telemetry")?.kind).toBe("telemetry");
});

test.each([
  "",
  "/",
  HUB_STATE_TOPIC,
  downTopic({ shard: DEFAULT_SHARD, nodeId: nodeIdOf("n1") }),
  "fl/v1/0/n1/up",
  "fl/v1/0/n1/up/",
  "fl/v1/0/n1/up/birth/",
  "fl/v1/0/n1/up/birth/more",
  "/fl/v1/0/n1/up/birth",
  "fl/v2/0/n1/up/birth",
  "fl/v1/0/n1/down/birth",
  "fl/v1/0/+/up/birth",
  "fl/v1/0/n1/up/#",
  "fl/v1/#",
  "$SYS/v1/0/n1/up/birth",
  "fl/v1/0/N1/up/birth",
  "fl/v1/0/n1\u0000/up/birth",
  "fl/v1/0//up/birth",
  "fl/v1//n1/up/birth",
  `fl/v1/0/${"a".repeat(64)}/up/birth`,
])("%j is no up topic of a node", (topic) => {
  expect(parseUpTopic(topic)).toBeUndefined();
});

test("any text is an up topic that is written the same way again, or none", () => {
  const level = fc.oneof(label, fc.constantFrom("fl", "v1", "up", "birth", "+", "#", ""));
  fc.assert(
    fc.property(fc.array(level, { maxLength: 8 }), (levels) => {
      const topic = levels.join("/");
      const parsed = parseUpTopic(topic);
      const again = parsed && `fl/v1/${parsed.shard}/${parsed.nodeId}/up/${parsed.kind}`;
      expect(again ?? topic).toBe(topic);
    }),
    { seed: 42, numRuns: 500 },
  );
});

test("two nodes never share a topic", () => {
  fc.assert(
    fc.property(label, label, label, label, (s1, n1, s2, n2) => {
      const [a, b] = [
        { shard: s1, nodeId: nodeIdOf(n1) },
        { shard: s2, nodeId: nodeIdOf(n2) },
      ];
      expect(downTopic(a) === downTopic(b)).toBe(s1 === s2 && n1 === n2);
    }),
    { seed: 42, numRuns: 200 },
  );
});
