import { canonicalJson } from "@flotilla/shared/kernel/json";
import type { DesiredInstance, DesiredState } from "@flotilla/shared/model/desired-state";
import type { AcceptedDesired } from "../../src/app/state/ports.ts";

/** An instance of a Deployment of one container that runs `command`; its digest follows from what is given. */
export function instance(
  id: string,
  command: readonly string[],
  more: Partial<DesiredInstance> = {},
): DesiredInstance {
  const spec = {
    restartPolicy: more.restartPolicy ?? "Always",
    containers: more.containers ?? [{ name: "main", command: [...command] }],
  } as const;
  return {
    id,
    namespace: "default",
    application: "app",
    component: id,
    index: 0,
    kind: "Deployment",
    runtime: "process",
    backoffLimit: 2,
    terminationGracePeriodSeconds: 2,
    ...more,
    ...spec,
    specDigest: more.specDigest ?? `d${hash(canonicalJson(spec))}`,
  };
}

/** An instance of a Job. */
export function job(
  id: string,
  command: readonly string[],
  more: Partial<DesiredInstance> = {},
): DesiredInstance {
  return instance(id, command, { kind: "Job", restartPolicy: "OnFailure", ...more });
}

/** A desired state as the link would have accepted it. */
export function accepted(revision: number, instances: readonly DesiredInstance[]): AcceptedDesired {
  const state: DesiredState = {
    nodeId: "n1",
    revision,
    issuedAt: "2026-01-01T00:00:00Z",
    instances: [...instances],
  };
  return { state, payload: canonicalJson(state), signature: "", keyId: "" };
}

function hash(text: string): string {
  let h = 7;
  for (const c of text) h = (h * 31 + (c.codePointAt(0) ?? 0)) % 1_000_003;
  return h.toString(16);
}
