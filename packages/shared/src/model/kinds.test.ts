import { expect, test } from "vitest";
import { KINDS, type KindInfo, type ObjectOf, VIEWS } from "./kinds.ts";

test("plurals are unique within a group, and stored kinds and views do not share a name", () => {
  const plurals = [
    ...Object.values<Pick<KindInfo, "group" | "plural">>(KINDS),
    ...Object.values(VIEWS),
  ].map((k) => `${k.plural}.${k.group}`);
  expect(new Set(plurals).size).toBe(plurals.length);
  expect(Object.keys(KINDS).filter((k) => k in VIEWS)).toEqual([]);
});

test("an object's type follows its schema", () => {
  const replicas = (app: ObjectOf<"Application">): number =>
    app.spec.components
      .filter((c) => c.type === "Deployment")
      .reduce((n, c) => n + (c.template.spec.replicas ?? 1), 0);
  const site = (node: ObjectOf<"EdgeNode">): string => `${node.metadata.name}@${node.spec.site}`;
  expect(replicas.length + site.length).toBe(2);
});
