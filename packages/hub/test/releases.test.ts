import type { DesiredState } from "@flotilla/shared/model/desired-state";
import { DesiredState as DesiredStateSchema } from "@flotilla/shared/model/desired-state";
import { RecordingMetrics } from "@flotilla/shared/testing/recording-metrics";
import { Check } from "typebox/value";
import { describe, expect, onTestFinished, test } from "vitest";
import { NodeArtifacts } from "../src/app/artifact/node-artifacts.ts";
import { Prestager } from "../src/app/artifact/prestager.ts";
import { ReleaseController } from "../src/app/artifact/release-controller.ts";
import { DesiredService } from "../src/app/desired/desired-service.ts";
import { Scheduler } from "../src/app/scheduling/scheduler.ts";
import { hubCore, nodeIdOf } from "./support/hub-core.ts";
import { putRelease, releaseSpec } from "./support/releases.ts";
import { Shelf } from "./support/shelf.ts";
import { deployment, World } from "./support/world.ts";

const pinned = (version: string, replicas = 1) => ({
  components: [{ ...deployment("api", replicas), artifacts: [{ name: "detector", version }] }],
});

describe("the release controller", () => {
  function controllerOf(world: World, shelf: Shelf): ReleaseController {
    return new ReleaseController({}, { ...world.deps, contents: shelf, signed: shelf });
  }
  const readyOf = (world: World, name = "detector-2.3.0") =>
    world.store.get("Release", "", name)?.status?.conditions?.find((c) => c.type === "Ready");

  test("says when a release is stored and signed, at once, and until then what is missing", async () => {
    const world = new World();
    const shelf = new Shelf();
    const spec = releaseSpec("detector", "2.3.0", 7);
    const { target, length, sha256 } = spec.files[0] ?? { target: "", length: 0, sha256: "" };
    await world.apply("Artifact", "detector", { format: "onnx" });
    await world.apply("Release", "detector-2.3.0", spec);
    const end = new AbortController();
    const running = controllerOf(world, shelf).run(end.signal);
    onTestFinished(async () => {
      end.abort();
      await running;
      expect(shelf.listenerCount).toBe(0);
    });
    await world.clock.advance(100);
    expect(readyOf(world)).toMatchObject({ status: "False", reason: "NotStored" });
    shelf.stored.set(sha256, length);
    shelf.changed();
    await world.clock.advance(1_000);
    expect(readyOf(world)).toMatchObject({ status: "False", reason: "NotSigned" });
    shelf.listed.add(`${target} ${length} ${sha256}`);
    shelf.changed();
    await world.clock.advance(1_000);
    expect(readyOf(world)).toMatchObject({ status: "True" });
    expect(world.store.get("Artifact", "", "detector")?.status).toEqual({
      releases: 1,
      latestVersion: "2.3.0",
      latestCounter: 7,
      bytes: length,
    });
    expect(world.told.map((t) => `${t.about} ${t.reason}`)).toEqual([
      "Release/detector-2.3.0 Ready",
    ]);
  });

  test("refuses both of two releases that came to one counter at the same instant", async () => {
    const world = new World();
    await world.apply("Artifact", "detector", { format: "onnx" });
    await world.apply("Release", "detector-2.3.0", releaseSpec("detector", "2.3.0", 7));
    await world.apply("Release", "detector-2.4.0", releaseSpec("detector", "2.4.0", 7));
    const controller = controllerOf(world, new Shelf());
    await controller.pass();
    expect(readyOf(world)).toMatchObject({ reason: "CounterTaken" });
    expect(readyOf(world, "detector-2.4.0")).toMatchObject({
      reason: "CounterTaken",
      message: "detector-2.3.0 has counter 7 as well: delete one of them",
    });
    const revision = world.store.revision;
    await controller.pass();
    expect(world.store.revision).toBe(revision);
  });
});

/** Everything from kinds to signed states, on one store; `restart` is a hub that remembers nothing but the store. */
async function scene() {
  const world = new World();
  for (const site of ["a", "b"]) await world.apply("Site", site, {});
  await world.node("a1", "a");
  await world.node("b1", "b");
  const make = () => {
    const metrics = new RecordingMetrics();
    const scheduler = new Scheduler({ store: world.store });
    const prestager = new Prestager({}, { ...world.deps, metrics, scheduler });
    const forNodes = new NodeArtifacts({
      store: world.store,
      prestager,
      serverUrl: () => "https://hub.example:8443",
    });
    const told: string[] = [];
    forNodes.onChange((nodes) => told.push(...nodes));
    return { prestager, forNodes, told, metrics };
  };
  const heldBy = ({ prestager }: ReturnType<typeof make>, node: string): readonly string[] =>
    prestager.prestageOf(node).map((r) => `${r.name} ${r.version}`);
  return { world, make, heldBy };
}

describe("the prestager", () => {
  test("has what somebody asked for held where it is asked, and takes it back", async () => {
    const { world, make, heldBy } = await scene();
    const hub = make();
    await hub.prestager.pass();
    expect(hub.told).toEqual([]);
    await putRelease(world, releaseSpec("detector", "2.3.0", 7, { prestage: { sites: ["a"] } }));
    await hub.prestager.pass();
    expect(hub.told).toEqual(["a1"]);
    expect([heldBy(hub, "a1"), heldBy(hub, "b1")]).toEqual([["detector 2.3.0"], []]);
    expect(hub.metrics.value("flotilla_hub_prestaged_releases", { cause: "asked" })).toBe(1);
    expect([...hub.prestager.releases()]).toEqual(["detector-2.3.0"]);
    // A hub that has just started says the same, before its first pass.
    expect(heldBy(make(), "a1")).toEqual(["detector 2.3.0"]);
    await putRelease(world, releaseSpec("detector", "2.3.0", 7));
    await hub.prestager.pass();
    expect(hub.told).toEqual(["a1", "a1"]);
    expect(heldBy(hub, "a1")).toEqual([]);
  });

  test("prepares the next release of what runs, but in no hour in which the site is busy", async () => {
    const { world, make, heldBy } = await scene();
    await putRelease(world, releaseSpec("detector", "2.2.0", 6));
    await world.apply("Application", "web", pinned("2.2.0", 2));
    await world.converge();
    const hub = make();
    const release = async (version: string, counter: number): Promise<void> => {
      await putRelease(world, releaseSpec("detector", version, counter));
      const made = world.store.get("Release", "", `detector-${version}`);
      if (made === undefined) throw new Error("it was put");
      const creationTimestamp = "2025-06-15T00:00:00.000Z";
      await world.put({ ...made, metadata: { ...made.metadata, creationTimestamp } });
    };
    await release("2.3.0", 7);
    await hub.prestager.pass();
    expect([heldBy(hub, "a1"), heldBy(hub, "b1")]).toEqual([
      ["detector 2.3.0"],
      ["detector 2.3.0"],
    ]);
    // What is asked of site a is what it begins; at this hour (15, UTC) it is much used.
    const site = world.store.get("Site", "", "a");
    if (site === undefined) throw new Error("it was put");
    const load = Array.from({ length: 24 }, (_, hour) => ({
      hour,
      cpuRatio: hour === 15 ? 0.9 : 0.1,
    }));
    await world.put({ ...site, status: { ...site.status, load } });
    const busy = make();
    await release("2.4.0", 8);
    await busy.prestager.pass();
    expect([heldBy(busy, "a1"), heldBy(busy, "b1")]).toEqual([[], ["detector 2.4.0"]]);
  });

  test("has ready what a standby would take over, and what waits for what runs here", async () => {
    const { world, make, heldBy } = await scene();
    await putRelease(world, releaseSpec("detector", "2.3.0", 7));
    await putRelease(world, releaseSpec("labels", "1.0.0", 1));
    await world.apply("PropagationPolicy", "p", {
      targetRef: { apiVersion: "apps.kurator.dev/v1alpha1", kind: "Application", name: "web" },
      placement: { siteAffinity: { siteNames: ["a", "b"] } },
      distribution: { mode: "ActiveStandby" },
    });
    await world.apply("Application", "web", pinned("2.3.0"));
    const waiting = {
      ...deployment("api", 1, { rest: { dependsOn: ["db"] } }),
      artifacts: [{ name: "labels", version: "1.0.0" }],
    };
    // Further down the chain, and for hardware that is not there.
    const constraints = { hardwareIds: ["orin"] };
    await putRelease(world, releaseSpec("index", "1.0.0", 1));
    await putRelease(world, releaseSpec("codec", "1.0.0", 1, { constraints }));
    const behind = (name: string, artifact: string) => ({
      ...deployment(name, 1, { rest: { dependsOn: ["api"] } }),
      artifacts: [{ name: artifact, version: "1.0.0" }],
    });
    const onA = { placement: { siteAffinity: { siteNames: ["a"] } } };
    await world.apply("Application", "shop", {
      components: [
        deployment("db", 1, { rest: onA }),
        waiting,
        behind("search", "index"),
        behind("video", "codec"),
      ],
    });
    await world.settle();
    expect(world.placement()).toEqual({ "web-api-0": "a1", "shop-db-0": "a1" });
    const hub = make();
    await hub.prestager.pass();
    expect([heldBy(hub, "a1"), heldBy(hub, "b1")]).toEqual([
      ["index 1.0.0", "labels 1.0.0"],
      ["detector 2.3.0"],
    ]);
    expect(hub.metrics.value("flotilla_hub_prestaged_releases", { cause: "dependency" })).toBe(3);
    await world.converge();
    await hub.prestager.pass();
    // What was waited for is placed: it is asked of its own node, as what runs there.
    expect(heldBy(hub, "a1")).not.toContain("labels 1.0.0");
  });

  test("learns how busy a site is from what its nodes report, and writes it once an hour", async () => {
    const { world, make } = await scene();
    await putRelease(world, releaseSpec("detector", "2.2.0", 6));
    const hub = make();
    for (let i = 0; i < 14; i++) {
      await hub.prestager.pass();
      await world.clock.advance(300_000);
    }
    expect(world.store.get("Site", "", "a")?.status?.load).toEqual([
      { hour: 15, cpuRatio: 0.2 },
      { hour: 16, cpuRatio: 0.2 },
    ]);
  });

  test("sums up what nodes say that it was good for", async () => {
    const { world, make } = await scene();
    const hub = make();
    for (const [name, hits] of [
      ["a1", 2],
      ["b1", 3],
    ] as const) {
      const node = world.store.get("EdgeNode", "", name);
      if (node === undefined) throw new Error("it was put");
      const artifacts = { held: [], bytes: 0, prestageHits: hits, prestageHitBytes: hits * 10 };
      await world.put({ ...node, status: { ...node.status, artifacts } });
    }
    await hub.prestager.pass();
    expect(hub.metrics.value("flotilla_hub_prestage_hits", {})).toBe(5);
    expect(hub.metrics.value("flotilla_hub_prestage_hit_bytes", {})).toBe(50);
  });
});

describe("a node's signed state", () => {
  async function signing() {
    const { world, make } = await scene();
    const hub = make();
    const core = hubCore(world.store, world.clock);
    const desired = new DesiredService({
      ...core,
      events: world.events,
      probes: { planOf: () => undefined, onChange: () => undefined },
      signer: { keyId: "0123456789abcdef", publicKey: "", sign: () => "signature" },
      sha256: world.deps.sha256,
      artifacts: hub.forNodes,
    });
    const end = new AbortController();
    const running = desired.run(end.signal);
    onTestFinished(async () => {
      end.abort();
      await running;
    });
    const stateOf = async (node: string): Promise<DesiredState | undefined> => {
      await world.clock.advance(500);
      const message = desired.answerDesiredGet(nodeIdOf(node), 0);
      if (message?.kind !== "desired") return undefined;
      const state: unknown = JSON.parse(message.body.payload);
      if (!Check(DesiredStateSchema, state)) throw new Error("it is no desired state");
      return state;
    };
    return { world, hub, stateOf };
  }

  test("names the artifacts of its instances, where bytes come from, and what is to lie ready", async () => {
    const { world, hub, stateOf } = await signing();
    await world.apply("Application", "plain", {
      components: [deployment("api", 2, { port: 80 })],
    });
    await world.settle();
    const plain = await stateOf("a1");
    expect(Object.keys(plain ?? {}).toSorted()).toEqual([
      "instances",
      "issuedAt",
      "nodeId",
      "revision",
    ]);
    await putRelease(world, releaseSpec("detector", "2.3.0", 7, { prestage: {} }));
    await world.apply("Application", "web", {
      components: [
        {
          ...deployment("api", 1, { rest: { placement: { siteAffinity: { siteNames: ["a"] } } } }),
          artifacts: [{ name: "detector", version: "2.3.0" }],
        },
      ],
    });
    await world.settle();
    await hub.prestager.pass();
    const { files } = releaseSpec("detector", "2.3.0", 7);
    const release = { name: "detector", version: "2.3.0", counter: 7, files };
    expect(await stateOf("a1")).toMatchObject({
      delivery: { server: "https://hub.example:8443" },
      instances: [
        { id: "shop.plain.api-0" },
        { id: "shop.web.api-0", artifacts: [{ ...release, path: "detector", reload: "restart" }] },
      ],
    });
    // It runs there, so it need not lie ready there.
    expect((await stateOf("a1"))?.prestage).toBeUndefined();
    expect(await stateOf("b1")).toMatchObject({ prestage: [release] });
  });

  test("is signed anew when its site fetches otherwise, and stays when nothing of it changed", async () => {
    const { world, hub, stateOf } = await signing();
    await putRelease(world, releaseSpec("detector", "2.3.0", 7, { prestage: {} }));
    await hub.prestager.pass();
    expect((await stateOf("a1"))?.revision).toBe(1);
    await hub.prestager.pass();
    const windows = [{ start: "0 22 * * *", duration: "6h", timeZone: "Europe/Berlin" }];
    await world.apply("Site", "a", {
      delivery: { bytesPerSecond: "512Ki", windows, metered: true, peers: false },
    });
    expect(await stateOf("a1")).toMatchObject({
      revision: 2,
      delivery: {
        server: "https://hub.example:8443",
        bytesPerSecond: 524_288,
        windows: [{ start: "0 22 * * *", durationMs: 21_600_000, timeZone: "Europe/Berlin" }],
        isMetered: true,
      },
    });
    expect((await stateOf("b1"))?.revision).toBe(1);
    await world.apply("Site", "a", {
      delivery: { bytesPerSecond: "512Ki", windows, metered: true },
      region: "eu",
    });
    expect((await stateOf("a1"))?.revision).toBe(2);
  });
});
