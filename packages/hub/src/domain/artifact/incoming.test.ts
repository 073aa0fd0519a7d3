import { RELEASE_FILES_MAX } from "@flotilla/shared/model/artifact";
import { expect, test } from "vitest";
import { type Arrival, planRelease } from "./incoming.ts";

function arrival(change: Partial<Arrival> = {}): Arrival {
  return {
    name: "detector",
    version: "1.2.0",
    files: ["labels.json", "weights/model.onnx"],
    releaseText: '{"counter":7,"format":"onnx"}',
    fault: undefined,
    ...change,
  };
}

test("name and version are those of the folders, paths in trust metadata follow from them", () => {
  expect(planRelease(arrival())).toEqual({
    artifact: { name: "detector", spec: { format: "onnx" } },
    release: {
      name: "detector-1.2.0",
      spec: { artifact: "detector", version: "1.2.0", counter: 7 },
    },
    files: [
      { path: "labels.json", target: "models/detector/7/labels.json" },
      { path: "weights/model.onnx", target: "models/detector/7/weights/model.onnx" },
    ],
  });
});

test("what release.json says goes into the objects", () => {
  const text = {
    counter: 1,
    format: "program",
    description: "the agent",
    targetPrefix: "agent/1",
    constraints: { hardwareIds: ["jetson"], memory: "2Gi" },
    prestage: { sites: ["north"] },
    keep: true,
  };
  const { constraints, prestage, keep } = text;
  expect(planRelease(arrival({ files: ["a"], releaseText: JSON.stringify(text) }))).toEqual({
    artifact: { name: "detector", spec: { format: "program", description: "the agent" } },
    release: {
      name: "detector-1.2.0",
      spec: { artifact: "detector", version: "1.2.0", counter: 1, constraints, prestage, keep },
    },
    files: [{ path: "a", target: "agent/1/a" }],
  });
});

test.each<[string, Partial<Arrival>]>([
  ["x is a link", { fault: "x is a link" }],
  ["the folder Detector is not named like an artifact", { name: "Detector" }],
  ["the folder 1.2 is not named like a version", { version: "1.2" }],
  ["the folder .. is not named like a version", { version: ".." }],
  ["there is no file beside release.json", { files: [] }],
  ["more than 256", { files: Array.from({ length: RELEASE_FILES_MAX + 1 }, (_, i) => `f${i}`) }],
  ["the path ../../etc/passwd", { files: ["../../etc/passwd"] }],
  ["the path a/.hidden", { files: ["a/.hidden"] }],
  ["the path a b", { files: ["a b"] }],
  ["the path xxx", { files: ["x".repeat(256)] }],
  ["there is no release.json", { releaseText: undefined }],
  ["release.json is not JSON", { releaseText: "{" }],
  ["release.json: it must be object", { releaseText: "[]" }],
  ["release.json: it must have required properties counter", { releaseText: '{"format":"onnx"}' }],
  ["release.json: /counter must be >= 1", { releaseText: '{"counter":0,"format":"onnx"}' }],
  ["release.json: /format", { releaseText: '{"counter":1,"format":"exe"}' }],
  ["release.json: /x is no field of it", { releaseText: '{"counter":1,"format":"raw","x":1}' }],
  ["more than 65536 characters", { releaseText: " ".repeat(65_537) }],
])("refused: %s", (reason, change) => {
  expect(planRelease(arrival(change))).toEqual({ refused: expect.stringContaining(reason) });
});
