import { createHash } from "node:crypto";
import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { ArtifactPin, ReportedArtifact } from "@flotilla/shared/model/artifact";
import { describe, expect, test } from "vitest";
import { Scheduler } from "../src/app/scheduling/scheduler.ts";
import { inventory } from "./support/node-builders.ts";
import { putRelease, releaseSpec, reportArtifacts } from "./support/releases.ts";
import { deployment, World } from "./support/world.ts";

const pinned = (pins: readonly ArtifactPin[], replicas = 1, version?: string) => ({
  components: [
    {
      ...deployment("api", replicas, version === undefined ? {} : { version }),
      artifacts: [...pins],
    },
  ],
});
const detector = (version: string, more: Partial<ArtifactPin> = {}): ArtifactPin => ({
  name: "detector",
  version,
  ...more,
});
const active = (version: string): ReportedArtifact => ({
  name: "detector",
  version,
  phase: "Active",
  activeVersion: version,
});

async function oneNode(): Promise<World> {
  const world = new World();
  await world.apply("Site", "site-1", {});
  await world.node("a1");
  return world;
}

/** Every node does what it is asked, and its artifacts are active. */
async function agentsInstall(world: World): Promise<void> {
  for (const a of world.assignments())
    if (a.spec.node !== undefined)
      await reportArtifacts(
        world,
        a.metadata.name,
        (a.spec.desired.artifacts ?? []).map((p) => ({
          ...active(p.version),
          name: p.name,
        })),
      );
}

describe("a pin", () => {
  test("of a release that nobody pushed is a problem with a mend, and of one that is not ready is waited for", async () => {
    const world = await oneNode();
    await world.apply("Application", "web", pinned([detector("2.3.0")]));
    const controller = world.controller();
    await world.settle(controller);
    expect(world.condition("Progressing")).toMatchObject({
      status: "False",
      reason: "ComponentInvalid",
      message:
        'api: artifact detector has no release 2.3.0; push it, or pin a version that is listed by "kubectl get releases"',
    });
    await putRelease(world, releaseSpec("detector", "2.3.0", 7), false);
    await world.settle(controller);
    expect(world.assignments()).toEqual([]);
    expect(world.application().status?.phase).toBe("Pending");
    expect(world.condition("Progressing")).toMatchObject({
      reason: "Waiting",
      message: "api: release detector 2.3.0 is not ready yet: 1 of 1 files is not signed",
    });
    await putRelease(world, releaseSpec("detector", "2.3.0", 7));
    await world.settle(controller);
    expect(world.assignment("web-api-0").spec).toMatchObject({
      node: "a1",
      desired: {
        artifacts: [
          {
            name: "detector",
            version: "2.3.0",
            counter: 7,
            path: "detector",
            reload: "restart",
            healthWindowMs: 30_000,
            files: releaseSpec("detector", "2.3.0", 7).files,
          },
        ],
      },
    });
  });

  test("says all that the node needs to know", async () => {
    const world = await oneNode();
    await putRelease(world, releaseSpec("detector", "2.3.0", 7));
    await putRelease(world, releaseSpec("labels", "1.0.0", 1));
    const pins: ArtifactPin[] = [
      detector("2.3.0", { path: "m/d", reload: "signal", healthWindow: "1m30s" }),
      { name: "labels", version: "1.0.0", reload: "http", http: { port: 8080, path: "/reload" } },
    ];
    await world.apply("Application", "web", pinned(pins));
    await world.settle();
    expect(world.assignment("web-api-0").spec.desired.artifacts).toMatchObject([
      { name: "detector", path: "m/d", reload: "signal", signal: "SIGHUP", healthWindowMs: 90_000 },
      { name: "labels", path: "labels", reload: "http", http: { port: 8080, path: "/reload" } },
    ]);
  });

  test("is the business of the Applications that name it, and of no other", async () => {
    const world = await oneNode();
    await world.apply("Application", "web", pinned([detector("2.3.0")]));
    await world.apply("Application", "shop", pinned([detector("2.2.0")]));
    const { mirror } = new Scheduler({ store: world.store });
    mirror.takeChanges();
    await putRelease(world, releaseSpec("detector", "2.3.0", 7));
    expect(mirror.takeChanges()).toMatchObject({
      applications: new Set(["shop/web"]),
      all: false,
    });
    const release = world.store.get("Release", "", "detector-2.3.0");
    if (release === undefined) throw new Error("it was put");
    await world.put({ ...release, status: { ...release.status, heldBy: 5 } });
    expect(mirror.takeChanges().applications.size).toBe(0);
  });
});

describe("the digest that means a restart", () => {
  const digestOf = async (pins: readonly ArtifactPin[]): Promise<string> => {
    const world = await oneNode();
    await putRelease(world, releaseSpec("detector", "2.3.0", 7));
    await putRelease(world, releaseSpec("detector", "2.4.0", 8));
    // The same content as 2.3.0.
    await putRelease(
      world,
      releaseSpec("detector", "2.5.0", 9, { files: releaseSpec("detector", "2.3.0", 7).files }),
    );
    await world.apply("Application", "web", pinned(pins));
    await world.settle();
    return world.assignment("web-api-0").spec.desired.specDigest;
  };

  test("is without artifacts what it always was", async () => {
    const [containers, restartPolicy] = [
      deployment("api", 1).template.spec.template.spec.containers,
      "Always",
    ];
    const text = canonicalJson({ containers, restartPolicy });
    expect(await digestOf([])).toBe(createHash("sha256").update(text).digest("hex"));
  });

  test("changes with the content of what is switched by a restart, and with nothing else of it", async () => {
    const base = await digestOf([detector("2.3.0")]);
    expect(await digestOf([detector("2.4.0")])).not.toBe(base);
    expect(await digestOf([detector("2.3.0", { path: "other" })])).not.toBe(base);
    expect(await digestOf([detector("2.5.0")])).toBe(base);
    expect(await digestOf([detector("2.3.0", { healthWindow: "5m" })])).toBe(base);
  });

  test("does not change with what is reloaded live", async () => {
    const live = { reload: "signal" } as const;
    const base = await digestOf([detector("2.3.0", live)]);
    expect(await digestOf([detector("2.4.0", live)])).toBe(base);
    expect(await digestOf([])).not.toBe(base);
  });
});

describe("a new version", () => {
  async function fourRunning(reload: ArtifactPin["reload"]): Promise<World> {
    const world = await oneNode();
    await putRelease(world, releaseSpec("detector", "2.2.0", 6));
    await putRelease(world, releaseSpec("detector", "2.3.0", 7));
    const pin = reload === undefined ? {} : { reload };
    await world.apply("Application", "web", pinned([detector("2.2.0", pin)], 4));
    await world.settle();
    await agentsInstall(world);
    await world.settle();
    expect(world.application().status).toMatchObject({
      phase: "Running",
      components: [{ ready: 4, updated: 4 }],
    });
    await world.apply("Application", "web", pinned([detector("2.3.0", pin)], 4));
    await world.settle();
    return world;
  }
  const asked = (world: World): readonly string[] =>
    world.assignments().map((a) => a.spec.desired.artifacts?.[0]?.version ?? "none");

  test.each(["restart", "signal"] as const)(
    "is rolled out in steps that wait for it to be active (%s)",
    async (reload) => {
      const world = await fourRunning(reload);
      expect(asked(world)).toEqual(["2.3.0", "2.2.0", "2.2.0", "2.2.0"]);
      // It serves with what it had, and is not updated.
      expect(world.application().status?.components?.[0]).toMatchObject({ ready: 4, updated: 0 });
      const before = world.assignment("web-api-1").spec.desired.specDigest;
      const phase = { ...active("2.3.0"), activeVersion: "2.2.0" };
      await reportArtifacts(world, "web-api-0", [{ ...phase, phase: "Downloading" }], before);
      await world.settle();
      expect(asked(world)).toEqual(["2.3.0", "2.2.0", "2.2.0", "2.2.0"]);
      expect(world.application().status?.components?.[0]).toMatchObject({ ready: 4, running: 4 });
      await reportArtifacts(world, "web-api-0", [active("2.3.0")]);
      await world.settle();
      expect(asked(world)).toEqual(["2.3.0", "2.3.0", "2.2.0", "2.2.0"]);
      expect(world.application().status?.components?.[0]).toMatchObject({ ready: 4, updated: 1 });
      for (const name of ["web-api-1", "web-api-2", "web-api-3"]) {
        await reportArtifacts(world, name, [active("2.3.0")]);
        await world.settle();
      }
      expect(world.application().status).toMatchObject({
        phase: "Running",
        components: [{ ready: 4, updated: 4 }],
      });
      expect(world.told.filter((t) => t.reason === "Updated")).toHaveLength(4);
    },
  );

  test("that does not work gets no further than its first step, and it is said where and why", async () => {
    const world = await fourRunning("restart");
    const before = world.assignment("web-api-1").spec.desired.specDigest;
    const rolledBack: ReportedArtifact = {
      name: "detector",
      version: "2.3.0",
      phase: "RolledBack",
      activeVersion: "2.2.0",
      reason: "NotReady",
      message: "readiness probe: 503",
    };
    await reportArtifacts(world, "web-api-0", [rolledBack], before);
    await world.settle();
    expect(asked(world)).toEqual(["2.3.0", "2.2.0", "2.2.0", "2.2.0"]);
    const text = "1 of 4 instances rolled detector back to 2.2.0: readiness probe: 503";
    expect(world.application().status).toMatchObject({
      phase: "Degraded",
      components: [{ ready: 4, updated: 0, message: text }],
    });
    expect(world.condition("Progressing")).toMatchObject({
      status: "False",
      reason: "ArtifactFailed",
      message: `api: ${text}`,
    });
    // Mended by another version: the one that went back is first.
    await putRelease(world, releaseSpec("detector", "2.3.1", 8));
    await world.apply("Application", "web", pinned([detector("2.3.1")], 4));
    await world.settle();
    expect(asked(world)).toEqual(["2.3.1", "2.2.0", "2.2.0", "2.2.0"]);
  });

  test("that is not signed yet leaves all as it is; one that runs goes on being scaled when it is not ready any more", async () => {
    const world = await fourRunning("restart");
    await putRelease(world, releaseSpec("detector", "2.4.0", 9), false);
    await world.apply("Application", "web", pinned([detector("2.4.0")], 4));
    const revisions = world.assignments().map((a) => a.metadata.resourceVersion);
    await world.settle();
    expect(world.assignments().map((a) => a.metadata.resourceVersion)).toEqual(revisions);
    await world.apply("Application", "web", pinned([detector("2.2.0")], 5));
    await putRelease(world, releaseSpec("detector", "2.2.0", 6), false);
    await world.settle();
    expect(world.assignments()).toHaveLength(5);
  });
});

describe("while a pin cannot be carried out", () => {
  async function waiting(): Promise<World> {
    const world = await oneNode();
    await world.node("b1");
    await putRelease(world, releaseSpec("detector", "2.2.0", 6));
    await world.apply("Application", "web", pinned([detector("2.2.0")], 2));
    await world.settle();
    await agentsInstall(world);
    await world.apply("Application", "web", pinned([detector("9.9.9")], 3, "v2"));
    await world.settle();
    return world;
  }
  const asked = (world: World) =>
    world.assignments().map(({ spec }) => ({
      node: spec.node,
      version: spec.desired.artifacts?.[0]?.version,
      command: spec.desired.containers[0]?.command?.[1],
    }));
  const before = { version: "2.2.0", command: "v1" };

  test("nothing is updated or scaled, and what lost its node is placed again as it was", async () => {
    const world = await waiting();
    const placed = [
      { node: "a1", ...before },
      { node: "b1", ...before },
    ];
    expect(asked(world)).toEqual(placed);
    const { revision } = world.store;
    await world.controller().pass();
    expect(world.store.revision).toBe(revision);
    await world.life("b1", "lost");
    await world.settle();
    expect(asked(world)).toEqual([
      { node: "a1", ...before },
      { node: "a1", ...before },
    ]);
    expect(world.condition("Progressing")).toMatchObject({ reason: "ComponentInvalid" });
  });

  test("a drained node is emptied in steps, and an instance without a node gets one when there is room", async () => {
    const world = await waiting();
    await world.specOf("a1", { drain: true });
    await world.specOf("b1", { drain: true });
    await world.settle();
    expect(world.assignments().filter((a) => a.spec.node === undefined)).not.toEqual([]);
    await world.node("c1");
    await world.settle();
    await agentsInstall(world);
    await world.settle();
    expect(asked(world)).toEqual([
      { node: "c1", ...before },
      { node: "c1", ...before },
    ]);
  });

  test("the release that it waits for then takes over from what was kept", async () => {
    const world = await waiting();
    await putRelease(world, releaseSpec("detector", "9.9.9", 9));
    for (let i = 0; i < 4; i++) {
      await world.settle();
      await agentsInstall(world);
    }
    expect(asked(world).map((a) => [a.version, a.command])).toEqual([
      ["9.9.9", "v2"],
      ["9.9.9", "v2"],
      ["9.9.9", "v2"],
    ]);
  });
});

describe("constraints of a release", () => {
  test("keep its instances on nodes that it is made for, and say so", async () => {
    const world = await oneNode();
    await world.node("b1");
    const node = world.store.get("EdgeNode", "", "b1");
    if (node === undefined) throw new Error("it was put");
    await world.put({
      ...node,
      status: { ...node.status, inventory: { ...inventory(), hardwareId: "orin" } },
    });
    const constraints = { hardwareIds: ["orin"] };
    await putRelease(world, releaseSpec("detector", "2.3.0", 7, { constraints }));
    await putRelease(
      world,
      releaseSpec("detector", "2.4.0", 8, { constraints: { memory: "64Gi" } }),
    );
    await world.apply("Application", "web", pinned([detector("2.3.0")]));
    await world.settle();
    const { spec, status } = world.assignment("web-api-0");
    expect(spec.node).toBe("b1");
    expect(status?.candidates).toContainEqual({
      node: "a1",
      site: "site-1",
      filter: "Release",
      reason: "detector 2.3.0 is made for orin; node is of hardware that it does not tell",
    });
    await world.apply("Application", "shop", pinned([detector("2.4.0")]));
    await world.settle();
    expect(world.assignment("shop-api-0").status?.message).toContain(
      "2 Release (detector 2.4.0 asks for a node of 64Gi memory; node has 8Gi)",
    );
  });

  test("that no node meets leave what runs as it is, and move it once a node does", async () => {
    const world = await oneNode();
    await putRelease(world, releaseSpec("detector", "2.2.0", 6));
    const constraints = { hardwareIds: ["orin"] };
    await putRelease(world, releaseSpec("detector", "2.3.0", 7, { constraints }));
    const asking = (version: string, cpu: string) => ({
      components: [{ ...deployment("api", 2, { cpu }), artifacts: [detector(version)] }],
    });
    await world.apply("Application", "web", asking("2.2.0", "1500m"));
    const controller = world.controller();
    await world.settle(controller);
    await agentsInstall(world);
    await world.settle(controller);
    await world.apply("Application", "web", asking("2.3.0", "500m"));
    await world.settle(controller);
    const versions = (): readonly (string | undefined)[] =>
      world.assignments().map((a) => a.spec.desired.artifacts?.[0]?.version);
    expect(versions()).toEqual(["2.2.0", "2.2.0"]);
    expect(world.placement()).toEqual({ "web-api-0": "a1", "web-api-1": "a1" });
    const text =
      "node a1 no longer fits: Release (detector 2.3.0 is made for orin; node is of hardware that it does not tell) and no other node fits; it goes on as it was";
    expect(world.assignment("web-api-0").status?.message).toBe(text);
    expect(world.application().status).toMatchObject({
      phase: "Progressing",
      components: [{ ready: 2, updated: 0, message: text }],
    });
    // What it holds is what it was given: of 3.8 cores 3 are in use, so one of these fits and no second.
    await world.apply("Application", "shop", { components: [deployment("b", 2, { cpu: "700m" })] });
    await world.settle(controller);
    expect(Object.values(world.placement()).filter((node) => node === "-")).toHaveLength(1);
    await world.remove("Application", "shop", "shop");
    await world.node("c1");
    const node = world.store.get("EdgeNode", "", "c1");
    if (node === undefined) throw new Error("it was put");
    await world.put({
      ...node,
      status: { ...node.status, inventory: { ...inventory(), hardwareId: "orin" } },
    });
    for (let i = 0; i < 3; i++) {
      await controller.pass();
      await controller.pass();
      await agentsInstall(world);
    }
    expect(versions().slice(-2)).toEqual(["2.3.0", "2.3.0"]);
    expect(world.assignment("web-api-0").spec.node).toBe("c1");
  });
});
