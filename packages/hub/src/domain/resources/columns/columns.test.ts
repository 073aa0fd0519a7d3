import { expect, test } from "vitest";
import { allKinds } from "../kind-lookup.ts";
import { columnsOf } from "./columns.ts";

const bare = { apiVersion: "v1", kind: "X", metadata: { name: "a" } };

test("every kind has a name and an age or a time, and shows an object without status", () => {
  for (const kind of [...allKinds(), "Node", "Pod", "Lease"] as const) {
    const columns = columnsOf(kind);
    expect(columns.some((c) => c.name === "Name")).toBe(true);
    expect(columns.some((c) => c.type === "date")).toBe(true);
    expect(columns.every((c) => c.description.length > 0)).toBe(true);
    expect(() => columns.map((c) => c.cell(bare))).not.toThrow();
  }
});

test("an edge node shows what takes it out of use", () => {
  const status = columnsOf("EdgeNode").find((c) => c.name === "Status");
  const node = { ...bare, spec: { unschedulable: true }, status: { life: "ready" } };
  expect(status?.cell(node)).toBe("ready,cordoned");
  expect(status?.cell({ ...node, spec: { drain: true, revoked: true } })).toBe(
    "ready,revoked,draining",
  );
});

test("an application shows ready instances of those asked for", () => {
  const ready = columnsOf("Application").find((c) => c.name === "Ready");
  const components = [
    { ready: 2, succeeded: 0, desired: 3 },
    { ready: 0, succeeded: 1, desired: 1 },
  ];
  expect(ready?.cell({ ...bare, status: { components } })).toBe("3/4");
});
