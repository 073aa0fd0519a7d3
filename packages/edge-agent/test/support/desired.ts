import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import type { AcceptedDesired, InstanceRecord } from "../../src/app/state/ports.ts";

/** An instance of a small service. */
function desiredInstance(over: Partial<DesiredInstance> = {}): DesiredInstance {
  return {
    id: "default.shop.web-0",
    namespace: "default",
    application: "shop",
    component: "web",
    index: 0,
    kind: "Deployment",
    specDigest: "d1",
    runtime: "process",
    restartPolicy: "Always",
    backoffLimit: 6,
    terminationGracePeriodSeconds: 5,
    containers: [{ name: "main", command: ["sleep", "1"] }],
    ...over,
  };
}

export function desiredState(over: Partial<DesiredState> = {}): DesiredState {
  return {
    nodeId: "n1",
    revision: 1,
    issuedAt: "2026-01-01T00:00:00.000Z",
    instances: [desiredInstance()],
    ...over,
  };
}

/** As the hub would have sent it, with a signature that nobody made. */
export function acceptedDesired(over: Partial<DesiredState> = {}): AcceptedDesired {
  const state = desiredState(over);
  return {
    state,
    payload: canonicalJson(state),
    signature: `${"A".repeat(86)}==`,
    keyId: "0123456789abcdef",
  };
}

export function instanceRecord(over: Partial<InstanceRecord> = {}): InstanceRecord {
  return {
    id: "default.shop.web-0",
    desired: desiredInstance(),
    intent: "running",
    processes: [{ pid: 17, startTicks: 4711, bootId: "b1", container: "main" }],
    restartCount: 0,
    failureCount: 0,
    bootId: "b1",
    ...over,
  };
}
