import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { CodedError } from "@flotilla/shared/kernel/errors";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { RecordingLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import { WatchedFolder } from "../src/adapters/artifact-store/incoming-folder.ts";
import {
  INCOMING_QUIET_MS,
  INCOMING_RETRY_MS,
  IncomingReleases,
} from "../src/app/artifact/incoming.ts";
import type { FileTaker } from "../src/app/artifact/ports.ts";
import { testResources } from "./support/resources.ts";
import { temporaryDir } from "./support/store.ts";

/** A watched folder over real resources; contents are taken by a store that only reckons. */
function scene() {
  const path = join(temporaryDir(), "incoming");
  const { service } = testResources();
  const clock = new ManualClock();
  const metrics = new RecordingMetrics();
  const log = new RecordingLog();
  const taken: string[] = [];
  let failure: CodedError | undefined;
  const taker: FileTaker = {
    take: (file) => {
      if (failure !== undefined) return Promise.reject(failure);
      const bytes = readFileSync(file);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      taken.push(sha256);
      return Promise.resolve({ sha256, length: bytes.length });
    },
  };
  const folder = new WatchedFolder({ path });
  const incoming = new IncomingReleases({
    folder,
    taker,
    resources: service,
    clock,
    log,
    metrics,
  });
  const put = (file: string, text: string): void => {
    mkdirSync(dirname(join(path, file)), { recursive: true });
    writeFileSync(join(path, file), text);
  };
  /** A look, a quiet time and another look. */
  const settle = async (): Promise<void> => {
    await incoming.look();
    await clock.advance(INCOMING_QUIET_MS);
    await incoming.look();
  };
  const outcome = (name: string) =>
    metrics.total("flotilla_hub_artifact_incoming_total", { outcome: name });
  const fail = (code: string | undefined): void => {
    failure = code === undefined ? undefined : new CodedError(code, `it failed with ${code}`);
  };
  return { path, put, settle, incoming, clock, service, taken, fail, outcome, log };
}

const RELEASE = '{"counter":7,"format":"onnx","description":"finds bolts"}';

test("what was put into the folder becomes an Artifact and a Release, and moves to done", async () => {
  const { put, settle, service, path, outcome } = scene();
  put("detector/1.2.0/model.onnx", "weights");
  put("detector/1.2.0/labels/de.json", "[]");
  put("detector/1.2.0/release.json", RELEASE);
  await settle();
  expect(service.get("Artifact", "", "detector")["spec"]).toEqual({
    format: "onnx",
    description: "finds bolts",
  });
  expect(service.get("Release", "", "detector-1.2.0")["spec"]).toEqual({
    artifact: "detector",
    version: "1.2.0",
    counter: 7,
    files: [
      {
        path: "labels/de.json",
        target: "models/detector/7/labels/de.json",
        length: 2,
        sha256: createHash("sha256").update("[]").digest("hex"),
      },
      {
        path: "model.onnx",
        target: "models/detector/7/model.onnx",
        length: 7,
        sha256: createHash("sha256").update("weights").digest("hex"),
      },
    ],
  });
  expect(outcome("done")).toBe(1);
  expect(readdirSync(join(path, "done/detector/1.2.0")).toSorted()).toEqual([
    "labels",
    "model.onnx",
    "release.json",
  ]);
  expect(existsSync(join(path, "detector/1.2.0"))).toBe(false);
});

test("a folder that is still being written is left alone until nothing in it changes", async () => {
  const { put, incoming, clock, taken, outcome } = scene();
  put("detector/1.0.0/release.json", RELEASE);
  for (const text of ["w", "we", "weights"]) {
    put("detector/1.0.0/model.onnx", text);
    await incoming.look();
    await clock.advance(INCOMING_QUIET_MS - 1);
    await incoming.look();
    expect(taken).toEqual([]);
  }
  await clock.advance(1);
  await incoming.look();
  expect(outcome("done")).toBe(1);
});

test("links, bad names and a release.json that says too little are refused, with the reason beside them", async () => {
  const { put, settle, path, outcome, service } = scene();
  const cases: Record<string, string> = {};
  put("linked/1.0.0/release.json", RELEASE);
  symlinkSync("/etc/passwd", join(path, "linked/1.0.0/model.onnx"));
  cases["linked/1.0.0"] = "model.onnx is a link";
  put("folder/1.0.0/release.json", RELEASE);
  put("folder/1.0.0/model.onnx", "w");
  symlinkSync("/etc", join(path, "folder/1.0.0/etc"));
  cases["folder/1.0.0"] = "etc is a link";
  put("text/1.0.0/model.onnx", "w");
  mkdirSync(join(path, "text/1.0.0/other"), { recursive: true });
  symlinkSync("/etc/hostname", join(path, "text/1.0.0/release.json"));
  cases["text/1.0.0"] = "release.json is a link";
  put("Bad Name/1.0.0/a", "w");
  cases["Bad Name/1.0.0"] = "is not named like an artifact";
  put("bare/1.0.0/model.onnx", "w");
  cases["bare/1.0.0"] = "there is no release.json";
  put("hidden/1.0.0/.secret", "w");
  put("hidden/1.0.0/release.json", RELEASE);
  cases["hidden/1.0.0"] = "the path .secret";
  await settle();
  expect(outcome("failed")).toBe(Object.keys(cases).length);
  for (const [folder, reason] of Object.entries(cases))
    expect(readFileSync(join(path, "failed", folder, "reason.txt"), "utf8"), folder).toContain(
      reason,
    );
  expect(service.list("Release", {}).items).toEqual([]);
});

test("the same release twice is no error; another content under the same version is", async () => {
  const { put, settle, path, outcome } = scene();
  for (const text of ["weights", "weights", "other weights"]) {
    put("detector/1.0.0/model.onnx", text);
    put("detector/1.0.0/release.json", RELEASE);
    await settle();
  }
  expect([outcome("done"), outcome("failed")]).toEqual([2, 1]);
  expect(readFileSync(join(path, "failed/detector/1.0.0/reason.txt"), "utf8")).toBe(
    "Release detector-1.0.0 is there already, with another files\n",
  );
});

test("a file of another format under the same name is refused", async () => {
  const { put, settle, path } = scene();
  put("detector/1.0.0/m", "w");
  put("detector/1.0.0/release.json", RELEASE);
  await settle();
  put("detector/2.0.0/m", "w");
  put("detector/2.0.0/release.json", '{"counter":8,"format":"raw"}');
  await settle();
  expect(readFileSync(join(path, "failed/detector/2.0.0/reason.txt"), "utf8")).toContain(
    "Artifact detector is there already, with another format",
  );
});

test("what the folder is not to blame for is tried again: a full store, a server that is away", async () => {
  const { put, settle, fail, outcome, clock, incoming, path } = scene();
  put("detector/1.0.0/m", "w");
  put("detector/1.0.0/release.json", RELEASE);
  fail("artifact-quota");
  await settle();
  expect(outcome("waiting")).toBe(1);
  expect(existsSync(join(path, "detector/1.0.0/m"))).toBe(true);
  fail(undefined);
  await clock.advance(INCOMING_RETRY_MS - 1);
  await incoming.look();
  expect(outcome("done")).toBe(0);
  await clock.advance(1);
  await incoming.look();
  expect(outcome("done")).toBe(1);
});

test("a release that a new try replaces in failed leaves nothing of the old one", async () => {
  const { put, settle, path } = scene();
  put("bare/1.0.0/old", "w");
  await settle();
  put("bare/1.0.0/new", "w");
  await settle();
  expect(readdirSync(join(path, "failed/bare/1.0.0")).toSorted()).toEqual(["new", "reason.txt"]);
});

test("a folder that cannot be read is said once and looked at again", async () => {
  const { log, clock, path } = scene();
  const stop = new AbortController();
  writeFileSync(path, "no folder");
  const { service } = testResources();
  const incoming = new IncomingReleases({
    folder: new WatchedFolder({ path }),
    taker: { take: () => Promise.reject(new Error("never")) },
    resources: service,
    clock,
    log,
    metrics: new RecordingMetrics(),
  });
  const running = incoming.run(stop.signal);
  const isSaid = () => log.lines.filter((line) => line.message.includes("cannot be read")).length;
  await expect.poll(isSaid).toBe(1);
  for (let i = 0; i < 5; i++) await clock.advance(2_000);
  expect(isSaid()).toBe(1);
  stop.abort();
  await running;
});
