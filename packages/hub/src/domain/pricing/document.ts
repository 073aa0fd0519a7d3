import {
  CURRENCY_PATTERN,
  PRICE_EGRESS_MAX,
  PRICE_NODES_MAX,
} from "@flotilla/shared/model/resources/pricing";
import { type Static, Type } from "typebox";
import { Check, Errors } from "typebox/value";
import { parseCsv } from "./csv.ts";

/** What a feed may deliver: as a PriceList's spec, but prices that are too high are clamped, not refused. */
const Price = Type.Number({ minimum: 0 });
const Name = Type.Optional(Type.String({ minLength: 1, maxLength: 128 }));
const Region = Type.String({ minLength: 1, maxLength: 128 });

export const PriceDocument = Type.Object({
  currency: Type.String({ pattern: CURRENCY_PATTERN }),
  nodes: Type.Array(
    Type.Object({
      provider: Name,
      region: Name,
      site: Name,
      instanceType: Name,
      gpuModel: Name,
      pricePerHour: Price,
      spotPricePerHour: Type.Optional(Price),
    }),
    { maxItems: PRICE_NODES_MAX },
  ),
  egress: Type.Optional(
    Type.Array(Type.Object({ from: Region, to: Region, pricePerGb: Price }), {
      maxItems: PRICE_EGRESS_MAX,
    }),
  ),
});
export type PriceDocument = Static<typeof PriceDocument>;

export type DocumentResult =
  | { readonly kind: "document"; readonly document: PriceDocument }
  /** Names the place; quotes nothing of the text, which may be another file than was meant. */
  | { readonly kind: "wrong"; readonly message: string };

/** Reads what a feed delivered. Fields that are not of the schema are dropped. */
export function readDocument(text: string, format: "json" | "csv"): DocumentResult {
  if (format === "csv") return readCsv(text);
  try {
    return checked(JSON.parse(text));
  } catch {
    return wrong("it is no JSON");
  }
}

/** Columns with text, and those with numbers. A row with `pricePerGb` is about traffic, any other about nodes. */
const TEXTS = ["currency", "provider", "region", "site", "instanceType", "gpuModel", "from", "to"];
const NUMBERS = ["pricePerHour", "spotPricePerHour", "pricePerGb"];

function readCsv(text: string): DocumentResult {
  const csv = parseCsv(text);
  if (csv.kind === "wrong") return wrong(`line ${csv.line}: ${csv.message}`);
  const [header = [], ...rows] = csv.rows;
  const odd = header.findIndex((name) => !TEXTS.includes(name) && !NUMBERS.includes(name));
  if (odd >= 0)
    return wrong(`column ${odd + 1} of the header is none of ${[...TEXTS, ...NUMBERS].join(", ")}`);
  if (new Set(header).size < header.length) return wrong("the header names a column twice");
  const records = rows.map((row) => recordOf(header, row));
  const bad = records.findIndex((record) => record === undefined);
  if (bad >= 0) return wrong(`row ${bad + 1}: a price is no number`);
  const known = records.filter((record) => record !== undefined);
  const currencies = new Set(known.map((record) => record["currency"]));
  if (currencies.size > 1) return wrong("rows differ in their currency");
  const bare = known.map(({ currency: _one, ...rest }) => rest);
  return checked({
    currency: [...currencies][0],
    nodes: bare.filter((record) => record["pricePerGb"] === undefined),
    egress: bare.filter((record) => record["pricePerGb"] !== undefined),
  });
}

/** Empty fields are absent ones; undefined when a number is none. */
function recordOf(
  header: readonly string[],
  row: readonly string[],
): Readonly<Record<string, string | number>> | undefined {
  const record: Record<string, string | number> = {};
  for (const [index, name] of header.entries()) {
    const value = row[index] ?? "";
    if (value === "") continue;
    if (!NUMBERS.includes(name)) record[name] = value;
    else if (/^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value)) record[name] = Number(value);
    else return undefined;
  }
  return record;
}

function checked(value: unknown): DocumentResult {
  if (Check(PriceDocument, value)) return { kind: "document", document: value };
  const [error] = Errors(PriceDocument, value);
  return wrong(
    `${error?.instancePath === "" ? "it" : (error?.instancePath ?? "it")} ${error?.message ?? "is not of the schema"}`,
  );
}

function wrong(message: string): DocumentResult {
  return { kind: "wrong", message };
}
