import { solveLinearProgram } from "@flotilla/shared/platform/linear-program";
import type { SolveLinearProgram } from "@flotilla/shared/scheduling/gpu/slot-prices";
import { expect, test } from "vitest";
import { Scheduler } from "../src/app/scheduling/scheduler.ts";
import {
  VALUES_AGE_MAX_MS,
  VALUES_CHECK_INTERVAL_MS,
  ValueService,
} from "../src/app/scheduling/value-service.ts";
import { gpus } from "./support/node-builders.ts";
import { World } from "./support/world.ts";

const component = (name: string, replicas: number, cpu: string, milli?: number) => ({
  name,
  type: "Deployment" as const,
  template: {
    spec: {
      replicas,
      template: {
        spec: {
          containers: [
            {
              name: "main",
              command: ["/bin/sleep"],
              resources: {
                requests: {
                  cpu,
                  ...(milli === undefined ? {} : { "edge.kurator.dev/gpu-milli": milli }),
                },
              },
            },
          ],
        },
      },
    },
  },
});

async function hub(solve: SolveLinearProgram = solveLinearProgram, turn = () => Promise.resolve()) {
  const world = new World();
  await world.apply("Site", "site-1", {});
  const capacity = { milliCpu: 64_000, gpuCount: 4 };
  for (const name of ["m", "n"])
    await world.node(name, "site-1", { capacity, gpus: gpus(name, 4) });
  const scheduler = new Scheduler({ store: world.store });
  const controller = world.controller({ scheduler });
  const values = new ValueService({ ...world.deps, scheduler, solve, turn });
  const made = (outcome: string): number =>
    world.metrics.total("flotilla_hub_gpu_values_total", { outcome });
  return { world, scheduler, controller, values, made };
}

test("GPUs are worth what is asked for, and CPU what comes with it", async () => {
  const { world, scheduler, controller, values, made } = await hub();
  await values.pass();
  expect(made("changed") + made("kept")).toBe(0);
  await world.apply("Application", "web", { components: [component("a", 2, "3", 470)] });
  await world.settle(controller);
  await values.pass();
  expect(made("changed")).toBe(1);
  const { worth, milliCpuPerGpu } = scheduler.table.values;
  expect([worth[469], worth[470], worth[940]]).toEqual([0, 0.5, 1]);
  expect(milliCpuPerGpu).toBeCloseTo(3_000 / 0.47, 6);
  expect(world.metrics.value("flotilla_hub_gpu_values_cpus_per_gpu")).toBeCloseTo(3 / 0.47, 6);
});

test("decisions are made with them: CPU that idle GPUs need is not given away", async () => {
  const placed = async (isKnown: boolean): Promise<string | undefined> => {
    const { world, controller, values } = await hub();
    // m has little CPU left for three idle GPUs, n enough for its four; what asks for GPUs asks for 12 CPUs beside each.
    await world.apply("Application", "first", {
      components: [component("cpu", 1, "36"), component("gpu", 1, "12", 1_000)],
    });
    await world.settle(controller);
    for (const name of ["first-cpu-0", "first-gpu-0"])
      expect(world.assignment(name).spec.node).toBe("m");
    if (isKnown) await values.pass();
    await world.apply("Application", "next", { components: [component("cpu", 1, "12")] });
    await world.settle(controller);
    return world.assignment("next-cpu-0").spec.node;
  };
  expect([await placed(false), await placed(true)]).toEqual(["m", "n"]);
});

test("one request counts once, however often it is looked at, moved or reported of", async () => {
  const { world, scheduler, controller } = await hub();
  await world.apply("Application", "web", { components: [component("a", 2, "3", 470)] });
  await world.converge(controller);
  await world.converge(controller);
  expect(scheduler.mirror.mix.entries()).toEqual([
    { milliCpu: 3_000, gpuCount: 1, gpuMilli: 470, count: 2 },
  ]);
  // A hub that starts counts what is there.
  const other = new Scheduler({ store: world.store });
  other.mirror.sync();
  expect(other.mirror.mix.entries()).toEqual(scheduler.mirror.mix.entries());
});

test("they are made anew when the mix has moved, and hourly; what is the same is not told", async () => {
  const { world, scheduler, controller, values, made } = await hub();
  await world.apply("Application", "web", { components: [component("a", 8, "1", 470)] });
  await world.settle(controller);
  await values.pass();
  const first = scheduler.table.values;
  await values.pass();
  expect([made("changed"), made("kept")]).toEqual([1, 0]);
  await world.clock.advance(VALUES_AGE_MAX_MS);
  await values.pass();
  expect([made("changed"), made("kept")]).toEqual([1, 1]);
  expect(scheduler.table.values).toBe(first);
  await world.apply("Application", "more", { components: [component("a", 2, "1", 300)] });
  await world.settle(controller);
  await values.pass();
  expect([made("changed"), made("kept")]).toEqual([2, 1]);
  expect(scheduler.table.values.worth[300]).toBeGreaterThan(0);
});

test("everything else has its turn between two linear programs", async () => {
  const order: string[] = [];
  const { world, controller, values } = await hub(
    (program) => {
      order.push("solve");
      return solveLinearProgram(program);
    },
    async () => {
      order.push("turn");
    },
  );
  const sizes = [470, 320, 230, 650];
  await world.apply("Application", "web", {
    components: sizes.map((milli, i) => component(`c${i}`, 1, "1", milli)),
  });
  await world.settle(controller);
  await values.pass();
  expect(order.length).toBeGreaterThan(4);
  expect(order).toEqual(order.map((_, i) => (i % 2 === 0 ? "turn" : "solve")));
});

test("the service begins with what runs already, and a failure does not end it", async () => {
  let failures = 1;
  const before = await hub();
  await before.world.apply("Application", "web", { components: [component("a", 2, "3", 470)] });
  await before.world.settle(before.controller);
  const { world } = before;
  const scheduler = new Scheduler({ store: world.store });
  const solve: SolveLinearProgram = (program) => {
    if (failures-- > 0) throw new Error("broken");
    return solveLinearProgram(program);
  };
  const stop = new AbortController();
  const service = new ValueService({
    ...world.deps,
    scheduler,
    solve,
    turn: () => Promise.resolve(),
  });
  const running = service.run(stop.signal);
  await world.clock.advance(VALUES_CHECK_INTERVAL_MS);
  await world.clock.advance(VALUES_CHECK_INTERVAL_MS);
  expect(scheduler.table.values.worth[470]).toBe(0.5);
  stop.abort();
  await running;
});
