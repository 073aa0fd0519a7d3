import { expect, test } from "vitest";
import { parseFieldSelector, selectedName } from "./field-selector.ts";

const event = {
  metadata: { name: "e1", namespace: "default" },
  involvedObject: { kind: "Application", name: "shop" },
  type: "Warning",
};

test("the fields that kubectl describe asks of events are offered", () => {
  const text = "involvedObject.name=shop,involvedObject.kind=Application,involvedObject.uid=";
  expect(parseFieldSelector("Event", text)(event)).toBe(true);
  expect(parseFieldSelector("Event", "type!=Warning")(event)).toBe(false);
  expect(parseFieldSelector("Event", "metadata.namespace==default")(event)).toBe(true);
});

test("a node and its pods are found by the fields that kubectl drain uses", () => {
  const pod = { metadata: { name: "p" }, spec: { nodeName: "n1" }, status: { phase: "Running" } };
  expect(parseFieldSelector("Pod", "spec.nodeName=n1,status.phase!=Failed")(pod)).toBe(true);
  const node = { metadata: { name: "n1" }, spec: {} };
  expect(parseFieldSelector("Node", "spec.unschedulable=false")(node)).toBe(true);
});

test.each([
  ["spec.x=y", "field label not supported: spec.x"],
  ["metadata.namespace=x", "field label not supported: metadata.namespace"],
  ["metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"],
])("%s is refused", (text, message) => {
  expect(() => parseFieldSelector("Site", text)).toThrow(message);
});

test("escaped separators belong to the value", () => {
  const odd = { metadata: { name: "x" }, reason: "a,b=c" };
  expect(parseFieldSelector("Event", String.raw`reason=a\,b\=c`)(odd)).toBe(true);
});

test("a selector of one name is told from all others", () => {
  expect(selectedName("metadata.name=a")).toBe("a");
  expect(selectedName("metadata.name=a,type=b")).toBeUndefined();
  expect(selectedName("metadata.name!=a")).toBeUndefined();
  expect(selectedName(undefined)).toBeUndefined();
});

test("events asked for of a Pod or a Node are those of what it shows", () => {
  const of = (kind: string) => ({ involvedObject: { kind, name: "x" } });
  expect(parseFieldSelector("Event", "involvedObject.kind=Pod")(of("Assignment"))).toBe(true);
  expect(parseFieldSelector("Event", "involvedObject.kind=Node")(of("EdgeNode"))).toBe(true);
  expect(parseFieldSelector("Event", "involvedObject.kind=Pod")(of("Application"))).toBe(false);
});
