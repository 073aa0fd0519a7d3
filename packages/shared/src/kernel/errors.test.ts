import { expect, test } from "vitest";
import { AssertionError, assert, must, unreachable } from "./assert.ts";
import { CodedError, hasCode, messageOf } from "./errors.ts";

test("a coded error carries its code, its fields, its mend and its cause", () => {
  const cause = new Error("deep");
  const error = new CodedError("disk-full", "no space", {
    fields: { path: "/x" },
    mend: "Free.",
    cause,
  });
  expect(error).toMatchObject({ code: "disk-full", fields: { path: "/x" }, mend: "Free.", cause });
  expect(hasCode(error, "disk-full")).toBe(true);
  expect(hasCode(error, "other")).toBe(false);
  expect(hasCode(new Error("disk-full"), "disk-full")).toBe(false);
});

test("anything that was thrown has a message", () => {
  expect([new Error("m"), "text", undefined, 7].map(messageOf)).toEqual([
    "m",
    "text",
    "undefined",
    "7",
  ]);
});

test("what is held impossible is thrown as an assertion error", () => {
  expect(() => assert(false, "why")).toThrow(AssertionError);
  expect(() => must(null, "why")).toThrow("why");
  expect(must(0, "why")).toBe(0);
  const value: unknown = "new kind";
  // The cast stands for data from outside that the compiler has not seen.
  expect(() => unreachable(value as never)).toThrow('unreachable: "new kind"');
});
