import { DesiredState } from "@flotilla/shared/model/desired-state";
import { Check } from "typebox/value";
import { expect, onTestFinished, test } from "vitest";
import { NodeArtifacts } from "../src/app/artifact/node-artifacts.ts";
import { Prestager } from "../src/app/artifact/prestager.ts";
import { ReleaseController } from "../src/app/artifact/release-controller.ts";
import { DesiredService } from "../src/app/desired/desired-service.ts";
import { Scheduler } from "../src/app/scheduling/scheduler.ts";
import { hubCore, nodeIdOf } from "./support/hub-core.ts";
import { releaseSpec, reportArtifacts } from "./support/releases.ts";
import {
  application,
  DELETE,
  deployment,
  refusal,
  STRICT,
  testResources,
} from "./support/resources.ts";
import { Shelf } from "./support/shelf.ts";
import { World } from "./support/world.ts";

const group = { apiVersion: "artifacts.kurator.dev/v1alpha1" };
const release = (version: string, counter: number) => ({
  ...group,
  kind: "Release",
  metadata: { name: `detector-${version}` },
  spec: releaseSpec("detector", version, counter),
});

/** The resource API and every service between it and a node's signed state, on a store on disk. */
async function hub() {
  const { service, store } = testResources();
  const world = new World(store);
  const shelf = new Shelf();
  const scheduler = new Scheduler({ store });
  const prestager = new Prestager({}, { ...world.deps, scheduler });
  const artifacts = new NodeArtifacts({ store, prestager, serverUrl: () => "https://hub:8443" });
  const desired = new DesiredService({
    ...hubCore(store, world.clock),
    events: world.events,
    probes: { planOf: () => undefined, onChange: () => undefined },
    signer: { keyId: "0123456789abcdef", publicKey: "", sign: () => "signature" },
    sha256: world.deps.sha256,
    artifacts,
  });
  const releases = new ReleaseController({}, { ...world.deps, contents: shelf, signed: shelf });
  const applications = world.controller({ scheduler });
  const end = new AbortController();
  const running = desired.run(end.signal);
  onTestFinished(async () => {
    end.abort();
    await running;
  });
  /** Passes of everything, until nothing is written any more. */
  const settle = async (): Promise<void> => {
    for (let before = -1; before !== store.revision; ) {
      before = store.revision;
      await releases.pass();
      await applications.pass();
      await prestager.pass();
      await world.clock.advance(200);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  /** The files of a release are uploaded, and listed by metadata that is published. */
  const deliver = (version: string, counter: number): void => {
    for (const file of releaseSpec("detector", version, counter).files) {
      shelf.stored.set(file.sha256, file.length);
      shelf.listed.add(`${file.target} ${file.length} ${file.sha256}`);
    }
  };
  const stateOf = (node: string): DesiredState | undefined => {
    const message = desired.answerDesiredGet(nodeIdOf(node), 0);
    const state: unknown = message?.kind === "desired" ? JSON.parse(message.body.payload) : {};
    return Check(DesiredState, state) ? state : undefined;
  };
  return { service, world, settle, deliver, stateOf };
}

test("from the API to a node: an artifact, its releases and an Application that pins them", async () => {
  const { service, world, settle, deliver, stateOf } = await hub();
  const create = (kind: "Artifact" | "Release" | "Application" | "Site", body: object) =>
    service.create(kind, kind === "Application" ? "shop" : "", body, STRICT);
  await create("Site", {
    apiVersion: "edge.kurator.dev/v1alpha1",
    kind: "Site",
    metadata: { name: "plant" },
    spec: { delivery: { bytesPerSecond: "1Mi" } },
  });
  await world.node("n1", "plant");
  const pinned = (version: string) =>
    application("web", [
      {
        ...deployment("api", { command: ["/bin/serve"] }),
        artifacts: [{ name: "detector", version }],
      },
    ]);
  // In whatever order: what is missing is waited for.
  await create("Application", pinned("2.2.0"));
  await create("Release", release("2.2.0", 6));
  await settle();
  expect(stateOf("n1")).toBeUndefined();
  await create("Artifact", {
    ...group,
    kind: "Artifact",
    metadata: { name: "detector" },
    spec: { format: "onnx" },
  });
  deliver("2.2.0", 6);
  await settle();
  const { files } = releaseSpec("detector", "2.2.0", 6);
  expect(stateOf("n1")).toMatchObject({
    revision: 1,
    delivery: { server: "https://hub:8443", bytesPerSecond: 1_048_576 },
    instances: [
      {
        id: "shop.web.api-0",
        artifacts: [{ name: "detector", version: "2.2.0", counter: 6, path: "detector", files }],
      },
    ],
  });
  const active = { name: "detector", version: "2.2.0", phase: "Active", activeVersion: "2.2.0" };
  await reportArtifacts(world, "web-api-0", [{ ...active, phase: "Active" }]);
  // The next release lies ready before anybody pins it.
  await create("Release", release("2.3.0", 7));
  deliver("2.3.0", 7);
  await settle();
  expect(stateOf("n1")).toMatchObject({
    revision: 2,
    instances: [{ artifacts: [{ version: "2.2.0" }] }],
    prestage: [{ name: "detector", version: "2.3.0", counter: 7 }],
  });
  const target = { kind: "Application", namespace: "shop", name: "web" } as const;
  await service.mergePatch(target, { spec: pinned("2.3.0").spec }, STRICT);
  await settle();
  const state = stateOf("n1");
  expect(state?.instances[0]?.artifacts).toMatchObject([{ version: "2.3.0", counter: 7 }]);
  expect(state?.prestage).toBeUndefined();
  // What is still running on the node stays, and what is told of it is what the node said.
  const removal = await refusal(() => service.remove("Release", "", "detector-2.2.0", DELETE));
  expect(removal).toMatchObject({
    code: 409,
    message: expect.stringContaining("instance shop/web-api-0 runs with it on n1"),
  });
  expect(service.get("Release", "", "detector-2.2.0")).toMatchObject({
    status: { active: 1, heldBy: 0, rolledBack: 0 },
  });
  expect(service.get("Artifact", "", "detector")).toMatchObject({
    status: { releases: 2, latestVersion: "2.3.0" },
  });
});
