import { expect, test } from "vitest";
import { rangeOf } from "./range.ts";

test.each([
  [undefined, 10, "whole"],
  ["lines=1-2", 10, "whole"],
  ["bytes=0-0", 10, { offset: 0, length: 1 }],
  ["bytes=2-4", 10, { offset: 2, length: 3 }],
  ["Bytes=2-4", 10, { offset: 2, length: 3 }],
  ["bytes=2-", 10, { offset: 2, length: 8 }],
  ["bytes=9-100", 10, { offset: 9, length: 1 }],
  ["bytes=-3", 10, { offset: 7, length: 3 }],
  ["bytes=-30", 10, { offset: 0, length: 10 }],
  ["bytes=0-", 1, { offset: 0, length: 1 }],
  ["bytes=10-", 10, "unsatisfiable"],
  ["bytes=4-2", 10, "unsatisfiable"],
  ["bytes=-0", 10, "unsatisfiable"],
  ["bytes=-", 10, "unsatisfiable"],
  ["bytes=", 10, "unsatisfiable"],
  ["bytes=a-b", 10, "unsatisfiable"],
  ["bytes=0-1,3-4", 10, "unsatisfiable"],
  ["bytes=0x1-2", 10, "unsatisfiable"],
  ["bytes=1e1-", 100, "unsatisfiable"],
  ["bytes=9999999999999999-", 10, "unsatisfiable"],
  ["bytes=0-", 0, "unsatisfiable"],
  ["bytes=-1", 0, "unsatisfiable"],
] as const)("Range %j of %d bytes", (header, totalBytes, expected) => {
  expect(rangeOf(header, totalBytes)).toEqual(expected);
});
