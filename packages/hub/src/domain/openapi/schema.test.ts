import { Type } from "typebox";
import { expect, test } from "vitest";
import { openApiSchema } from "./schema.ts";

test("TypeBox schemas become the OpenAPI that Kubernetes clients read", () => {
  const schema = Type.Object({
    mode: Type.Optional(Type.Union([Type.Literal("a"), Type.Literal("b")])),
    labels: Type.Record(Type.String(), Type.String()),
    at: Type.Union([Type.String(), Type.Null()]),
    port: Type.Union([Type.Integer({ minimum: 1 }), Type.String()]),
    any: Type.Unknown(),
    list: Type.Optional(Type.Array(Type.Number(), { maxItems: 3 })),
    one: Type.Optional(Type.Literal("x")),
  });
  expect(openApiSchema(schema)).toEqual({
    type: "object",
    required: ["labels", "at", "port", "any"],
    properties: {
      mode: { type: "string", enum: ["a", "b"] },
      labels: { type: "object", additionalProperties: { type: "string" } },
      at: { type: "string", nullable: true },
      port: { anyOf: [{ type: "integer", minimum: 1 }, { type: "string" }] },
      any: { "x-kubernetes-preserve-unknown-fields": true },
      list: { type: "array", items: { type: "number" }, maxItems: 3 },
      one: { type: "string", enum: ["x"] },
    },
  });
});
