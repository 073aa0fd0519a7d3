import type { ObjectOf } from "@flotilla/shared/model/kinds";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { assignment, desiredInstance, edgeNode } from "../../../test/support/node-builders.ts";
import { type NeedView, neededContents, neededReleases } from "./needed.ts";

type Release = ObjectOf<"Release">;

const sha = (counter: number): string => counter.toString(16).padStart(64, "0");
function release(counter: number, spec: Partial<Release["spec"]> = {}): Release {
  const version = `${counter}.0.0`;
  return {
    apiVersion: "artifacts.kurator.dev/v1alpha1",
    kind: "Release",
    metadata: { name: `m-${version}`, uid: version, generation: 1 },
    spec: {
      artifact: "m",
      version,
      counter,
      files: [{ path: "f", target: `m/${counter}/f`, length: 1, sha256: sha(counter) }],
      ...spec,
    },
  };
}
const artifact = (keep: number): ObjectOf<"Artifact"> => ({
  apiVersion: "artifacts.kurator.dev/v1alpha1",
  kind: "Artifact",
  metadata: { name: "m", uid: "m", generation: 1 },
  spec: { format: "raw", keep },
});
const application = (version: string): ObjectOf<"Application"> => ({
  apiVersion: "apps.kurator.dev/v1alpha1",
  kind: "Application",
  metadata: { name: "web", namespace: "shop", uid: "web", generation: 1 },
  spec: {
    components: [
      {
        name: "api",
        type: "Deployment",
        artifacts: [{ name: "m", version }],
        template: {
          spec: {
            replicas: 1,
            template: { spec: { containers: [{ name: "c", command: ["x"] }] } },
          },
        },
      },
    ],
  },
});
/** Asked to run with one, and running with another that it may have to go back to. */
function running(asked: number, active: number): ObjectOf<"Assignment"> {
  const { files } = release(asked).spec;
  const pin = {
    name: "m",
    version: `${asked}.0.0`,
    counter: asked,
    files,
    path: "m",
    reload: "restart" as const,
    healthWindowMs: 0,
  };
  const made = assignment(
    "web-api-0",
    "n1",
    desiredInstance("shop.web.api-0", { artifacts: [pin] }),
  );
  const artifacts = [
    {
      name: "m",
      version: `${asked}.0.0`,
      phase: "Downloading" as const,
      activeVersion: `${active}.0.0`,
    },
  ];
  const reported = {
    id: "shop.web.api-0",
    specDigest: "d",
    phase: "Running" as const,
    ready: true,
    restartCount: 0,
    artifacts,
  };
  return { ...made, status: { reported, reportedBy: "n1" } };
}
const holding = (counter: number): ObjectOf<"EdgeNode"> => ({
  ...edgeNode("n1"),
  status: { life: "lost", artifacts: { held: [{ name: "m", counter }], bytes: 1 } },
});
const view = (change: Partial<NeedView> = {}): NeedView => ({
  artifacts: [artifact(1)],
  releases: [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => release(n)),
  applications: [],
  assignments: [],
  nodes: [],
  prestaged: new Set(),
  ...change,
});
const counters = (v: NeedView): readonly number[] => neededReleases(v).map((r) => r.spec.counter);

describe("what may still be asked for is kept", () => {
  test.each<[string, Partial<NeedView>, readonly number[]]>([
    ["the newest", {}, [9]],
    ["as many as the artifact says", { artifacts: [artifact(3)] }, [7, 8, 9]],
    ["five where nothing is said", { artifacts: [] }, [5, 6, 7, 8, 9]],
    ["what an Application pins", { applications: [application("2.0.0")] }, [2, 9]],
    ["what an instance is to have, and has", { assignments: [running(4, 3)] }, [3, 4, 9]],
    ["what a node holds, be it lost", { nodes: [holding(1)] }, [1, 9]],
    ["what is to lie ready", { prestaged: new Set(["m-6.0.0"]) }, [6, 9]],
  ])("%s", (_, change, expected) => {
    expect(counters(view(change))).toEqual(expected);
  });

  test("what is marked to be kept, or to lie ready where a node may come", () => {
    const releases = [
      release(1, { keep: true }),
      release(2, { prestage: {} }),
      release(3),
      release(4),
    ];
    expect(counters(view({ releases }))).toEqual([1, 2, 4]);
  });
});

test("a content that a needed release shares with an old one stays", () => {
  const { files } = release(1).spec;
  const releases = [release(1), release(2), release(3, { files })];
  expect(neededContents(view({ releases }))).toEqual(new Set([sha(1)]));
});

test("nothing that is in use is ever let go, whatever else there is", () => {
  const some = fc.integer({ min: 1, max: 9 });
  fc.assert(
    fc.property(
      fc.record({ pin: some, asked: some, active: some, held: some, keep: some }),
      (use) => {
        const contents = neededContents(
          view({
            artifacts: [artifact(use.keep)],
            applications: [application(`${use.pin}.0.0`)],
            assignments: [running(use.asked, use.active)],
            nodes: [holding(use.held)],
          }),
        );
        const wanted = [use.pin, use.asked, use.active, use.held];
        for (let n = 9; n > 9 - use.keep; n--) wanted.push(n);
        expect(contents).toEqual(new Set(wanted.map(sha)));
      },
    ),
    { seed: 42, numRuns: 200 },
  );
});
