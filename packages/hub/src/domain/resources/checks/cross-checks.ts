import type { KindName, ObjectOf } from "@flotilla/shared/model/kinds";
import type { Cause } from "../api-error.ts";
import { applicationCauses } from "./application-checks.ts";
import { artifactCauses, releaseCauses } from "./artifact-checks.ts";
import { configMapCauses, secretCauses } from "./core-checks.ts";
import {
  clusterCauses,
  edgeNodeCauses,
  fleetCauses,
  joinTokenCauses,
  siteCauses,
} from "./fleet-checks.ts";
import {
  endpointCauses,
  optimizationPolicyCauses,
  partitionPolicyCauses,
  priceListCauses,
  propagationPolicyCauses,
  schedulingProfileCauses,
} from "./policy-checks.ts";
import { priorityClassCauses, queueCauses } from "./queue-checks.ts";

type Checks = { readonly [K in KindName]: (object: ObjectOf<K>) => Cause[] };

const nothing = (): Cause[] => [];

/** What a schema cannot say, kind by kind. */
const CHECKS: Checks = {
  Fleet: fleetCauses,
  PerformanceProfile: nothing,
  Cluster: clusterCauses,
  Application: applicationCauses,
  Artifact: artifactCauses,
  Release: releaseCauses,
  PropagationPolicy: propagationPolicyCauses,
  NetworkPartitionPolicy: partitionPolicyCauses,
  SchedulingProfile: schedulingProfileCauses,
  PriceList: priceListCauses,
  Queue: queueCauses,
  MovePlan: nothing,
  PriorityClass: priorityClassCauses,
  CrossClusterEndpoint: endpointCauses,
  NetworkOptimizationPolicy: optimizationPolicyCauses,
  EdgeNode: edgeNodeCauses,
  Site: siteCauses,
  JoinToken: joinTokenCauses,
  Assignment: nothing,
  Namespace: nothing,
  ConfigMap: configMapCauses,
  Secret: secretCauses,
  Event: nothing,
};

/** Fields that contradict each other, in an object whose every field is of the right type. */
export function crossCauses<K extends KindName>(kind: K, object: ObjectOf<K>): Cause[] {
  const check: (object: ObjectOf<K>) => Cause[] = CHECKS[kind];
  return check(object);
}
