import { expect, test } from "vitest";
import { encodeModel, makeModels } from "./model.ts";
import { runSite } from "./site.ts";

test("a small site takes a model about once over its uplink, also when one of its nodes lies", async () => {
  const model = makeModels(1_000_000, 1);
  const coded = encodeModel(model, "delta");
  expect(coded.payload.length).toBeLessThan(0.4 * model.target.length);
  const options = { nodes: 4, uplinkBytesPerSecond: undefined };
  const alone = await runSite(model, coded, { ...options, scene: "no peers" });
  expect(alone.uplinkBytes).toBe(4 * coded.payload.length);
  const peers = await runSite(model, coded, { ...options, scene: "peers" });
  expect(peers.uplinkBytes).toBeLessThan(2 * coded.payload.length);
  const lied = await runSite(model, coded, { ...options, scene: "peers, one lies" });
  expect(lied.struckLiar).toBeGreaterThan(0);
  expect(lied.uplinkBytes).toBeLessThan(4 * coded.payload.length);
  expect([alone, peers, lied].map((r) => [r.rightNodes, r.struckOthers])).toEqual([
    [4, 0],
    [4, 0],
    [4, 0],
  ]);
});
