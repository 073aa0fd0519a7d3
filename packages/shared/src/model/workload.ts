import { type Static, Type } from "typebox";
import { QUANTITY_PATTERN } from "../kernel/quantity.ts";
import { LabelSelector, ObjectMeta, Toleration } from "./metadata.ts";

/** What runs: the pod template as Kubernetes writes it, reduced to what a device can carry out. */

/** A Kubernetes quantity, as text or as a plain number. */
export const Quantity = Type.Union([
  Type.String({ pattern: QUANTITY_PATTERN }),
  Type.Number({ minimum: 0 }),
]);

/** cpu, memory, ephemeral-storage, nvidia.com/gpu and other extended resources. */
export const ResourceList = Type.Record(Type.String(), Quantity);
export type ResourceList = Static<typeof ResourceList>;

const Port = Type.Union([Type.Integer({ minimum: 1, maximum: 65_535 }), Type.String()]);

/** How to tell that a container is alive or ready: exactly one of exec, httpGet, tcpSocket. */
export const Probe = Type.Object({
  exec: Type.Optional(Type.Object({ command: Type.Array(Type.String(), { minItems: 1 }) })),
  httpGet: Type.Optional(
    Type.Object({
      path: Type.Optional(Type.String()),
      port: Port,
      host: Type.Optional(Type.String()),
      scheme: Type.Optional(Type.Union([Type.Literal("HTTP"), Type.Literal("HTTPS")])),
      httpHeaders: Type.Optional(
        Type.Array(Type.Object({ name: Type.String(), value: Type.String() })),
      ),
    }),
  ),
  tcpSocket: Type.Optional(Type.Object({ port: Port, host: Type.Optional(Type.String()) })),
  initialDelaySeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
  periodSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 })),
  timeoutSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3_600 })),
  successThreshold: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
  failureThreshold: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000 })),
});
export type Probe = Static<typeof Probe>;

const KeySelector = Type.Object({
  name: Type.String(),
  key: Type.String(),
  optional: Type.Optional(Type.Boolean()),
});

/** One environment variable: a value, or a key of a ConfigMap or Secret of the Application's namespace. */
export const EnvVar = Type.Object({
  name: Type.String({ pattern: "^[A-Za-z_][A-Za-z0-9_]{0,255}$" }),
  value: Type.Optional(Type.String()),
  valueFrom: Type.Optional(
    Type.Object({
      configMapKeyRef: Type.Optional(KeySelector),
      secretKeyRef: Type.Optional(KeySelector),
    }),
  ),
});
export type EnvVar = Static<typeof EnvVar>;

/** One program. With `command` it can run as a host process; with only an image it needs a container runtime. */
export const Container = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 63 }),
  image: Type.Optional(Type.String()),
  imagePullPolicy: Type.Optional(
    Type.Union([Type.Literal("Always"), Type.Literal("IfNotPresent"), Type.Literal("Never")]),
  ),
  command: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 1_000 })),
  args: Type.Optional(Type.Array(Type.String(), { maxItems: 1_000 })),
  workingDir: Type.Optional(Type.String()),
  env: Type.Optional(Type.Array(EnvVar, { maxItems: 1_000 })),
  ports: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.Optional(Type.String()),
        containerPort: Type.Integer({ minimum: 1, maximum: 65_535 }),
        hostPort: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
        protocol: Type.Optional(
          Type.Union([Type.Literal("TCP"), Type.Literal("UDP"), Type.Literal("SCTP")]),
        ),
      }),
    ),
  ),
  resources: Type.Optional(
    Type.Object({ requests: Type.Optional(ResourceList), limits: Type.Optional(ResourceList) }),
  ),
  livenessProbe: Type.Optional(Probe),
  readinessProbe: Type.Optional(Probe),
  startupProbe: Type.Optional(Probe),
});
export type Container = Static<typeof Container>;

export const RestartPolicy = Type.Union([
  Type.Literal("Always"),
  Type.Literal("OnFailure"),
  Type.Literal("Never"),
]);
export type RestartPolicy = Static<typeof RestartPolicy>;

/** Containers that live and die together on one node. */
export const PodSpec = Type.Object({
  containers: Type.Array(Container, { minItems: 1, maxItems: 16 }),
  restartPolicy: Type.Optional(RestartPolicy),
  terminationGracePeriodSeconds: Type.Optional(Type.Integer({ minimum: 0, maximum: 86_400 })),
  nodeName: Type.Optional(Type.String()),
  nodeSelector: Type.Optional(Type.Record(Type.String(), Type.String())),
  tolerations: Type.Optional(Type.Array(Toleration)),
  priorityClassName: Type.Optional(Type.String()),
});
export type PodSpec = Static<typeof PodSpec>;

/** Pod template. `restartPolicy` on the template itself is read too: the article's Job writes it beside `spec`. */
export const PodTemplate = Type.Object({
  metadata: Type.Optional(ObjectMeta),
  spec: PodSpec,
  restartPolicy: Type.Optional(RestartPolicy),
});
export type PodTemplate = Static<typeof PodTemplate>;

/** `spec.template` of a component of type Deployment. */
export const DeploymentTemplate = Type.Object({
  metadata: Type.Optional(ObjectMeta),
  spec: Type.Object({
    replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    selector: Type.Optional(LabelSelector),
    template: PodTemplate,
  }),
});
export type DeploymentTemplate = Static<typeof DeploymentTemplate>;

/** `spec.template` of a component of type Job. */
export const JobTemplate = Type.Object({
  metadata: Type.Optional(ObjectMeta),
  spec: Type.Object({
    parallelism: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    completions: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000 })),
    backoffLimit: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000 })),
    activeDeadlineSeconds: Type.Optional(Type.Integer({ minimum: 1 })),
    ttlSecondsAfterFinished: Type.Optional(Type.Integer({ minimum: 0 })),
    template: PodTemplate,
  }),
});
export type JobTemplate = Static<typeof JobTemplate>;
