import { expect, test } from "vitest";
import { tufTools } from "../platform/tuf.ts";
import { TrustLab } from "../testing/trust-lab.ts";

const lab = (): TrustLab => new TrustLab({ tools: tufTools() });

test("what is released and wanted may be installed, all of it", () => {
  const world = lab();
  const decision = world.install(2);
  expect(decision).toMatchObject({ kind: "accepted", freshness: "attested" });
  expect(decision.kind === "accepted" && decision.install.map((t) => t.path)).toEqual([
    "models/detector/2/model.onnx",
    "models/detector/2/labels.json",
  ]);
});
