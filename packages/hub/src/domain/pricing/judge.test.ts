import { PRICE_PER_GB_MAX, PRICE_PER_HOUR_MAX } from "@flotilla/shared/model/resources/pricing";
import { expect, test } from "vitest";
import { shownAddress } from "./feed.ts";
import { clampedText, judgeDocument, PRICE_JUMP_FACTOR } from "./judge.ts";

const list = (
  pricePerHour: number,
  over: { spot?: number; gb?: number; currency?: string } = {},
) => ({
  currency: over.currency ?? "USD",
  nodes: [
    {
      region: "eu",
      pricePerHour,
      ...(over.spot === undefined ? {} : { spotPricePerHour: over.spot }),
    },
  ],
  ...(over.gb === undefined ? {} : { egress: [{ from: "eu", to: "us", pricePerGb: over.gb }] }),
});

test("a price may move by the factor, no further, up or down, and what was held is named", () => {
  expect(PRICE_JUMP_FACTOR).toBe(10);
  const last = list(1, { spot: 0.5, gb: 0.02 });
  expect(judgeDocument(list(10, { spot: 5, gb: 0.2 }), last, undefined)).toMatchObject({
    kind: "accept",
    clamped: [],
  });
  expect(judgeDocument(list(11, { spot: 0, gb: 50 }), last, undefined)).toEqual({
    kind: "accept",
    spec: list(10, { spot: 0.05, gb: 0.2 }),
    clamped: ["eu 11 → 10", "eu (spot) 0 → 0.05", "eu to us 50 → 0.2"],
  });
});

test("a first price, and one that was 0, is held to the bounds alone", () => {
  const absurd = judgeDocument(list(1e308, { gb: 1e9 }), undefined, undefined);
  expect(absurd).toMatchObject({ spec: list(PRICE_PER_HOUR_MAX, { gb: PRICE_PER_GB_MAX }) });
  expect(judgeDocument(list(7), list(0), undefined)).toMatchObject({ clamped: [] });
});

test("another currency is refused until the profile asks for it; then prices begin anew", () => {
  const euros = list(900, { currency: "EUR" });
  const refused = judgeDocument(euros, list(1), undefined);
  expect(refused).toEqual({
    kind: "refuse",
    reason: "CurrencyChanged",
    message:
      "the feed delivers EUR, the prices are in USD; set spec.costAware.currency to EUR to take it, all prices then begin anew",
  });
  expect(judgeDocument(euros, list(1), "EUR")).toEqual({
    kind: "accept",
    spec: euros,
    clamped: [],
  });
  expect(judgeDocument(list(1), undefined, "EUR").kind).toBe("refuse");
});

test("many clamped prices make a short message", () => {
  expect(clampedText([])).toBeUndefined();
  expect(clampedText(["a", "b", "c", "d", "e"])).toBe("5 prices were clamped: a; b; c; and 2 more");
});

test("an address is shown without user, password and query", () => {
  expect(shownAddress("https://me:pw@prices.example/v1?key=s3cret#x")).toBe(
    "https://prices.example/v1",
  );
  expect(shownAddress("file:///srv/prices/a.csv")).toBe("file:///srv/prices/a.csv");
});
