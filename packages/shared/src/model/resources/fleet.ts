import { type Static, Type } from "typebox";
import { Condition, LabelSelector } from "../metadata.ts";
import { Placement } from "./placement.ts";

const Attributes = Type.Record(Type.String(), Type.String());

/** Name of the Secret, in the object's namespace, that holds a kubeconfig. */
export const SecretReference = Type.Object({
  name: Type.String(),
  key: Type.Optional(Type.String()),
});

/** One member cluster of a fleet, described in place; a Cluster object of the same name fills what is not said here. */
const FleetCluster = Type.Object({
  name: Type.String({ minLength: 1 }),
  provider: Type.Optional(Type.String()),
  region: Type.Optional(Type.String()),
  kubeconfigRef: Type.Optional(SecretReference),
  attributes: Type.Optional(Attributes),
});

const Addon = Type.Object({ enabled: Type.Optional(Type.Boolean()) });

export const FleetSpec = Type.Object({
  clusters: Type.Optional(Type.Array(FleetCluster, { maxItems: 10_000 })),
  sites: Type.Optional(
    Type.Array(Type.Object({ name: Type.String({ minLength: 1 }) }), { maxItems: 10_000 }),
  ),
  /** Sites by label, beside those named. */
  siteSelector: Type.Optional(LabelSelector),
  placement: Type.Optional(Placement),
  policyTemplates: Type.Optional(
    Type.Array(
      Type.Object({
        name: Type.String({ minLength: 1 }),
        spec: Type.Object({ rules: Type.Array(Type.Object({ rule: Type.String() })) }),
      }),
    ),
  ),
  addons: Type.Optional(
    Type.Object({
      prometheus: Type.Optional(
        Type.Object({ ...Addon.properties, thanosMode: Type.Optional(Type.Boolean()) }),
      ),
      volcano: Type.Optional(
        Type.Object({ ...Addon.properties, defaultQueue: Type.Optional(Type.String()) }),
      ),
    }),
  ),
});
export type FleetSpec = Static<typeof FleetSpec>;

export const FleetStatus = Type.Object({
  phase: Type.Optional(
    Type.Union([Type.Literal("Pending"), Type.Literal("Ready"), Type.Literal("Degraded")]),
  ),
  observedGeneration: Type.Optional(Type.Integer()),
  memberCount: Type.Optional(Type.Integer()),
  readyMemberCount: Type.Optional(Type.Integer()),
  nodeCount: Type.Optional(Type.Integer()),
  readyNodeCount: Type.Optional(Type.Integer()),
  members: Type.Optional(
    Type.Array(
      Type.Object({
        kind: Type.Union([Type.Literal("Cluster"), Type.Literal("Site")]),
        name: Type.String(),
        ready: Type.Boolean(),
        reason: Type.String(),
      }),
    ),
  ),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type FleetStatus = Static<typeof FleetStatus>;

/** What `flotilla cluster register` makes: access to one Kubernetes, Karmada or KubeEdge control plane. */
export const ClusterSpec = Type.Object({
  provider: Type.Optional(Type.String()),
  region: Type.Optional(Type.String()),
  kubeconfigRef: Type.Optional(SecretReference),
  attributes: Type.Optional(Attributes),
});
export type ClusterSpec = Static<typeof ClusterSpec>;

export const ClusterStatus = Type.Object({
  observedGeneration: Type.Optional(Type.Integer()),
  conditions: Type.Optional(Type.Array(Condition)),
});
export type ClusterStatus = Static<typeof ClusterStatus>;
