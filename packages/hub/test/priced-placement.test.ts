import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { FleetController } from "../src/app/fleet/fleet-controller.ts";
import { deployment, World } from "./support/world.ts";

type Component = ObjectOf<"Application">["spec"]["components"][number];

/** Two sites with one node each, in two regions, and a profile to which only cost counts. */
async function fleet(): Promise<World> {
  const world = new World();
  await world.apply("Site", "east", { region: "us" });
  await world.apply("Site", "west", { region: "eu" });
  await world.node("e", "east");
  await world.node("w", "west");
  await world.apply("SchedulingProfile", "thrifty", {
    scoreWeights: { resource: 0, performance: 0, cost: 1, compliance: 0, topology: 0 },
  });
  return world;
}

const prices = (us: number, eu: number, spotInUs?: number) => ({
  currency: "USD",
  nodes: [
    {
      region: "us",
      pricePerHour: us,
      ...(spotInUs === undefined ? {} : { spotPricePerHour: spotInUs }),
    },
    { region: "eu", pricePerHour: eu },
  ],
  egress: [{ from: "us", to: "eu", pricePerGb: 0.02 }],
});

/** Where the first instance of a new Application goes. */
async function placed(
  world: World,
  name: string,
  more: Pick<Component, "placement" | "scheduling"> = {},
): Promise<string | undefined> {
  await world.apply("Application", name, {
    components: [{ ...deployment("api", 1), ...more }],
    schedulingProfile: "thrifty",
  });
  await world.settle();
  return world.assignment(`${name}-api-0`).spec.node;
}

test("an instance goes where the price list says that it is cheaper, and the next one elsewhere when prices turn", async () => {
  const world = await fleet();
  await world.apply("PriceList", "p", prices(2, 1));
  expect(await placed(world, "a")).toBe("w");
  await world.apply("PriceList", "p", prices(1, 2));
  expect(await placed(world, "b")).toBe("e");
});

test("what its data costs on the way counts, and so does the spot price for who may be moved", async () => {
  const world = await fleet();
  await world.apply("PriceList", "p", prices(2, 1, 0.5));
  const data = { region: "us", gbPerDay: 10_000 };
  expect(await placed(world, "a", { placement: { data } })).toBe("e");
  expect(await placed(world, "b", { scheduling: { spot: true } })).toBe("e");
  expect(await placed(world, "c")).toBe("w");
});

test("a promise is kept with what was measured, though the other site is cheaper; what is not known is said", async () => {
  const world = await fleet();
  await world.apply("PriceList", "p", prices(2, 1));
  await world.apply("Site", "users", { region: "us-users" });
  const latency = { to: "users", maxMs: 20 };
  expect(await placed(world, "a", { placement: { latency } })).toBe("w");
  const candidates = () => world.assignment("a-api-0").status?.candidates;
  expect(candidates()?.[0]?.unknown).toEqual(["latency to users"]);
  const measured = async (name: string, p95Ms: number): Promise<void> => {
    const node = world.store.get("EdgeNode", "", name);
    if (node === undefined) throw new Error(`no node ${name}`);
    const latencies = [{ site: "users", p50Ms: 1, p95Ms, lossRatio: 0, sampleCount: 20 }];
    await world.put({ ...node, status: { ...node.status, measures: { latencies } } });
  };
  await measured("e", 5);
  await measured("w", 80);
  await new FleetController({}, world.deps).pass();
  expect(await placed(world, "b", { placement: { latency } })).toBe("e");
  expect(world.assignment("b-api-0").status?.candidates?.at(-1)).toMatchObject({
    node: "w",
    filter: "Latency",
    reason: "latency to users: at most 20 ms, measured 80 ms (p95)",
  });
});
