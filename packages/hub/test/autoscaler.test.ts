import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { expect, test } from "vitest";
import { AUTOSCALE_INTERVAL_MS, Autoscaler } from "../src/app/scheduling/autoscaler.ts";
import { deployment, World } from "./support/world.ts";

type Autoscaling = NonNullable<
  ObjectOf<"Application">["spec"]["components"][number]["autoscaling"]
>;

/** Two nodes, a component that asks for 100 m each, an autoscaler and a controller. */
class Fleet {
  readonly world = new World();
  readonly controller = this.world.controller();
  readonly autoscaler = new Autoscaler({}, this.world.deps);

  async start(replicas: number, autoscaling: Autoscaling): Promise<void> {
    await this.world.node("n1");
    await this.world.node("n2");
    const component = { ...deployment("api", replicas), autoscaling };
    await this.world.apply("Application", "web", { components: [component] });
    await this.world.converge(this.controller);
  }

  /** Every running instance uses so much, thousandths of a core. */
  async use(milliCpu: number | undefined): Promise<void> {
    for (const a of this.world.assignments("api")) {
      const { milliCpu: _, ...reported } = a.status?.reported ?? { id: "" };
      const next = { ...reported, ...(milliCpu === undefined ? {} : { milliCpu }) };
      await this.world.put({ ...a, status: { ...a.status, reported: next } } as typeof a);
    }
  }

  async tick(): Promise<number> {
    await this.world.clock.advance(AUTOSCALE_INTERVAL_MS);
    await this.autoscaler.pass();
    await this.world.converge(this.controller);
    return this.world.assignments("api").length;
  }

  get status() {
    return this.world.application().status?.autoscaling?.[0];
  }
}

const CPU_50: Autoscaling = {
  minReplicas: 1,
  maxReplicas: 8,
  metrics: [{ type: "CPU", averageUtilization: 50 }],
};

test("replicas follow the CPU that is really used: up at once, down when it has been low for five minutes", async () => {
  const fleet = new Fleet();
  await fleet.start(2, CPU_50);
  await fleet.use(100);
  expect(await fleet.tick()).toBe(4);
  expect(fleet.status).toMatchObject({
    desiredReplicas: 4,
    metrics: [{ name: "cpu", current: 100, target: 50, missing: 0 }],
  });
  expect(fleet.world.told).toContainEqual(
    expect.objectContaining({
      reason: "Rescaled",
      message: "api from 2 to 4 replicas: cpu 100, target 50",
    }),
  );
  await fleet.use(10);
  for (let i = 0; i < 300_000 / AUTOSCALE_INTERVAL_MS - 1; i++) expect(await fleet.tick()).toBe(4);
  expect(await fleet.tick()).toBe(4);
  expect(await fleet.tick()).toBe(1);
});

test("what is not known scales nothing, and is said", async () => {
  const fleet = new Fleet();
  await fleet.start(3, CPU_50);
  expect(await fleet.tick()).toBe(3);
  expect(fleet.status?.metrics).toEqual([{ name: "cpu", target: 50, missing: 3 }]);
  const revision = fleet.world.store.revision;
  expect(await fleet.tick()).toBe(3);
  expect(fleet.world.store.revision).toBe(revision);
});

test("the bounds hold from the first moment, and 0 replicas turn it off", async () => {
  const fleet = new Fleet();
  await fleet.start(1, { ...CPU_50, minReplicas: 3 });
  expect(fleet.world.assignments("api").length).toBe(3);
  const off = { ...deployment("api", 0), autoscaling: CPU_50 };
  await fleet.world.apply("Application", "web", { components: [off] });
  expect(await fleet.tick()).toBe(0);
});

test("a policy's autoscaling counts for the Application that it means", async () => {
  const fleet = new Fleet();
  await fleet.start(2, { minReplicas: 2, maxReplicas: 2 });
  await fleet.world.apply("Application", "web", { components: [deployment("api", 2)] });
  await fleet.world.apply("PropagationPolicy", "p", {
    targetRef: { apiVersion: "apps.kurator.dev/v1alpha1", kind: "Application", name: "web" },
    autoscaling: CPU_50,
  });
  await fleet.use(200);
  expect(await fleet.tick()).toBe(4);
});

test("a metric that instances tell is asked for without a restart, and scales", async () => {
  const fleet = new Fleet();
  await fleet.start(2, { minReplicas: 2, maxReplicas: 2 });
  const digest = fleet.world.assignment("web-api-0").spec.desired.specDigest;
  const autoscaling: Autoscaling = {
    minReplicas: 1,
    maxReplicas: 8,
    endpoint: { port: 9100 },
    metrics: [
      {
        type: "Pods",
        pods: { metric: { name: "queue" }, target: { type: "AverageValue", averageValue: "10" } },
      },
    ],
  };
  const component = { ...deployment("api", 2), autoscaling };
  await fleet.world.apply("Application", "web", { components: [component] });
  await fleet.world.converge(fleet.controller);
  const { desired } = fleet.world.assignment("web-api-0").spec;
  expect(desired.scrape).toEqual({ port: 9100, path: "/metrics", names: ["queue"] });
  expect(desired.specDigest).toBe(digest);
  for (const a of fleet.world.assignments("api")) {
    const reported = { ...a.status?.reported, metrics: { queue: 15 } };
    await fleet.world.put({ ...a, status: { ...a.status, reported } } as typeof a);
  }
  expect(await fleet.tick()).toBe(3);
});
