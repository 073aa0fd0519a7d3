import { createHash } from "node:crypto";
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { ManualClock } from "@flotilla/shared/testing/manual-clock";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { silentLog } from "@flotilla/shared/testing/silent-log";
import { expect, test } from "vitest";
import { type Disk, nodeDisk } from "../src/adapters/artifact-store/disk.ts";
import { DiskBlobStore } from "../src/adapters/artifact-store/disk-blob-store.ts";
import { DiskPayloadStore } from "../src/adapters/artifact-store/disk-payload-store.ts";
import { artifactLayout, blobPath, makeFolders } from "../src/adapters/artifact-store/layout.ts";
import {
  ARTIFACT_GARBAGE_MS,
  ARTIFACT_GRACE_EMPTY_MS,
  ARTIFACT_GRACE_MS,
  ArtifactGarbage,
} from "../src/app/artifact/garbage.ts";
import { temporaryDir } from "./support/store.ts";

const NOW_MS = 1_800_000_000_000;
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Real stores with these contents, each so old. */
function scene(ages: Readonly<Record<string, number>>, disk: Disk = nodeDisk) {
  const layout = artifactLayout(temporaryDir());
  makeFolders(layout);
  for (const [text, ageMs] of Object.entries(ages)) {
    const path = blobPath(layout, sha256(text));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    const seconds = (NOW_MS - ageMs) / 1_000;
    utimesSync(path, seconds, seconds);
  }
  const clock = new ManualClock({ wallMs: NOW_MS });
  const blobs = new DiskBlobStore({ layout, quotaBytes: 1_000 }, { disk, clock });
  const payloads = new DiskPayloadStore({ layout, quotaBytes: 500 }, { disk });
  const metrics = new RecordingMetrics();
  const needed = new Set<string>();
  const deltas: { base: string | undefined; target: string; profile: "fast" }[] = [];
  const garbage = new ArtifactGarbage({
    blobs,
    payloads,
    clock,
    log: silentLog(),
    metrics,
    needed: { contents: () => needed },
    deltas: {
      made: () =>
        deltas.map((d) => ({
          ...d,
          manifestSha256: sha256(d.target),
          manifestBytes: 1,
          payloadBytes: 1,
          memoryBytes: 1,
          codecBytes: {},
        })),
      drop: (work) => {
        deltas.splice(
          deltas.findIndex((d) => d.base === work.base && d.target === work.target),
          1,
        );
        return Promise.resolve();
      },
    },
  });
  const left = (): readonly string[] =>
    Object.keys(ages).filter((text) => blobs.sizeOf(sha256(text)) !== undefined);
  const need = (...texts: readonly string[]): void => {
    for (const text of texts) needed.add(sha256(text));
  };
  return { garbage, blobs, clock, metrics, need, left, deltas };
}

test("what nothing names goes after a day; what is needed, young, pinned or wanted again stays", async () => {
  const old = ARTIFACT_GRACE_MS + 1;
  const { garbage, blobs, need, left, metrics, clock } = scene({
    needed: old,
    young: ARTIFACT_GRACE_MS,
    pinned: old,
    wanted: old,
    garbage: old,
  });
  need("needed");
  const unpin = blobs.pin([sha256("pinned")]);
  await blobs.claim(sha256("wanted"));
  await garbage.collect();
  expect(left()).toEqual(["needed", "young", "pinned", "wanted"]);
  expect(metrics.total("flotilla_hub_artifact_garbage_total", { part: "contents" })).toBe(1);
  expect(metrics.total("flotilla_hub_artifact_garbage_bytes_total")).toBe(7);
  expect(metrics.value("flotilla_hub_artifact_stored", { part: "contents" })).toBe(4);
  expect(metrics.value("flotilla_hub_artifact_quota_bytes", { part: "payloads" })).toBe(500);
  unpin();
  await clock.advance(ARTIFACT_GRACE_MS);
  await garbage.collect();
  expect(left()).toEqual(["needed", "wanted"]);
});

test("a hub whose database is lost needs nothing, and still keeps its contents for a week", async () => {
  const { garbage, left, clock } = scene({ model: ARTIFACT_GRACE_MS + 1 });
  await garbage.collect();
  expect(left()).toEqual(["model"]);
  await clock.advance(ARTIFACT_GRACE_EMPTY_MS);
  await garbage.collect();
  expect(left()).toEqual([]);
});

test("deltas whose target or base is gone go with them; whole files need no base", async () => {
  const { garbage, need, deltas } = scene({ base: 0, target: 0 });
  need("base");
  const of = (base: string | undefined, target: string) => ({
    base: base === undefined ? undefined : sha256(base),
    target: sha256(target),
    profile: "fast" as const,
  });
  deltas.push(of("base", "target"), of("gone", "target"), of("base", "gone"));
  deltas.push(of(undefined, "target"), of(undefined, "gone"));
  await garbage.collect();
  expect(deltas).toEqual([of("base", "target"), of(undefined, "target")]);
});

test("a content that cannot be removed still counts, the others go, and it is tried again", async () => {
  let isBroken = true;
  const disk: Disk = {
    ...nodeDisk,
    unlink: (path) =>
      isBroken && path.endsWith(sha256("stuck"))
        ? Promise.reject(new Error("I/O error"))
        : nodeDisk.unlink(path),
  };
  const old = ARTIFACT_GRACE_MS + 1;
  const { garbage, need, left, blobs } = scene({ stuck: old, garbage: old, needed: old }, disk);
  need("needed");
  await expect(garbage.collect()).rejects.toThrow("I/O error");
  expect(left()).toEqual(["stuck", "needed"]);
  expect(blobs.usedBytes).toBe(11);
  isBroken = false;
  await garbage.collect();
  expect(left()).toEqual(["needed"]);
});

test("it collects at its times, not at the start, and ends when it is asked to", async () => {
  const { garbage, need, left, clock } = scene({ garbage: ARTIFACT_GRACE_MS + 1, needed: 0 });
  need("needed");
  const stop = new AbortController();
  const running = garbage.run(stop.signal);
  await clock.advance(ARTIFACT_GARBAGE_MS - 10_000);
  expect(left()).toContain("garbage");
  await clock.advance(20_000);
  await expect.poll(left).toEqual(["needed"]);
  stop.abort();
  await running;
});
