import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { HubProcess } from "./hub-process.ts";
import { until } from "./until.ts";

/** A component of type Deployment with one container. */
export function deployment(
  name: string,
  command: readonly string[],
  given: {
    readonly replicas?: number;
    readonly env?: Readonly<Record<string, string>>;
    readonly container?: Readonly<Record<string, unknown>>;
    readonly pod?: Readonly<Record<string, unknown>>;
  } = {},
): Readonly<Record<string, unknown>> {
  return {
    name,
    type: "Deployment",
    template: {
      spec: {
        replicas: given.replicas ?? 1,
        template: {
          spec: {
            terminationGracePeriodSeconds: 2,
            containers: [containerOf(name, command, given)],
            ...given.pod,
          },
        },
      },
    },
  };
}

/** A component of type Job with one container. `template` is merged into the pod template, beside its spec. */
export function job(
  name: string,
  command: readonly string[],
  given: {
    readonly spec?: Readonly<Record<string, unknown>>;
    readonly template?: Readonly<Record<string, unknown>>;
  } = {},
): Readonly<Record<string, unknown>> {
  return {
    name,
    type: "Job",
    template: {
      spec: {
        ...given.spec,
        template: {
          ...given.template,
          spec: { terminationGracePeriodSeconds: 2, containers: [containerOf(name, command, {})] },
        },
      },
    },
  };
}

function containerOf(
  name: string,
  command: readonly string[],
  given: {
    readonly env?: Readonly<Record<string, string>>;
    readonly container?: Readonly<Record<string, unknown>>;
  },
): Readonly<Record<string, unknown>> {
  return {
    name,
    command,
    env: Object.entries(given.env ?? {}).map(([key, value]) => ({ name: key, value })),
    resources: { requests: { cpu: "10m", memory: "8Mi" } },
    ...given.container,
  };
}

/** Creates an Application, or replaces its components. */
export async function apply(
  hub: HubProcess,
  name: string,
  components: readonly Readonly<Record<string, unknown>>[],
): Promise<ObjectOf<"Application">> {
  const { items } = await hub.api.list("Application");
  return items.some((a) => a.metadata.name === name)
    ? hub.api.patch("Application", name, { spec: { components } })
    : hub.api.create("Application", name, { spec: { components } });
}

/** Waits until the newest generation is ready, or done, in full. */
export async function settled(hub: HubProcess, name: string): Promise<ObjectOf<"Application">> {
  let last: unknown;
  return until(
    `application ${name} to settle`,
    async () => {
      const application = await hub.api.get("Application", name);
      const { status, metadata } = application;
      last = status;
      const components = status?.components ?? [];
      const done = components.every(
        (c) =>
          (c.type === "Job" ? c.succeeded === c.desired : c.ready === c.desired) &&
          c.updated === c.desired,
      );
      const isCurrent = status?.observedGeneration === metadata.generation;
      return isCurrent && done && components.length > 0 && application;
    },
    { seen: () => last },
  );
}

/** Waits until every node has carried out the desired state that the hub has for it. */
export async function converged(hub: HubProcess): Promise<void> {
  let last: unknown;
  await until(
    "every node to converge",
    async () => {
      const { items } = await hub.api.list("EdgeNode");
      last = items.map((n) => n.status);
      return items.every(
        ({ status }) =>
          status?.life === "ready" &&
          (status.desiredRevision ?? 0) === (status.convergedRevision ?? 0),
      );
    },
    { seen: () => last },
  );
}
