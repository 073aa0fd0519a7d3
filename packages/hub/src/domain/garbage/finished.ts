import { parseIsoTimeMs } from "@flotilla/shared/kernel/iso-time";
import type { ObjectOf } from "@flotilla/shared/model/kinds";

/**
 * When an Application that consists of Jobs, all with ttlSecondsAfterFinished, is to be deleted: the longest of these
 * times after the last Job ended, by the hub's wall clock. Undefined while it runs, or when it is to stay. (Single Jobs of
 * an Application are not deleted before the rest: without their record they would run again.)
 */
export function expiresAtMs(application: ObjectOf<"Application">): number | undefined {
  const ttls = application.spec.components.map((c) =>
    c.type === "Job" ? c.template.spec.ttlSecondsAfterFinished : undefined,
  );
  const known = ttls.filter((t) => t !== undefined);
  const complete = application.status?.conditions?.find((c) => c.type === "Complete");
  const isCurrent = application.status?.observedGeneration === application.metadata.generation;
  if (known.length < ttls.length || complete?.status !== "True" || !isCurrent) return undefined;
  const endedMs = parseIsoTimeMs(complete.lastTransitionTime);
  return endedMs === undefined ? undefined : endedMs + Math.max(...known) * 1000;
}
