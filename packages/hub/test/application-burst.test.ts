import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import type { ApiObject } from "../src/app/resources/ports.ts";
import { ResourceService } from "../src/app/resources/resource-service.ts";
import { application, deployment, STRICT } from "./support/resources.ts";
import { testStore } from "./support/store.ts";
import { World } from "./support/world.ts";

/** `npm run bench:placements -- --live` does the same with 10,000 and tells how long the hub pauses. */
const APPLICATIONS = 1_000;

test("many Applications that come at once are all answered and all placed, while the hub goes on placing", async () => {
  const world = new World(testStore());
  for (let i = 0; i < 20; i++) await world.node(`node-${i}`);
  const hooks = { mintSecret: () => ({ secret: "", secretHash: "" }), joinString: () => "" };
  const service = new ResourceService({}, { ...world.deps, hooks });
  const resources = { requests: { cpu: "10m", memory: "16Mi" } };
  const container = { command: ["/bin/serve"], resources };
  const create = (i: number): Promise<ApiObject> =>
    service
      .create(
        "Application",
        "shop",
        application(`app-${i}`, [deployment("api", container)]),
        STRICT,
      )
      .then(({ object }) => object);
  const controller = world.controller({ turn: () => setImmediate() });
  let isOver = false;
  const passes = async (): Promise<void> => {
    while (!isOver) {
      await controller.pass();
      await setImmediate();
    }
  };
  const placing = passes();
  const answers = await Promise.allSettled(
    Array.from({ length: APPLICATIONS }, (_, i) => create(i)),
  );
  isOver = true;
  await placing;
  expect(answers.filter(({ status }) => status === "rejected")).toEqual([]);
  await world.settle(controller);
  const nodes = world.assignments().map((a) => a.spec.node);
  expect(nodes).toHaveLength(APPLICATIONS);
  expect(nodes).not.toContain(undefined);
});
