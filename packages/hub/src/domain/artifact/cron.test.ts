import { expect, test } from "vitest";
import { cronFault } from "./cron.ts";

test.each([
  "* * * * *",
  "0 22 * * 1-5",
  "*/15 0-6,22,23 1,15 jan-MAR sun",
  "59 23 31 12 7",
  " 0  0 * * * ",
])("%j is a cron expression", (text) => {
  expect(cronFault(text)).toBeUndefined();
});

test.each([
  ["* * * *", "five fields"],
  ["0 0 0 * * *", "five fields"],
  ["60 * * * *", '"60" is no minute'],
  ["* 24 * * *", '"24" is no hour'],
  ["* * 0 * *", '"0" is no day of month'],
  ["* * * 13 *", '"13" is no month'],
  ["* * * foo *", '"foo" is no month'],
  ["* * * * 8", '"8" is no day of week'],
  ["5-1 * * * *", '"5-1" is no minute'],
  ["*/0 * * * *", '"*/0" is no minute'],
  ["1,, * * * *", '"" is no minute'],
  ["* * L * *", '"L" is no day of month'],
  ["-1 * * * *", '"-1" is no minute'],
])("%j is none, and it is said why", (text, why) => {
  expect(cronFault(text)).toContain(why);
});
