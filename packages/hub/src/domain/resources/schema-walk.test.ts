import { Type } from "typebox";
import { expect, test } from "vitest";
import { walk } from "./schema-walk.ts";

const schema = Type.Object({
  count: Type.Optional(Type.Integer({ minimum: 1, maximum: 9 })),
  name: Type.String({ minLength: 1, maxLength: 3, pattern: "^[a-z]*$" }),
  mode: Type.Optional(Type.Union([Type.Literal("A"), Type.Literal("B")])),
  amount: Type.Optional(Type.Union([Type.String(), Type.Number()])),
  at: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  tags: Type.Optional(Type.Record(Type.String(), Type.String())),
  parts: Type.Optional(
    Type.Array(
      Type.Union([
        Type.Object({ type: Type.Literal("round"), radius: Type.Number() }),
        Type.Object({ type: Type.Literal("flat"), side: Type.Number() }),
      ]),
      { maxItems: 2 },
    ),
  ),
  free: Type.Optional(Type.Unknown()),
});
const causesOf = (value: unknown): string[] =>
  walk(schema, value, "spec").causes.map((c) => `${c.field}: ${c.message}`);

test.each([
  [
    { name: 1 },
    'spec.name: Invalid value: "integer": spec.name in body must be of type string: "integer"',
  ],
  [{}, "spec.name: Required value"],
  [{ name: null }, "spec.name: Required value"],
  [{ name: "" }, 'spec.name: Invalid value: "": spec.name in body should be at least 1 chars long'],
  [{ name: "abcd" }, "spec.name: Too long: may not be more than 3 bytes"],
  [{ name: "A" }, "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]*$'"],
  [
    { name: "a", count: 0 },
    "spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1",
  ],
  [
    { name: "a", count: 1.5 },
    'spec.count: Invalid value: "number": spec.count in body must be of type integer: "number"',
  ],
  [{ name: "a", mode: "C" }, 'spec.mode: Unsupported value: "C": supported values: "A", "B"'],
  [
    { name: "a", mode: {} },
    'spec.mode: Invalid value: "object": spec.mode in body must be of type string: "object"',
  ],
  [
    { name: "a", amount: true },
    'spec.amount: Invalid value: "boolean": spec.amount in body must be of type string or number: "boolean"',
  ],
  [
    { name: "a", tags: { x: 1 } },
    'spec.tags[x]: Invalid value: "integer": spec.tags[x] in body must be of type string: "integer"',
  ],
  [{ name: "a", parts: [{ type: "flat" }] }, "spec.parts[0].side: Required value"],
  [
    { name: "a", parts: [{ type: "oval" }] },
    'spec.parts[0].type: Unsupported value: "oval": supported values: "round", "flat"',
  ],
  [{ name: "a", parts: [{}] }, 'spec.parts[0].type: Required value: one of "round", "flat"'],
  [{ name: "a", parts: [1, 2, 3] }, "spec.parts: Too many: 3: must have at most 2 items"],
])("%j: one cause, about the branch that was meant", (value, cause) => {
  expect(causesOf(value)).toEqual([cause]);
});

test("unknown fields are named and left out, known ones stay, and open values are kept whole", () => {
  const walked = walk(
    schema,
    {
      name: "a",
      zz: 1,
      at: null,
      parts: [{ type: "flat", side: 1, radius: 2 }],
      free: { any: [1] },
    },
    "",
  );
  expect(walked.unknown).toEqual(["zz", "parts[0].radius"]);
  expect(walked.value).toEqual({
    name: "a",
    at: null,
    parts: [{ type: "flat", side: 1 }],
    free: { any: [1] },
  });
});

test("a body full of errors has a bounded answer", () => {
  const tags = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`k${i}`, i]));
  expect(walk(schema, { name: "a", tags }, "").causes.length).toBeLessThan(100);
});
