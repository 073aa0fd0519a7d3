import { expect, test } from "vitest";
import { humanDuration } from "./human-duration.ts";

// From apimachinery's duration_test.go, and the borders between its ranges.
test.each([
  [-2_000, "<invalid>"],
  [-500, "0s"],
  [0, "0s"],
  [119_000, "119s"],
  [120_000, "2m"],
  [192_000, "3m12s"],
  [600_000, "10m"],
  [179 * 60_000, "179m"],
  [180 * 60_000, "3h"],
  [7 * 3_600_000 + 59 * 60_000, "7h59m"],
  [47 * 3_600_000, "47h"],
  [51 * 3_600_000, "2d3h"],
  [8 * 86_400_000, "8d"],
  [729 * 86_400_000, "729d"],
  [2 * 365 * 86_400_000 + 86_400_000, "2y1d"],
  [9 * 365 * 86_400_000, "9y"],
])("%d ms are shown as %s", (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});
