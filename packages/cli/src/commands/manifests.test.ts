import { expect, test } from "vitest";
import { parseManifests } from "./manifests.ts";

const FLEET = "apiVersion: fleet.kurator.dev/v1alpha1\nkind: Fleet\nmetadata: {name: a}\n";

test("every document and every item of a list is an object of its own", () => {
  const list = `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: x, namespace: n}\n`;
  expect(
    parseManifests(`${FLEET}---\n---\n${list}`, "f").map((m) => [m.kind, m.name, m.namespace]),
  ).toEqual([
    ["Fleet", "a", undefined],
    ["ConfigMap", "x", "n"],
  ]);
});

test.each([
  ["a: [", /is no YAML/],
  ["- 1", /an object is expected/],
  ["kind: Fleet\nmetadata: {name: a}", /apiVersion is missing/],
  ["apiVersion: v1\nkind: Fleet\nmetadata: {}", /metadata.name is missing/],
  ["kind: Fleet\nmetadata: {name: a, name: b}", /"name" is there twice/],
  ["[".repeat(20_000), /is no YAML/],
])("%j is refused with the field", (text, message) => {
  expect(() => parseManifests(text, "f")).toThrow(message);
});

test("a YAML bomb is refused quickly", () => {
  const lines = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (const [from, to] of ["ab", "bc", "cd", "de", "ef", "fg", "gh"])
    lines.push(
      `${to}: &${to} [*${from},*${from},*${from},*${from},*${from},*${from},*${from},*${from},*${from}]`,
    );
  const started = performance.now();
  expect(() => parseManifests(lines.join("\n"), "f")).toThrow(/cannot be expanded/);
  expect(performance.now() - started).toBeLessThan(5_000);
});

test("a map of very many keys is read in a moment", () => {
  const keys = Array.from({ length: 60_000 }, (_, i) => `  k${i}: v\n`).join("");
  const started = performance.now();
  const [manifest] = parseManifests(
    `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata:\n${keys}`,
    "f",
  );
  expect(Object.keys(manifest?.object["data"] ?? {})).toHaveLength(60_000);
  expect(performance.now() - started).toBeLessThan(10_000);
});
