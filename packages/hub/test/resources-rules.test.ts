import { expect, test } from "vitest";
import type { ServedKind } from "../src/app/resources/ports.ts";
import {
  application,
  causesOf,
  deployment,
  refusal,
  STRICT,
  testResources,
} from "./support/resources.ts";

const job = (pod: Readonly<Record<string, unknown>>, template: object = {}) => ({
  name: "j",
  type: "Job",
  template: {
    spec: {
      template: {
        spec: { containers: [{ name: "m", command: ["/bin/true"] }], ...pod },
        ...template,
      },
    },
  },
});
const placed = (placement: object) => ({ ...deployment("a"), placement });
const probe = (value: object) => deployment("web", { livenessProbe: value });
const C = "spec.components[0].template.spec.template.spec.containers[0]";

test.each([
  [
    "two components of one name",
    [deployment("a"), deployment("a")],
    'spec.components[1].name: Duplicate value: "a"',
  ],
  [
    "a dependency on nobody",
    [{ ...deployment("a"), dependsOn: ["b"] }],
    'spec.components[0].dependsOn[0]: Invalid value: "b": no component has this name; there are "a"',
  ],
  [
    "a circle",
    [
      { ...deployment("a"), dependsOn: ["b"] },
      { ...deployment("b"), dependsOn: ["a"] },
    ],
    'spec.components[0].dependsOn: Invalid value: "b": components depend on each other in a circle: a → b → a',
  ],
  [
    "itself as a dependency",
    [{ ...deployment("a"), dependsOn: ["a"] }],
    'spec.components[0].dependsOn: Invalid value: "a": components depend on each other in a circle: a → a',
  ],
  [
    "min above max",
    [{ ...deployment("a"), autoscaling: { minReplicas: 5, maxReplicas: 2 } }],
    "spec.components[0].autoscaling.minReplicas: Invalid value: 5: must be less than or equal to maxReplicas (2)",
  ],
  [
    "a metric that nobody measures",
    [
      {
        ...deployment("a"),
        autoscaling: { minReplicas: 1, maxReplicas: 2, metrics: [{ type: "External" }] },
      },
    ],
    'spec.components[0].autoscaling.metrics[0].type: Unsupported value: "External": supported values: "CPU", "Resource", "Pods"',
  ],
  [
    "a target of memory",
    [
      {
        ...deployment("a"),
        autoscaling: {
          minReplicas: 1,
          maxReplicas: 2,
          metrics: [
            {
              type: "Resource",
              resource: { name: "memory", target: { type: "Utilization", averageUtilization: 70 } },
            },
          ],
        },
      },
    ],
    'spec.components[0].autoscaling.metrics[0].resource.name: Unsupported value: "memory": supported values: "cpu"',
  ],
  [
    "a metric of instances without an endpoint",
    [
      {
        ...deployment("a"),
        autoscaling: {
          minReplicas: 1,
          maxReplicas: 2,
          metrics: [
            {
              type: "Pods",
              pods: {
                metric: { name: "queue_length" },
                target: { type: "AverageValue", averageValue: "10" },
              },
            },
          ],
        },
      },
    ],
    "spec.components[0].autoscaling.endpoint: Required value: say the port at which each instance tells its metrics",
  ],
  [
    "a Job that is to be shared out",
    [{ ...job({}), placement: { replicaScheduling: { replicaDivisionPreference: "Spread" } } }],
    "spec.components[0].placement.replicaScheduling: Forbidden: only the replicas of a Deployment are shared out and scaled",
  ],
  [
    "duplicated and divided at once",
    [
      placed({
        replicaScheduling: {
          replicaSchedulingType: "Duplicated",
          replicaDivisionPreference: "Aggregated",
        },
      }),
    ],
    "spec.components[0].placement.replicaScheduling.replicaDivisionPreference: Forbidden: nothing is divided when `replicaSchedulingType` is 'Duplicated'; remove one of them",
  ],
  [
    "weights of nothing",
    [
      placed({
        replicaScheduling: {
          weightPreference: { staticWeightList: [{ targetCluster: {}, weight: 0 }] },
        },
      }),
    ],
    "spec.components[0].placement.replicaScheduling.weightPreference.staticWeightList: Invalid value: [0]: at least one weight must be above 0",
  ],
  [
    "static and dynamic weights",
    [
      placed({
        replicaScheduling: {
          weightPreference: {
            staticWeightList: [{ targetCluster: {}, weight: 1 }],
            dynamicWeight: "AvailableReplicas",
          },
        },
      }),
    ],
    "spec.components[0].placement.replicaScheduling.weightPreference.dynamicWeight: Forbidden: may not be specified together with `staticWeightList`; remove one of them",
  ],
  [
    "weights beside aggregation",
    [
      placed({
        replicaScheduling: {
          replicaDivisionPreference: "Aggregated",
          weightPreference: { dynamicWeight: "AvailableReplicas" },
        },
      }),
    ],
    "spec.components[0].placement.replicaScheduling.weightPreference: Forbidden: weights count only when",
  ],
  [
    "more groups asked for than allowed",
    [placed({ spreadConstraints: [{ spreadByField: "region", minGroups: 3, maxGroups: 2 }] })],
    "spec.components[0].placement.spreadConstraints[0].minGroups: Invalid value: 3: must be at most maxGroups (2)",
  ],
  [
    "one field constrained twice",
    [placed({ spreadConstraints: [{ spreadByField: "site" }, { spreadByField: "cluster" }] })],
    "spec.components[0].placement.spreadConstraints[1].spreadByField: Duplicate value",
  ],
  [
    "anti-affinity to nobody",
    [placed({ antiAffinity: { required: [{ topologyKey: "node" }] } })],
    "spec.components[0].placement.antiAffinity.required[0].application: Required value: name an application, a component, or a labelSelector that is not empty",
  ],
  [
    "a probe without a handler",
    [probe({ periodSeconds: 1 })],
    `${C}.livenessProbe: Required value: must specify a handler type: one of exec, httpGet, tcpSocket`,
  ],
  [
    "a probe with two handlers",
    [probe({ exec: { command: ["a"] }, tcpSocket: { port: 1 } })],
    `${C}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type`,
  ],
  [
    "a probe of a port that has no name",
    [probe({ httpGet: { port: "http" } })],
    `${C}.livenessProbe.httpGet.port: Invalid value: "http": must be a port number, or the name of one of the container's ports`,
  ],
  [
    "a request above its limit",
    [deployment("a", { resources: { requests: { cpu: "2" }, limits: { cpu: "1500m" } } })],
    `${C}.resources.requests[cpu]: Invalid value: "2": must be less than or equal to cpu limit of 1500m`,
  ],
  [
    "half a device",
    [deployment("a", { resources: { limits: { "nvidia.com/gpu": 0.5 } } })],
    `${C}.resources.limits[nvidia.com/gpu]: Invalid value: 0.5: must be an integer`,
  ],
  [
    "a quantity that is none",
    [deployment("a", { resources: { limits: { memory: "2 GB" } } })],
    /resources.limits\[memory\]: Invalid value: "2 GB": .* should match/,
  ],
  [
    "a Deployment that ends",
    [deployment("a", {}, { restartPolicy: "Never" })],
    'spec.components[0].template.spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  [
    "a Job that never ends",
    [job({ restartPolicy: "Always" })],
    'spec.components[0].template.spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "OnFailure", "Never"',
  ],
  [
    "two restart policies",
    [job({ restartPolicy: "Never" }, { restartPolicy: "OnFailure" })],
    'spec.components[0].template.spec.template.restartPolicy: Invalid value: "OnFailure": differs from spec.restartPolicy',
  ],
  [
    "a variable with value and source",
    [
      deployment("a", {
        env: [{ name: "A", value: "1", valueFrom: { secretKeyRef: { name: "s", key: "k" } } }],
      }),
    ],
    `${C}.env[0].valueFrom: Invalid value: "": may not be specified when \`value\` is not empty`,
  ],
  [
    "a variable with no source",
    [deployment("a", { env: [{ name: "A", valueFrom: {} }] })],
    `${C}.env[0].valueFrom: Invalid value: []: must name exactly one of configMapKeyRef, secretKeyRef`,
  ],
  [
    "nothing to run",
    [deployment("a", { image: "" })],
    `${C}.image: Required value: name an image, or a command to run on the host`,
  ],
  [
    "two containers of one name",
    [
      deployment(
        "a",
        {},
        {
          containers: [
            { name: "m", image: "i" },
            { name: "m", image: "i" },
          ],
        },
      ),
    ],
    'spec.components[0].template.spec.template.spec.containers[1].name: Duplicate value: "m"',
  ],
  [
    "a component of no type",
    [{ type: "Daemon" }],
    'spec.components[0].type: Unsupported value: "Daemon": supported values: "Deployment", "Job"',
  ],
  [
    "replicas that are text",
    [{ template: { spec: { replicas: "3", template: deployment("x").template.spec.template } } }],
    'spec.components[0].template.spec.replicas: Invalid value: "string": spec.components[0].template.spec.replicas in body must be of type integer: "string"',
  ],
  [
    "no components",
    [],
    "spec.components: Invalid value: 0: spec.components in body should have at least 1 items",
  ],
  [
    "a selector of its own labels' opposite",
    [
      {
        template: {
          spec: { ...deployment("x").template.spec, selector: { matchLabels: { app: "x" } } },
        },
      },
    ],
    /template.spec.selector: Invalid value: .*`selector` does not match template `labels`/,
  ],
  [
    "an expression without values",
    [{ placement: { nodeSelector: { matchExpressions: [{ key: "a", operator: "In" }] } } }],
    "spec.components[0].placement.nodeSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
  ],
  [
    "a toleration that tolerates nothing",
    [{ placement: { tolerations: [{ operator: "Equal", value: "x" }] } }],
    /placement.tolerations\[0\].operator: Invalid value: "Equal": operator must be Exists when `key` is empty/,
  ],
])("an Application with %s is refused, naming field and mend", async (_what, components, cause) => {
  const { service } = testResources();
  const status = await refusal(() =>
    service.create("Application", "default", application("shop", components), STRICT),
  );
  const causes = causesOf(status);
  expect(causes).toHaveLength(1);
  expect(causes[0]).toMatch(cause);
});

const GROUPS: Readonly<Partial<Record<ServedKind, string>>> = {
  Fleet: "fleet.kurator.dev/v1alpha1",
  PropagationPolicy: "policy.kurator.dev/v1alpha1",
  NetworkPartitionPolicy: "policy.kurator.dev/v1alpha1",
  SchedulingProfile: "scheduling.kurator.dev/v1alpha1",
  CrossClusterEndpoint: "networking.kurator.dev/v1alpha1",
  NetworkOptimizationPolicy: "networking.kurator.dev/v1alpha1",
};
const target = { apiVersion: "apps.kurator.dev/v1alpha1", kind: "Application", name: "a" };

test.each<[ServedKind, object, string]>([
  [
    "Fleet",
    { clusters: [{ name: "a" }, { name: "a" }] },
    'spec.clusters[1].name: Duplicate value: "a"',
  ],
  ["Fleet", { sites: [{ name: "a" }, { name: "a" }] }, 'spec.sites[1].name: Duplicate value: "a"'],
  [
    "PropagationPolicy",
    {},
    "spec.targetRef: Required value: name a targetRef, or at least one of resourceSelectors",
  ],
  [
    "PropagationPolicy",
    { targetRef: target, distribution: { trafficSplit: { a: 60, b: 30 } } },
    "spec.distribution.trafficSplit: Invalid value: 90: the percentages must add up to 100",
  ],
  [
    "PropagationPolicy",
    {
      targetRef: target,
      placement: { clusterAffinity: { clusterNames: ["a"] } },
      distribution: { trafficSplit: { b: 100 } },
    },
    'spec.distribution.trafficSplit[b]: Invalid value: "b": is not among spec.placement.clusterAffinity.clusterNames',
  ],
  [
    "PropagationPolicy",
    { targetRef: target, distribution: { mode: "ActiveStandby", trafficSplit: { b: 100 } } },
    "spec.distribution.trafficSplit: Forbidden: one candidate has all traffic when `mode` is 'ActiveStandby'; remove one of them",
  ],
  [
    "PropagationPolicy",
    { targetRef: target, distribution: { failback: { afterStable: "10m" } } },
    "spec.distribution.failback: Forbidden: may only be specified when `mode` is 'ActiveStandby'",
  ],
  [
    "PropagationPolicy",
    {
      targetRef: target,
      placement: {
        replicaScheduling: {
          weightPreference: { staticWeightList: [{ targetCluster: {}, weight: 1 }] },
        },
      },
      distribution: { trafficSplit: { b: 100 } },
    },
    "spec.distribution.trafficSplit: Forbidden: spec.placement.replicaScheduling.weightPreference says weights already; remove one of them",
  ],
  [
    "PropagationPolicy",
    { targetRef: target, rollout: { stages: [{ name: "a" }, { name: "a" }] } },
    'spec.rollout.stages[1].name: Duplicate value: "a"',
  ],
  [
    "PropagationPolicy",
    {
      targetRef: target,
      rollout: { stages: [{ name: "a", validation: { metrics: [{ name: "m" }] } }] },
    },
    "spec.rollout.stages[0].validation.metrics[0].minimum: Required value: name a minimum, a maximum, or both",
  ],
  [
    "PropagationPolicy",
    { targetRef: target, rollout: { stages: [{ name: "a", duration: "soon" }] } },
    'spec.rollout.stages[0].duration: Invalid value: "soon"',
  ],
  [
    "SchedulingProfile",
    { resources: [{ name: "cpu", weight: 0 }] },
    "spec.resources: Invalid value: [0]: at least one weight must be above 0",
  ],
  [
    "SchedulingProfile",
    { scoreWeights: { cost: -1 } },
    "spec.scoreWeights.cost: Invalid value: -1",
  ],
  [
    "SchedulingProfile",
    { scoreWeights: { cost: Number.NaN } },
    "spec.scoreWeights.cost: Invalid value",
  ],
  ["SchedulingProfile", { scoreWeights: { cost: 1e308 } }, "spec.scoreWeights.cost: Invalid value"],
  [
    "SchedulingProfile",
    { scoreWeights: { resource: 0, performance: 0, cost: 0, compliance: 0, topology: 0 } },
    "spec.scoreWeights: Invalid value: [0,0,0,0,0]: at least one weight must be above 0",
  ],
  [
    "SchedulingProfile",
    { costAware: { priceAPI: "ftp://prices" } },
    'spec.costAware.priceAPI: Invalid value: "ftp://prices": must be an http, https or file:/// URL',
  ],
  [
    "NetworkPartitionPolicy",
    { detection: { interval: "5s", timeout: "10s" } },
    'spec.detection.timeout: Invalid value: "10s": must be at most interval (5s)',
  ],
  [
    "NetworkOptimizationPolicy",
    { connection: { maxIdle: 5, maxActive: 1 } },
    "spec.connection.maxIdle: Invalid value: 5: must be at most maxActive (1)",
  ],
  [
    "CrossClusterEndpoint",
    { sourceCluster: "a", targetCluster: "a", port: 1 },
    'spec.targetCluster: Invalid value: "a": must differ from sourceCluster',
  ],
])("%s %j is refused", async (kind, spec, cause) => {
  const { service } = testResources();
  const body = { apiVersion: GROUPS[kind], kind, metadata: { name: "x" }, spec };
  const status = await refusal(() => service.create(kind, "default", body, STRICT));
  expect(causesOf(status)).toEqual([expect.stringContaining(cause)]);
});

test("a token of a day and more, and a site that is no label, are refused", async () => {
  const { service } = testResources();
  const token = (spec: object) =>
    refusal(() =>
      service.create(
        "JoinToken",
        "",
        {
          apiVersion: "edge.kurator.dev/v1alpha1",
          kind: "JoinToken",
          metadata: { name: "t" },
          spec,
        },
        STRICT,
      ),
    );
  expect(causesOf(await token({ site: "s", ttl: "25h" }))).toEqual([
    'spec.ttl: Invalid value: "25h": must be above 0 and at most 24h',
  ]);
  expect(causesOf(await token({ site: "Bad_Site" }))[0]).toContain("spec.site: Invalid value");
});

test("labels, annotations, finalizers and owners follow their grammar", async () => {
  const { service } = testResources();
  const create = (metadata: object) =>
    refusal(() =>
      service.create(
        "ConfigMap",
        "default",
        { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", ...metadata } },
        STRICT,
      ),
    );
  expect(causesOf(await create({ labels: { "a b": "c" } }))[0]).toContain("metadata.labels");
  expect(causesOf(await create({ labels: { a: "c d" } }))[0]).toContain("metadata.labels[a]");
  expect(causesOf(await create({ annotations: { a: "x".repeat(300_000) } }))[0]).toContain(
    "metadata.annotations: Too long",
  );
  expect(causesOf(await create({ finalizers: ["short"] }))[0]).toContain("metadata.finalizers[0]");
  const owner = { apiVersion: "v1", kind: "ConfigMap", name: "o", uid: "" };
  expect(causesOf(await create({ ownerReferences: [owner] }))[0]).toContain(
    "metadata.ownerReferences[0].uid",
  );
});

test("a name is a subdomain, and a label where it becomes part of longer names", async () => {
  const { service } = testResources();
  const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a.b" } };
  await service.create("ConfigMap", "default", configMap, STRICT);
  const status = await refusal(() =>
    service.create("Application", "default", application("a.b"), STRICT),
  );
  expect(causesOf(status)[0]).toContain("metadata.name: Invalid value");
  const bad = { ...configMap, metadata: { name: "Bad_Name" } };
  expect((await refusal(() => service.create("ConfigMap", "default", bad, STRICT))).message).toBe(
    `ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
  );
  const nameless = { ...configMap, metadata: {} };
  const refused = await refusal(() => service.create("ConfigMap", "default", nameless, STRICT));
  expect(causesOf(refused)).toEqual([
    "metadata.name: Required value: name or generateName is required",
  ]);
});
