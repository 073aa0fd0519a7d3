import type { Gpu } from "@flotilla/shared/model/capacity";
import { expect, test } from "vitest";
import { DeviceWatch } from "../src/app/node/device-watch.ts";
import { gpus } from "./support/node-builders.ts";
import { World } from "./support/world.ts";

type Quantities = Readonly<Record<string, string | number>>;

const component = (name: string, replicas: number, requests: Quantities, gpu?: object) => ({
  name,
  type: "Deployment" as const,
  ...(gpu === undefined ? {} : { placement: { gpu } }),
  template: {
    spec: {
      replicas,
      template: {
        spec: {
          containers: [
            {
              name: "main",
              command: ["/bin/sleep"],
              resources: { requests: { cpu: "10m", ...requests } },
            },
          ],
        },
      },
    },
  },
});

const whole = (count: number): Quantities => ({ "nvidia.com/gpu": count });
const slice = (milli: number): Quantities => ({ "edge.kurator.dev/gpu-milli": milli });

const devices = (world: World, name: string): readonly string[] =>
  (world.assignment(name).spec.devices ?? []).map((d) => `${d.uuid}:${d.milli}`);

async function oneNode(cards: readonly Gpu[]): Promise<World> {
  const world = new World();
  await world.apply("Site", "site-1", {});
  await world.node("n", "site-1", { capacity: { gpuCount: cards.length }, gpus: cards });
  return world;
}

test("whole cards and slices are named on the Assignment and in what the node is told", async () => {
  const world = await oneNode(gpus("n", 2));
  await world.apply("Application", "web", {
    components: [component("a", 1, whole(1)), component("b", 2, slice(400))],
  });
  await world.settle();
  const [card = ""] = devices(world, "web-a-0");
  expect(["GPU-n-0:1000", "GPU-n-1:1000"]).toContain(card);
  const other = card.startsWith("GPU-n-0") ? "GPU-n-1:400" : "GPU-n-0:400";
  expect(devices(world, "web-b-0")).toEqual([other]);
  expect(devices(world, "web-b-1")).toEqual([other]);
  const { desired, requests, devices: own } = world.assignment("web-b-0").spec;
  expect(desired.devices).toEqual(own);
  expect(requests.gpuCount).toBe(0);
});

test("what finds no device waits and says what would do", async () => {
  const world = await oneNode(gpus("n", 1));
  await world.apply("Application", "first", { components: [component("a", 1, slice(700))] });
  await world.settle();
  await world.apply("Application", "web", {
    components: [component("b", 1, slice(400)), component("c", 1, whole(1), { models: ["H100"] })],
  });
  await world.settle();
  expect(world.assignment("web-b-0").status?.message).toContain(
    "GpuDevices (gpu: asks a slice of 400 milli, the emptiest device has 300 free)",
  );
  expect(world.assignment("web-c-0").status?.message).toContain(
    "GpuDevices (gpu model: asks 1 of H100; the node has NVIDIA A100-SXM4-80GB)",
  );
});

test("an edit keeps the device where it can; another slice is seen, though its amounts are the same", async () => {
  const world = await oneNode(gpus("n", 3));
  const edit = async (a: Quantities, ...others: ReturnType<typeof component>[]): Promise<void> => {
    await world.apply("Application", "web", { components: [...others, component("a", 1, a)] });
    await world.converge();
  };
  await edit(slice(250), component("first", 1, whole(1)));
  const [uuid] = devices(world, "web-a-0").map((d) => d.split(":")[0]);
  expect(devices(world, "web-a-0")).toEqual([`${uuid}:250`]);
  await edit(slice(500));
  expect(devices(world, "web-a-0")).toEqual([`${uuid}:500`]);
  await edit(whole(1));
  expect(devices(world, "web-a-0")).toEqual([`${uuid}:1000`]);
  await edit(whole(2));
  expect(devices(world, "web-a-0")).toHaveLength(2);
  await edit({});
  expect(world.assignment("web-a-0").spec.devices).toBeUndefined();
  expect(world.assignment("web-a-0").spec.desired.devices).toBeUndefined();
});

test("MIG devices go to who asks for their profile, and the card itself to nobody", async () => {
  const migDevices = [
    { uuid: "MIG-1", profile: "1g.10gb" },
    { uuid: "MIG-2", profile: "1g.10gb" },
  ];
  const world = await oneNode(gpus("n", 1, { migEnabled: true, migDevices }));
  await world.apply("Application", "web", {
    components: [
      component("mig", 3, { "nvidia.com/mig-1g.10gb": 1 }),
      component("card", 1, whole(1)),
    ],
  });
  await world.settle();
  const names = ["web-mig-0", "web-mig-1", "web-mig-2"];
  expect(names.flatMap((name) => devices(world, name)).toSorted()).toEqual([
    "MIG-1:1000",
    "MIG-2:1000",
  ]);
  const waiting = names.filter((name) => world.assignment(name).spec.node === undefined);
  expect(waiting.map((name) => world.assignment(name).status?.message)).toEqual([
    expect.stringContaining("gpu: asks 1, 0 free"),
  ]);
  expect(world.assignment("web-card-0").status?.message).toContain(
    "the node's are in MIG mode: ask for nvidia.com/mig-1g.10gb",
  );
});

test("a device that two nodes report is given away on one only, and the other says why", async () => {
  const world = new World();
  await world.apply("Site", "site-1", {});
  const shared = gpus("x", 1);
  await world.node("a", "site-1", { capacity: { gpuCount: 1 }, gpus: shared });
  await world.node("b", "site-1", { capacity: { gpuCount: 1 }, gpus: shared });
  await world.apply("Application", "web", { components: [component("a", 2, whole(1))] });
  const watch = new DeviceWatch({}, world.deps);
  await world.settle();
  await watch.pass();
  expect(world.placement()).toEqual({ "web-a-0": "a", "web-a-1": "-" });
  const ready = (name: string) =>
    world.store
      .get("EdgeNode", "", name)
      ?.status?.conditions?.find((c) => c.type === "DevicesReady");
  expect(ready("a")).toBeUndefined();
  expect(ready("b")).toMatchObject({
    status: "False",
    reason: "DuplicateDevice",
    message:
      "reported by another node as well, and not given away here: GPU-x-0 (node a); delete or revoke the node that does not have it",
  });
  const revision = world.store.revision;
  await watch.pass();
  expect(world.store.revision).toBe(revision);
  await world.node("a", "site-1", {
    capacity: { gpuCount: 1 },
    gpus: shared,
    spec: { revoked: true },
  });
  await world.settle();
  await watch.pass();
  expect(ready("b")).toMatchObject({ status: "True", reason: "AllPresent" });
  expect(world.told.filter((t) => t.about === "EdgeNode/b").map((t) => t.reason)).toEqual([
    "DuplicateDevice",
    "AllPresent",
  ]);
});

test("a card that vanishes under an instance is marked on both, and nothing is moved", async () => {
  const world = await oneNode(gpus("n", 2));
  await world.node("spare", "site-1", { capacity: { gpuCount: 2 } });
  await world.apply("Application", "web", { components: [component("a", 1, whole(1))] });
  await world.converge();
  const { node: name = "", devices: held } = world.assignment("web-a-0").spec;
  const uuid = held?.[0]?.uuid ?? "";
  const watch = new DeviceWatch({}, world.deps);
  await watch.pass();
  const condition = () =>
    world.assignment("web-a-0").status?.conditions?.find((c) => c.type === "DevicesReady");
  expect(condition()).toBeUndefined();
  const left = gpus(name, 2).filter((g) => g.uuid !== uuid);
  await world.node(name, "site-1", { capacity: { gpuCount: 1 }, gpus: left });
  await watch.pass();
  await world.converge();
  expect(world.assignment("web-a-0").spec).toMatchObject({ node: name, devices: held });
  expect(condition()).toMatchObject({ status: "False", reason: "DeviceMissing" });
  expect(condition()?.message).toContain(`node ${name} does not report ${uuid} any more`);
  const node = world.store.get("EdgeNode", "", name);
  expect(node?.status?.conditions?.find((c) => c.type === "DevicesReady")?.message).toContain(
    `${uuid} of shop/web-a-0`,
  );
  // What is left of the node is given away as before, and no more than that.
  await world.apply("Application", "more", { components: [component("a", 4, whole(1))] });
  await world.settle();
  const given = world.store.list("Assignment").flatMap((a) => a.spec.devices ?? []);
  expect(new Set(given.map((d) => d.uuid)).size).toBe(given.length);
  expect(given).toHaveLength(4);
  // It comes back with the card.
  await world.node(name, "site-1", { capacity: { gpuCount: 2 }, gpus: gpus(name, 2) });
  await watch.pass();
  expect(condition()).toMatchObject({ status: "True" });
});

test("more cards than before are given to what waits", async () => {
  const world = await oneNode(gpus("n", 1));
  await world.apply("Application", "web", { components: [component("a", 2, whole(1))] });
  await world.settle();
  expect(world.assignment("web-a-1").spec.node).toBeUndefined();
  await world.node("n", "site-1", { capacity: { gpuCount: 2 } });
  await world.settle();
  expect(devices(world, "web-a-1")).toEqual(["GPU-n-1:1000"]);
});

test("an Assignment from before devices had names gets them", async () => {
  const world = await oneNode(gpus("n", 2));
  await world.apply("Application", "web", { components: [component("a", 1, whole(1))] });
  await world.settle();
  const named = world.assignment("web-a-0");
  const { devices: _own, desired, ...spec } = named.spec;
  const { devices: _told, ...old } = desired;
  await world.put({ ...named, spec: { ...spec, desired: old } });
  await world.settle();
  expect(devices(world, "web-a-0")).toEqual(["GPU-n-0:1000"]);
  expect(world.assignment("web-a-0").spec.node).toBe("n");
});
