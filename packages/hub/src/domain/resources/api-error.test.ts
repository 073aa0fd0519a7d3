import { expect, test } from "vitest";
import { badRequest, conflict, invalid, notFound } from "./api-error.ts";

const subject = { group: "fleet.edge.dev", plural: "fleets", kind: "Fleet", name: "x1" };

test("a missing object answers the Status that kube-apiserver answers", () => {
  expect(notFound(subject).toStatus()).toEqual({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: 'fleets.fleet.edge.dev "x1" not found',
    reason: "NotFound",
    details: { name: "x1", group: "fleet.edge.dev", kind: "fleets" },
    code: 404,
  });
});

test("a stale write answers the sentence that clients look for", () => {
  expect(conflict(subject).toStatus()).toMatchObject({
    message:
      'Operation cannot be fulfilled on fleets.fleet.edge.dev "x1": the object has been modified; please apply your changes to the latest version and try again',
    code: 409,
  });
});

test("invalid content is listed field by field, under the kind's name", () => {
  const cause = {
    reason: "FieldValueRequired",
    message: "Required value",
    field: "spec.a",
  } as const;
  expect(invalid(subject, [cause]).message).toBe(
    'Fleet.fleet.edge.dev "x1" is invalid: spec.a: Required value',
  );
  const two = invalid(subject, [cause, { ...cause, field: "spec.b" }]);
  expect(two.message).toBe(
    'Fleet.fleet.edge.dev "x1" is invalid: [spec.a: Required value, spec.b: Required value]',
  );
  expect(two.details).toMatchObject({ kind: "Fleet", causes: [cause, { field: "spec.b" }] });
});

test("a bad request carries no details", () => {
  expect(badRequest("no").toStatus()).not.toHaveProperty("details");
});
