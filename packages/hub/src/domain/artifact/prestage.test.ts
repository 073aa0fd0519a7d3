import { isoTime, parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { NO_CAPACITY } from "@flotilla/shared/scheduling/facts";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  PRESTAGE_CAUSES,
  PRESTAGE_EXPECTED_MS,
  PRESTAGED_FILES_MAX,
  type PrestageView,
  prestagedReleases,
  prestagingsOf,
  releaseBook,
} from "./prestage.ts";

type Release = ObjectOf<"Release">;
const NOW = parseIsoTimeMs("2026-06-01T00:00:00Z") ?? 0;

function release(
  artifact: string,
  version: string,
  counter: number,
  change: {
    readonly spec?: Partial<Release["spec"]>;
    readonly ready?: boolean;
    readonly madeMs?: number;
    readonly rolledBack?: number;
    readonly fileCount?: number;
  } = {},
): Release {
  const files = Array.from({ length: change.fileCount ?? 1 }, (_, i) => ({
    path: `f${i}`,
    target: `${artifact}/${counter}/f${i}`,
    length: 1,
    sha256: "a".repeat(64),
  }));
  const name = `${artifact}-${version}`;
  const status = change.ready === false ? ("False" as const) : ("True" as const);
  return {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Release",
    metadata: {
      name,
      uid: name,
      generation: 1,
      creationTimestamp: isoTime(change.madeMs ?? NOW),
    },
    spec: { artifact, version, counter, files, ...change.spec },
    status: {
      conditions: [{ type: "Ready", status, reason: "", message: "", lastTransitionTime: "" }],
      rolledBack: change.rolledBack ?? 0,
    },
  };
}
const view = (change: Partial<PrestageView> = {}): PrestageView => ({
  node: {
    labels: { pool: "a" },
    capacity: { ...NO_CAPACITY, memoryBytes: 8 },
    site: { name: "s1" },
  },
  runs: [],
  foreseen: new Set(),
  held: new Set(),
  isBusy: false,
  isMetered: false,
  ...change,
});
const of = (v: PrestageView, ...releases: readonly Release[]): readonly string[] =>
  prestagingsOf(v, releaseBook(releases), NOW).map((p) => `${p.cause} ${p.release.metadata.name}`);
const runs22 = { runs: [{ name: "d", version: "2.2.0", counter: 6 }] };

describe("asked", () => {
  test.each<[object, readonly string[]]>([
    [{}, ["asked d-1.0.0"]],
    [{ sites: ["s1", "s2"] }, ["asked d-1.0.0"]],
    [{ sites: ["s2"] }, []],
    [{ nodeSelector: { matchLabels: { pool: "a" } } }, ["asked d-1.0.0"]],
    [{ nodeSelector: { matchLabels: { pool: "b" } } }, []],
  ])("where %j means the node", (prestage, expected) => {
    expect(of(view({ isBusy: true }), release("d", "1.0.0", 1, { spec: { prestage } }))).toEqual(
      expected,
    );
  });

  test("only of what is ready, and only where it can run", () => {
    const prestage = {};
    expect(of(view(), release("d", "1.0.0", 1, { spec: { prestage }, ready: false }))).toEqual([]);
    const constraints = { hardwareIds: ["orin"] };
    expect(of(view(), release("d", "1.0.0", 1, { spec: { prestage, constraints } }))).toEqual([]);
    const memory = { constraints: { memory: "9" } };
    expect(of(view(), release("d", "1.0.0", 1, { spec: { prestage, ...memory } }))).toEqual([]);
  });
});

test("what may have to be taken over is held at any time", () => {
  const foreseen = new Set(["d-1.0.0", "gone-1.0.0"]);
  expect(of(view({ foreseen, isBusy: true, isMetered: true }), release("d", "1.0.0", 1))).toEqual([
    "dependency d-1.0.0",
  ]);
});

describe("the next release of what runs", () => {
  test("is prepared before its rollout begins, and no other of the artifact", () => {
    const all = [release("d", "2.1.0", 5), release("d", "2.2.0", 6), release("d", "2.3.0", 7)];
    expect(of(view(runs22), ...all, release("d", "2.4.0", 8), release("e", "1.0.0", 1))).toEqual([
      "access d-2.4.0",
    ]);
    expect(of(view(runs22), ...all.slice(0, 2))).toEqual([]);
  });

  test("waits for a quiet hour, does not cost by the byte, and once begun is not given up", () => {
    const next = release("d", "2.3.0", 7);
    expect(of(view({ ...runs22, isBusy: true }), next)).toEqual([]);
    expect(of(view({ ...runs22, isMetered: true }), next)).toEqual([]);
    const held = new Set(["d-2.3.0"]);
    expect(of(view({ ...runs22, isBusy: true, held }), next)).toEqual(["access d-2.3.0"]);
  });

  test("is no pre-release for who runs final versions, none that failed, and none that nobody took for long", () => {
    const rc = release("d", "2.3.0-rc.1", 7);
    expect(of(view(runs22), rc)).toEqual([]);
    expect(of(view({ runs: [{ name: "d", version: "2.3.0-rc.0", counter: 6 }] }), rc)).toEqual([
      "access d-2.3.0-rc.1",
    ]);
    expect(of(view(runs22), release("d", "2.3.0", 7, { rolledBack: 1 }))).toEqual([]);
    const madeMs = NOW - PRESTAGE_EXPECTED_MS;
    expect(of(view(runs22), release("d", "2.3.0", 7, { madeMs }))).toEqual([]);
    expect(of(view(runs22), release("d", "2.3.0", 7, { madeMs: madeMs + 1 }))).toEqual([
      "access d-2.3.0",
    ]);
  });
});

test("releases are whole and within bounds, the most urgent first, and nothing that runs is among them", () => {
  const releases = fc.array(
    fc.record({
      artifact: fc.constantFrom("a", "b", "c"),
      counter: fc.integer({ min: 1, max: 90 }),
      isAsked: fc.boolean(),
      ready: fc.boolean(),
      fileCount: fc.integer({ min: 1, max: 256 }),
    }),
    { maxLength: 120 },
  );
  fc.assert(
    fc.property(
      releases,
      fc.boolean(),
      fc.integer({ min: 1, max: 90 }),
      (list, isBusy, counter) => {
        const made = list.map((r) =>
          release(r.artifact, `${r.counter}.0.0`, r.counter, {
            ready: r.ready,
            fileCount: r.fileCount,
            ...(r.isAsked ? { spec: { prestage: {} } } : {}),
          }),
        );
        const runs = ["a", "b"].map((name) => ({ name, version: `${counter}.0.0`, counter }));
        const v = view({ runs, isBusy, foreseen: new Set(["c-5.0.0"]) });
        const found = prestagingsOf(v, releaseBook(made), NOW);
        const files = found.flatMap((p) => p.release.spec.files);
        const ranks = found.map((p) => PRESTAGE_CAUSES.indexOf(p.cause));
        expect(found.length).toBeLessThanOrEqual(64);
        expect(files.length).toBeLessThanOrEqual(PRESTAGED_FILES_MAX);
        expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
        const names = found.map((p) => p.release.metadata.name);
        expect(new Set(names).size).toBe(names.length);
        expect(names).not.toContain(`a-${counter}.0.0`);
        expect(found.every((p) => p.release.status?.conditions?.[0]?.status === "True")).toBe(true);
        // The same releases are the same text, in whatever order they were found.
        expect(prestagedReleases(found.toReversed())).toEqual(prestagedReleases(found));
      },
    ),
    { seed: 42, numRuns: 100 },
  );
});
