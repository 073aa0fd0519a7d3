import { expect, test } from "vitest";
import type { PriceListSpec } from "../../model/resources/pricing.ts";
import { type NamedPriceList, PriceBook } from "./price-book.ts";

const named = (name: string, spec: Partial<PriceListSpec>, createdAt = "2026"): NamedPriceList => ({
  name,
  createdAt,
  spec: { currency: "USD", nodes: [], ...spec },
});

test("of the prices that fit, the one with most names counts, of those the one with the nearer name, then the first", () => {
  const book = new PriceBook([
    named("a", {
      nodes: [
        { pricePerHour: 1 },
        { provider: "aws", pricePerHour: 2 },
        { region: "eu", pricePerHour: 3 },
        { region: "eu", pricePerHour: 99 },
        { gpuModel: "NVIDIA A100", pricePerHour: 4 },
        { provider: "aws", region: "eu", pricePerHour: 5 },
        { site: "s", pricePerHour: 6, spotPricePerHour: 0 },
      ],
    }),
  ]);
  expect(book.priceOf({})?.perHour).toBe(1);
  expect(book.priceOf({ provider: "aws" })?.perHour).toBe(2);
  expect(book.priceOf({ provider: "gcp", region: "eu" })?.perHour).toBe(3);
  expect(book.priceOf({ region: "eu", gpuModel: "nvidia a100" })?.perHour).toBe(4);
  expect(book.priceOf({ region: "eu", provider: "aws", gpuModel: "NVIDIA A100" })?.perHour).toBe(5);
  expect(book.priceOf({ site: "s", region: "eu" })).toEqual({ perHour: 6, spotPerHour: 0 });
});

test("nothing fits: the price is unknown", () => {
  const book = new PriceBook([named("a", { nodes: [{ site: "s", pricePerHour: 6 }] })]);
  expect(book.priceOf({ site: "t" })).toBeUndefined();
  expect(new PriceBook([]).priceOf({})).toBeUndefined();
});

test("traffic: a named pair goes before any other region, and what is not listed is unknown", () => {
  const book = new PriceBook([
    named("a", {
      egress: [
        { from: "us", to: "*", pricePerGb: 0.09 },
        { from: "us", to: "eu", pricePerGb: 0.02 },
      ],
    }),
  ]);
  expect([...book.egressTo("eu")]).toEqual([["us", 0.02]]);
  expect(book.egressTo("ap").get("us")).toBe(0.09);
  expect(book.egressTo("us").get("us")).toBeUndefined();
  expect(book.egressTo("ap").get("eu")).toBeUndefined();
});

test("lists of another currency than the oldest one's are left out, and named", () => {
  const book = new PriceBook([
    named("new", { currency: "EUR", nodes: [{ pricePerHour: 1 }] }, "2027"),
    named("old", { nodes: [{ region: "eu", pricePerHour: 2 }] }, "2026"),
  ]);
  expect([book.currency, book.otherCurrency, book.priceOf({})]).toEqual([
    "USD",
    ["new"],
    undefined,
  ]);
});
