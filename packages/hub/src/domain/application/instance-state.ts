import type { ObjectOf } from "@flotilla/shared/model/kinds";
import type { ReportedInstance } from "@flotilla/shared/model/reported-state";
import { hasItsArtifacts } from "./artifact-state.ts";

/** What is known of one instance, read from its Assignment. */

/** What the assigned node says of the very spec that is asked for; undefined while it says nothing of it. */
export function reportOf(assignment: ObjectOf<"Assignment">): ReportedInstance | undefined {
  const { spec, status } = assignment;
  if (status?.reported === undefined || status.reportedBy !== spec.node) return undefined;
  return status.reported.specDigest === spec.desired.specDigest ? status.reported : undefined;
}

/**
 * What the assigned node says of the instance that serves: of the spec that is asked for, or of an earlier one that goes on until
 * the artifacts of the new one are there, or because they did not work.
 */
export function servingReportOf(assignment: ObjectOf<"Assignment">): ReportedInstance | undefined {
  const { spec, status } = assignment;
  const report = reportOf(assignment);
  if (report !== undefined || status?.reportedBy !== spec.node) return report;
  return hasItsArtifacts(assignment) ? undefined : status?.reported;
}

/** Serves, with the spec that is asked for or, while its artifacts are on their way, with the one before. */
export function isAvailable(assignment: ObjectOf<"Assignment">): boolean {
  return servingReportOf(assignment)?.ready === true;
}

/** Runs with the spec that its assignment asks for, artifacts and all. */
export function isUpToDate(assignment: ObjectOf<"Assignment">): boolean {
  return reportOf(assignment) !== undefined && hasItsArtifacts(assignment);
}

/** A Job's instance that ran to its good end. */
export function isSucceeded(assignment: ObjectOf<"Assignment">): boolean {
  return assignment.spec.desired.kind === "Job" && reportOf(assignment)?.phase === "Succeeded";
}

/** A Job's instance that failed for good: the agent reports Failed only after its last try. */
export function isFailed(assignment: ObjectOf<"Assignment">): boolean {
  return assignment.spec.desired.kind === "Job" && reportOf(assignment)?.phase === "Failed";
}

/** Either end. A finished instance uses nothing any more. */
export function isFinished(assignment: ObjectOf<"Assignment">): boolean {
  return isSucceeded(assignment) || isFailed(assignment);
}

/** Finished, and not to be run again: a Job's instance that failed with an older spec than this is. */
export function isEnded(assignment: ObjectOf<"Assignment">, specDigest: string): boolean {
  return (
    isSucceeded(assignment) ||
    (isFailed(assignment) && assignment.spec.desired.specDigest === specDigest)
  );
}
