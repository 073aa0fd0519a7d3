import { expect, test } from "vitest";
import { age, formatTable, printable } from "./table.ts";

test("Chinese characters take two columns, so the columns after them line up", () => {
  const text = formatTable(
    ["NAME", "NODE"],
    [
      ["工厂", "a"],
      ["x", "b"],
    ],
  );
  expect(text).toBe("NAME   NODE\n工厂   a\nx      b\n");
});

test("control characters cannot steer the terminal", () => {
  expect(printable("a\u001b[31mb\u009bc\td")).toBe("a\ufffd[31mb\ufffdc\td");
  expect(formatTable(["A"], [["one\ntwo"]])).toBe("A\none two\n");
});

test.each([
  [5_000, "5s"],
  [119_000, "119s"],
  [150_000, "2m30s"],
  [3_600_000, "60m"],
  [4 * 3_600_000, "4h"],
  [5 * 86_400_000, "5d"],
])("an age of %d ms is %s", (ms, text) => {
  expect(age(new Date(0).toISOString(), ms)).toBe(text);
});

test("a time that is none is unknown", () => {
  expect(age("yesterday", 1)).toBe("<unknown>");
});
