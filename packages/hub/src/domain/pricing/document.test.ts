import fc from "fast-check";
import { expect, test } from "vitest";
import { parseCsv } from "./csv.ts";
import { readDocument } from "./document.ts";

const JSON_LIST = `{"currency":"USD","nodes":[{"region":"eu","pricePerHour":1.5,"note":"x"}],"egress":[{"from":"eu","to":"us","pricePerGb":0.02}]}`;
const CSV_LIST = [
  "currency,region,instanceType,pricePerHour,spotPricePerHour,from,to,pricePerGb",
  "USD,eu,,1.5,,,,",
  'USD,,"a, ""b""",2,0.5,,,',
  "USD,,,,,eu,us,0.02",
].join("\r\n");

test("JSON and CSV deliver the same list; fields of no schema are passed over", () => {
  const json = readDocument(JSON_LIST, "json");
  expect(json).toMatchObject({ kind: "document", document: { currency: "USD" } });
  expect(readDocument(CSV_LIST, "csv")).toEqual({
    kind: "document",
    document: {
      currency: "USD",
      nodes: [
        { region: "eu", pricePerHour: 1.5 },
        { instanceType: 'a, "b"', pricePerHour: 2, spotPricePerHour: 0.5 },
      ],
      egress: [{ from: "eu", to: "us", pricePerGb: 0.02 }],
    },
  });
});

test.each([
  ["json", "root:x:0:0:/root", "it is no JSON"],
  ["json", "[]", "it must be object"],
  ["json", '{"currency":"usd","nodes":[]}', "/currency must match pattern"],
  [
    "json",
    '{"currency":"USD","nodes":[{"pricePerHour":-1}]}',
    "/nodes/0/pricePerHour must be >= 0",
  ],
  [
    "json",
    '{"currency":"USD","nodes":[{"pricePerHour":"1"}]}',
    "/nodes/0/pricePerHour must be number",
  ],
  [
    "json",
    '{"currency":"USD","nodes":[{"pricePerHour":1e999}]}',
    "/nodes/0/pricePerHour must be number",
  ],
  [
    "json",
    '{"currency":"USD","nodes":[{"region":"eu"}]}',
    "/nodes/0 must have required properties pricePerHour",
  ],
  ["csv", "", "/currency must be string"],
  ["csv", "price,region\n1,eu", "column 1 of the header is none of currency"],
  ["csv", "region,region\neu,eu", "the header names a column twice"],
  ["csv", "currency,pricePerHour\nUSD,NaN", "row 1: a price is no number"],
  ["csv", "currency,pricePerHour\nUSD,1\nEUR,1", "rows differ in their currency"],
  ["csv", "currency,pricePerHour\nUSD", "line 2: 1 fields, the header has 2"],
  ["csv", 'currency,pricePerHour\nUSD,"1', "line 2: a quote that is not closed"],
  ["csv", 'a,b\n1,x"y"', "line 2: a quote that is not closed, or text beside it"],
  ["csv", `currency\n${"x".repeat(1_025)}`, "line 2: a field of more than 1024 characters"],
] as const)("a wrong %s list %j: %s", (format, text, message) => {
  const result = readDocument(text, format);
  expect(result.kind).toBe("wrong");
  expect(result.kind === "wrong" ? result.message : "").toContain(message);
});

test("what is wrong is told without quoting the text, which may be another file", () => {
  const secret = "hunter2-do-not-print";
  for (const [text, format] of [
    [secret, "json"],
    [`{"currency":"${secret}","nodes":[]}`, "json"],
    [`${secret},b\n1,2`, "csv"],
    [`currency,pricePerHour\n${secret},x`, "csv"],
    [`currency,pricePerHour\n"${secret}`, "csv"],
  ] as const)
    expect(JSON.stringify(readDocument(text, format))).not.toContain(secret);
});

test("any table that is written as RFC 4180 says comes back", () => {
  const cell = fc.string({
    unit: fc.constantFrom("a", ",", '"', "\n", "\r", " ", "é"),
    maxLength: 8,
  });
  const table = fc.integer({ min: 1, max: 4 }).chain((width) =>
    fc.array(fc.array(cell, { minLength: width, maxLength: width }), {
      minLength: 1,
      maxLength: 5,
    }),
  );
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
  fc.assert(
    fc.property(table, fc.constantFrom("\n", "\r\n"), fc.boolean(), (rows, end, last) => {
      const text = rows.map((row) => row.map(quoted).join(",")).join(end) + (last ? end : "");
      expect(parseCsv(text)).toEqual({ kind: "rows", rows });
    }),
    { seed: 42, numRuns: 300 },
  );
});
