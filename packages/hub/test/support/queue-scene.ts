import type { ObjectOf } from "@flotilla/shared/model/kinds";
import { free, reserveAll } from "@flotilla/shared/scheduling/facts";
import { expect } from "vitest";
import type { ResourceStore } from "../../src/app/resources/ports.ts";
import { nodeFacts, usedBy } from "../../src/domain/scheduling/snapshot.ts";
import { deployment, type World } from "./world.ts";

export type Component = ObjectOf<"Application">["spec"]["components"][number];
export type Extra = Partial<Pick<Component, "volcano" | "scheduling" | "dependsOn" | "placement">>;

/** A Deployment; a node of the tests has 3.8 cores, so that `3` fits once. */
export function serves(name: string, replicas: number, cpu: string, extra: Extra = {}): Component {
  return { ...deployment(name, replicas, { cpu }), ...extra } as Component;
}

/** A Job of as many tasks at once. */
export function works(name: string, tasks: number, cpu: string, extra: Extra = {}): Component {
  const { template } = deployment(name, 1, { cpu });
  const spec = {
    completions: tasks,
    parallelism: tasks,
    template: { spec: template.spec.template.spec },
  };
  return { name, type: "Job", ...extra, template: { spec } } as Component;
}

export async function priorityClass(
  world: World<ResourceStore>,
  name: string,
  value: number,
  preemptionPolicy: "PreemptLowerPriority" | "Never" = "PreemptLowerPriority",
): Promise<void> {
  await world.put({
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name, uid: `uid-${name}`, generation: 1 },
    value,
    preemptionPolicy,
  });
}

/** No node has more than it can hold. */
export function expectRoom(world: World<ResourceStore>): void {
  for (const object of world.store.list("EdgeNode")) {
    const here = world.assignments().filter((a) => a.spec.node === object.metadata.name);
    const node = reserveAll(nodeFacts(object, undefined, new Map()), here.map(usedBy));
    for (const left of Object.values(free(node))) expect(left).toBeGreaterThanOrEqual(0);
  }
}
