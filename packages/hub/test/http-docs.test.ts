import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as limits from "../src/adapters/http/limits.ts";
import { HTTP_METRICS } from "../src/adapters/http/metrics.ts";
import { servedResources } from "../src/domain/openapi/served-resources.ts";

const page = readFileSync(new URL("../../../docs/api.md", import.meta.url), "utf8");

test("docs/api.md names every limit and no other", () => {
  const named = [...page.matchAll(/`([A-Z][A-Z_]+[A-Z])`/g)].map((m) => m[1]);
  const known = Object.keys(limits);
  expect(known.filter((name) => !named.includes(name))).toEqual([]);
  const limitLike = named.filter((name) => /_(?:MAX|MS|DEFAULT|BURST|SECOND)$/.test(name ?? ""));
  expect(
    limitLike.filter((name) => name !== "JSON_DEPTH_MAX" && !known.includes(name ?? "")),
  ).toEqual([]);
});

test("docs/api.md names every group that is served", () => {
  const groups = new Set(servedResources().map((r) => r.group.replace(/kurator\.dev$/, "")));
  expect([...groups].filter((group) => !page.includes(group))).toEqual([]);
});

test("metrics are named for Prometheus and carry labels of closed sets only", () => {
  for (const metric of HTTP_METRICS) expect(metric.name).toMatch(/^flotilla_hub_http_[a-z_]+$/);
});
