import { type Static, Type } from "typebox";
import { Condition } from "../metadata.ts";
import { DeploymentTemplate, JobTemplate } from "../workload.ts";
import { Autoscaling, Placement } from "./placement.ts";

const componentFields = {
  name: Type.String({ minLength: 1, maxLength: 63 }),
  placement: Type.Optional(Placement),
  volcano: Type.Optional(
    Type.Object({
      queue: Type.Optional(Type.String()),
      priorityClassName: Type.Optional(Type.String()),
      minMember: Type.Optional(Type.Integer({ minimum: 1 })),
    }),
  ),
  autoscaling: Type.Optional(Autoscaling),
  /** Names of components of the same Application that must be ready, or finished, first. */
  dependsOn: Type.Optional(Type.Array(Type.String())),
};

export const DeploymentComponent = Type.Object({
  ...componentFields,
  type: Type.Literal("Deployment"),
  template: DeploymentTemplate,
});
export const JobComponent = Type.Object({
  ...componentFields,
  type: Type.Literal("Job"),
  template: JobTemplate,
});

/** A component: a Deployment keeps replicas running, a Job runs to completion. Told apart by `type`. */
export const Component = Type.Union([DeploymentComponent, JobComponent]);
export type Component = Static<typeof Component>;

export const ApplicationSpec = Type.Object({
  /** Fleet, in any namespace, whose members may run this; absent: every site and cluster of the hub. */
  fleet: Type.Optional(
    Type.Object({ name: Type.String(), namespace: Type.Optional(Type.String()) }),
  ),
  components: Type.Array(Component, { minItems: 1, maxItems: 100 }),
  /** Cluster-scoped SchedulingProfile; absent: the article's weights. */
  schedulingProfile: Type.Optional(Type.String()),
});
export type ApplicationSpec = Static<typeof ApplicationSpec>;

export const ComponentStatus = Type.Object({
  name: Type.String(),
  type: Type.Union([Type.Literal("Deployment"), Type.Literal("Job")]),
  desired: Type.Integer(),
  placed: Type.Integer(),
  running: Type.Integer(),
  ready: Type.Integer(),
  succeeded: Type.Integer(),
  failed: Type.Integer(),
  /** Instances whose running spec is the one last asked for. */
  updated: Type.Integer(),
  message: Type.Optional(Type.String()),
});
export type ComponentStatus = Static<typeof ComponentStatus>;

export const ApplicationStatus = Type.Object({
  phase: Type.Optional(
    Type.Union([
      Type.Literal("Pending"),
      Type.Literal("Progressing"),
      Type.Literal("Running"),
      Type.Literal("Completed"),
      Type.Literal("Degraded"),
    ]),
  ),
  observedGeneration: Type.Optional(Type.Integer()),
  components: Type.Optional(Type.Array(ComponentStatus)),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type ApplicationStatus = Static<typeof ApplicationStatus>;
