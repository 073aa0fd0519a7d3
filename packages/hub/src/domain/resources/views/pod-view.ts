import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ReportedInstance } from "@flotilla/shared/model/reported-state";
import { SITE_LABEL } from "../../enrolment/join.ts";
import type { ServedObject } from "../api-object.ts";
import type { JsonObject } from "../body-shape.ts";

type Assignment = ObjectOf<"Assignment">;

/** A pod has no phase for "being stopped": it runs until it is gone. */
const PHASES: Readonly<Record<ReportedInstance["phase"], string>> = {
  Pending: "Pending",
  Running: "Running",
  Succeeded: "Succeeded",
  Failed: "Failed",
  Stopping: "Running",
};

/** core/v1 Pod of an Assignment, of the same name. There is no pod network, so there is no podIP. */
export function podView(assignment: Assignment): ServedObject {
  const { metadata, spec, status } = assignment;
  const { desired } = spec;
  const reported = status?.reported;
  const why = reported?.message ?? status?.message;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      labels: {
        ...metadata.labels,
        "edge.kurator.dev/application": spec.application,
        "edge.kurator.dev/component": spec.component,
        ...(spec.site === undefined ? {} : { [SITE_LABEL]: spec.site }),
      },
    },
    spec: {
      ...(spec.node === undefined ? {} : { nodeName: spec.node }),
      restartPolicy: desired.restartPolicy,
      terminationGracePeriodSeconds: desired.terminationGracePeriodSeconds,
      containers: desired.containers,
    },
    status: {
      phase: reported === undefined ? "Pending" : PHASES[reported.phase],
      ...(reported?.reason === undefined ? {} : { reason: reported.reason }),
      ...(why === undefined ? {} : { message: why }),
      ...(reported?.startedAt === undefined ? {} : { startTime: reported.startedAt }),
      conditions: conditions(assignment),
      containerStatuses:
        reported === undefined
          ? []
          : desired.containers.map((container) => ({
              name: container.name,
              image: container.image ?? "",
              imageID: "",
              ready: reported.ready,
              restartCount: reported.restartCount,
              state: containerState(reported),
            })),
    },
  };
}

function conditions({ metadata, spec, status }: Assignment): readonly JsonObject[] {
  const since = status?.reported?.startedAt ?? status?.decidedAt ?? metadata.creationTimestamp;
  const ready = status?.reported?.ready === true ? "True" : "False";
  return [
    spec.node === undefined
      ? {
          type: "PodScheduled",
          status: "False",
          reason: "Unschedulable",
          message: status?.message ?? "no node fits",
          lastTransitionTime: since,
        }
      : {
          type: "PodScheduled",
          status: "True",
          lastTransitionTime: status?.decidedAt ?? metadata.creationTimestamp,
        },
    { type: "ContainersReady", status: ready, lastTransitionTime: since },
    { type: "Ready", status: ready, lastTransitionTime: since },
  ];
}

function containerState(reported: ReportedInstance): JsonObject {
  const { phase, startedAt, finishedAt, exitCode, reason, message } = reported;
  const why = {
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
  switch (phase) {
    case "Pending":
      return { waiting: { reason: "Pending", ...why } };
    case "Running":
    case "Stopping":
      return { running: startedAt === undefined ? {} : { startedAt } };
    case "Succeeded":
    case "Failed":
      return {
        terminated: {
          exitCode: exitCode ?? (phase === "Succeeded" ? 0 : 1),
          reason: phase === "Succeeded" ? "Completed" : "Error",
          ...why,
          ...(startedAt === undefined ? {} : { startedAt }),
          ...(finishedAt === undefined ? {} : { finishedAt }),
        },
      };
  }
}
